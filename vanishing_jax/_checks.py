"""Errors at the boundary: one structure check and one finiteness check, worded for a reader."""

import pathlib
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ._tree import describe, first_of, path_name, same_structure
from ._types import PyTree


class NonFiniteError(ValueError):
    """A NaN or an infinity where only finite numbers make sense."""


STATES_EXPLODE = (
    "Weights and inputs are finite, so the states themselves explode: diagnose the steps before "
    "that, scale the recurrent weights down, or compute in float64."
)

# Beyond so many entries an array is looked at where it is, not on the host.
_LARGE = 2**20

_HERE = str(pathlib.Path(__file__).parent)


def as_arrays(tree: PyTree, what: str) -> PyTree:
    """Return `tree` with numbers and NumPy arrays turned into JAX arrays of a definite dtype."""

    def convert(path, leaf):
        where = path_name(path) if path else what
        if isinstance(leaf, np.ndarray) and leaf.dtype.kind not in "biufcV":
            raise TypeError(f"expected {what} to hold numbers; {where} has dtype {leaf.dtype}.")
        if isinstance(leaf, np.ndarray):
            return jax.device_put(leaf)  # jnp.asarray compiles a program for each shape
        if isinstance(leaf, float | int | complex | np.generic):
            leaf = jnp.asarray(leaf)
            return leaf.astype(leaf.dtype)  # strips the weak type of a Python number
        if not isinstance(leaf, jax.Array):
            raise TypeError(
                f"expected every leaf of {what} to be an array; {where} is a "
                f"{type(leaf).__name__}. Keep functions and strings in the cell; convert arrays of "
                "another library by numpy.asarray."
            )
        return leaf

    return jax.tree_util.tree_map_with_path(convert, tree)


def warn_of_float64(**trees: PyTree) -> None:
    """Warn once, naming them, if NumPy arrays are float64 while JAX computes in 32 bits."""
    if jnp.result_type(float) != jnp.float32:
        return
    wide = [name for name, tree in trees.items() if any(map(_is_wide, jax.tree.leaves(tree)))]
    if wide:
        warnings.warn(
            f"float64 given as {', '.join(wide)}, but jax_enable_x64 is off: computing in float32. "
            "Convert by .astype('float32') to silence this, or set jax_enable_x64.",
            UserWarning,
            stacklevel=3,
        )


def _is_wide(leaf) -> bool:
    return isinstance(leaf, np.ndarray) and leaf.dtype in (np.float64, np.complex128)


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    """Raise unless `value` is one of `choices`."""
    if value not in choices:
        *first, last = map(repr, choices)
        raise ValueError(f"expected {name} {', '.join(first)} or {last}; got {value!r}.")


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


def check_step(cell: Callable, state: PyTree, input: PyTree) -> None:
    """Raise unless `cell(state, input)` returns a state like `state`; nothing is computed."""
    try:
        returned = jax.eval_shape(lambda s, x: cell(s, x), state, input)
    except (jax.errors.JAXTypeError, jax.errors.JAXIndexError) as error:
        raise TypeError(
            "expected a cell that JAX can trace; this one needs concrete values (float(), `if` on "
            "an array, a numpy function, a mask as index). Write it with jax.numpy and jax.lax "
            f"(jnp.where, lax.cond).{_users_line(error)} JAX says:\n{error}"
        ) from error
    except Exception as error:
        if isinstance(error, ValueError) and _is_ours(error):
            raise  # the package's own cells say what they expected
        kind = ValueError if isinstance(error, ValueError) else TypeError
        dropout = "Dropout" in str(error)
        raise kind(
            f"the cell failed on one step, state {describe(state)}, input {describe(input)}: "
            f"{error}{_users_line(error)}\nThe call is cell(state, input) for one step of one "
            "sequence; batches go through jax.vmap (diagnose: an extra leading axis)."
            + (" Dropout is switched off by eqx.nn.inference_mode(module)." if dropout else "")
        ) from error
    if same_structure(returned, state):
        return
    raise ValueError(
        "cell(state, input) must return its state's structure. "
        f"state: {describe(state)}; returned: {describe(returned)}.{_difference(state, returned)} "
        f"Input: {describe(input)}."
    )


def _difference(state: PyTree, returned: PyTree) -> str:
    """Return what probably is wrong about a returned state, in a sentence, or nothing."""
    if isinstance(returned, tuple | list) and returned:
        for which, part in (("first", returned[0]), ("last", returned[-1])):
            if same_structure(part, state):
                return f" Its {which} element is the state: return that alone."
    if jax.tree.structure(state) != jax.tree.structure(returned):
        return ""
    pairs = zip(jax.tree.leaves_with_path(state), jax.tree.leaves(returned), strict=True)
    for (path, old), new in pairs:
        if same_structure(old, new):
            continue
        name = path_name(path)
        if old.shape != new.shape:
            return f" Leaf {name} changes its shape."
        cast = f", or let the cell return new.astype({old.dtype})" if _is_inexact(old) else ""
        return f" Leaf {name} changes its dtype: pass state0 in {new.dtype}{cast}."
    return ""


def _is_ours(error: BaseException) -> bool:
    """Return whether `error` was raised by this package, not in what it calls."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and frames[-1].filename.startswith(_HERE)


def _users_line(error: BaseException) -> str:
    """Return the last line of the traceback outside of libraries, or nothing."""
    modules = (sys.modules.get(name) for name in ("jax", "equinox", "jaxtyping", "numpy"))
    homes = [str(pathlib.Path(m.__file__).parent) for m in modules if m and m.__file__]
    homes += [_HERE, "<"]  # "<string>" and its like are generated code
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(tuple(homes))
    ]
    if not frames:
        return ""
    last = frames[-1]
    return f" Look at {pathlib.Path(last.filename).name}, line {last.lineno}: {last.line}"


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
        if leaf.size > _LARGE and isinstance(leaf, jax.Array) and jnp.isfinite(leaf).all():
            continue  # nothing to bring to the host
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


def check_finite_run(cell: Callable, states: PyTree, inputs: PyTree) -> None:
    """Raise `NonFiniteError` for the first of inputs, weights, initial and later states.

    `states` and `inputs` have a leading time axis.
    """
    check_finite(inputs, "inputs", axis_name="step index")
    check_finite(cell, "weights")
    check_finite(first_of(states), "initial state")
    check_finite(states, "states", axis_name="step", advice=STATES_EXPLODE)


def _is_inexact(leaf) -> bool:
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.inexact)
