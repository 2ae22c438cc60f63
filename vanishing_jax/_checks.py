"""Errors at the boundary: one structure check and one finiteness check, worded for a reader."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ._tree import describe, path_name, same_structure
from ._types import PyTree


class NonFiniteError(ValueError):
    """A NaN or an infinity where only finite numbers make sense."""


def as_arrays(tree: PyTree, what: str) -> PyTree:
    """Return `tree` with numbers and NumPy arrays turned into JAX arrays of a definite dtype."""

    def convert(path, leaf):
        where = path_name(path) if path else what
        if isinstance(leaf, np.ndarray) and leaf.dtype.kind not in "biufcV":
            raise TypeError(f"expected {what} to hold numbers; {where} has dtype {leaf.dtype}.")
        if (
            isinstance(leaf, np.ndarray)
            and leaf.dtype == np.float64
            and jnp.result_type(float) == jnp.float32
        ):
            warnings.warn(
                f"{what} is float64 but jax_enable_x64 is off: computing in float32. Convert it "
                "with .astype('float32') to silence this, or set jax_enable_x64.",
                UserWarning,
                stacklevel=4,
            )
        if isinstance(leaf, float | int | complex | np.ndarray | np.generic):
            leaf = jnp.asarray(leaf)
            return leaf.astype(leaf.dtype)  # strips the weak type of a Python number
        return leaf

    return jax.tree_util.tree_map_with_path(convert, tree)


def num_steps(inputs: PyTree) -> int:
    """Return the length T of the leading axis that every leaf of `inputs` shares."""
    lengths = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(inputs):
        if not hasattr(leaf, "shape") or len(leaf.shape) == 0:
            where = path_name(path) if path else "the input"
            raise ValueError(
                f"expected inputs with a leading time axis; {where} is a scalar. Pass arrays of "
                "shape (time, ...); make one of a list by numpy.asarray or numpy.stack."
            )
        lengths[path_name(path)] = leaf.shape[0]
    if not lengths:
        raise ValueError(
            "expected at least one input array; got none. A cell without input takes an array of "
            "shape (time, 0)."
        )
    if len(set(lengths.values())) > 1:
        raise ValueError(f"expected inputs of one length; got leading axes {lengths}.")
    steps = next(iter(lengths.values()))
    if steps == 0:
        raise ValueError("expected at least one time step; got inputs of length 0.")
    return steps


def check_step(cell, state: PyTree, input: PyTree) -> None:
    """Raise unless `cell(state, input)` returns a state like `state`; nothing is computed."""
    try:
        returned = jax.eval_shape(lambda s, x: cell(s, x), state, input)
    except ValueError:
        raise  # the package's own cells say what they expected
    except jax.errors.JAXTypeError as error:
        raise TypeError(
            "expected a cell that JAX can trace; this one needs concrete values (float(), `if` on "
            f"an array, a numpy function). Write it with jax.numpy and jax.lax. JAX says:\n{error}"
        ) from error
    except Exception as error:
        raise TypeError(
            f"the cell failed on one step, state {describe(state)}, input {describe(input)}: "
            f"{error}\nThe call is cell(state, input) for one step of one sequence; batches go "
            "through jax.vmap (diagnose: an extra leading axis)."
        ) from error
    if same_structure(returned, state):
        return
    hint = ""
    if isinstance(returned, tuple | list) and returned and same_structure(returned[0], state):
        hint = " Its first element is the state: return that alone."
    raise ValueError(
        "cell(state, input) must return its state's structure. "
        f"state: {describe(state)}; returned: {describe(returned)}.{hint} Input: {describe(input)}."
    )


def check_loss(loss: object, states: PyTree) -> None:
    """Raise unless `loss(states)` returns one real number; nothing is computed."""
    if not callable(loss):
        raise TypeError(f"expected loss(states) -> scalar; got a {type(loss).__name__}.")
    value = jax.eval_shape(loss, states)
    if not (getattr(value, "shape", None) == () and jnp.issubdtype(value.dtype, jnp.floating)):
        raise ValueError(
            f"expected loss(states) to return one real number; it returns {describe(value)} for "
            f"states {describe(states)}. Take its mean or sum, without auxiliary output."
        )


def check_finite(
    tree: PyTree, what: str, *, axis_name: str | None = None, advice: str = "Look there first."
) -> None:
    """Raise `NonFiniteError` naming the leaf, the first step of its leading axis and the count."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if isinstance(leaf, Tracer) or not _is_inexact(leaf):
            continue
        bad = ~np.isfinite(np.asarray(leaf))
        if not bad.any():
            continue
        where = f" in {path_name(path)}" if path else ""
        first = ""
        if axis_name is not None and bad.ndim:
            step = int(np.argmax(bad.reshape(len(bad), -1).any(axis=1)))
            first = f", first at {axis_name} {step}"
        raise NonFiniteError(
            f"expected finite {what}; got {int(bad.sum())} NaN or infinite of {bad.size} values"
            f"{where}{first}. {advice}"
        )


def _is_inexact(leaf) -> bool:
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.inexact)
