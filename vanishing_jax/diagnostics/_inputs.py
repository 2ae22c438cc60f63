"""What a diagnosis is given: checked, with an explicit batch axis, on the host."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from .._checks import as_arrays, check_finite, check_step, num_steps
from .._tree import describe
from .._types import Array, ArrayLike, PyTree
from ..cells import AbstractCell
from ._lengths import check_lengths

# With fewer sequences than this, each is probed by several random vectors, which are averaged.
_FEW_SEQUENCES, _PROBES = 4, 8


class Sequences(NamedTuple):
    """A batch of sequences.

    - `inputs`: (batch, time, ...); `lengths`: steps of each sequence, the rest is padding.
    - `loss`: of the states of the whole batch, or None.
    """

    inputs: PyTree
    loss: Callable[[PyTree], Array] | None
    lengths: Int[np.ndarray, "batch"]


class _OfOne(eqx.Module):
    """The loss of a batch of one sequence. No lambda: equal losses are one compiled program."""

    loss: Callable[[PyTree], Array]

    def __call__(self, states: PyTree) -> Array:
        return self.loss(jax.tree.map(lambda leaf: leaf[0], states))


def as_sequences(
    cell: AbstractCell,
    state0: PyTree,
    inputs: PyTree,
    *,
    loss: Callable[[PyTree], Array] | None,
    batched: bool | None,
    lengths: Any,
) -> Sequences:
    """Return what `diagnose` is given as a batch; `cell`, the first to read the inputs, says how.

    NaN or infinite inputs within the sequences are an error, in the padding they are none.
    """
    inputs = jax.tree.map(on_host, as_arrays(inputs, "inputs"))
    if not _has_batch(cell, state0, inputs, batched):
        inputs = jax.tree.map(lambda leaf: leaf[None], inputs)
        loss = None if loss is None else _OfOne(loss)
    found = check_lengths(lengths, *jax.tree.leaves(inputs)[0].shape[:2])

    def valid_time_first(leaf):
        if not jnp.issubdtype(leaf.dtype, jnp.inexact):
            return leaf
        within = np.arange(leaf.shape[1]) < found[:, None]
        inside = within.reshape(*within.shape, *[1] * (leaf.ndim - 2))
        return np.moveaxis(np.where(inside, leaf, np.zeros((), leaf.dtype)), 1, 0)

    check_finite(jax.tree.map(valid_time_first, inputs), "inputs", axis_name="step index")
    return Sequences(inputs, loss, found)


def _has_batch(cell: AbstractCell, state0: PyTree, inputs: PyTree, batched: bool | None) -> bool:
    """Say whether inputs are (batch, time, ...): try both readings on the cell, compute nothing."""
    num_steps(inputs)
    if batched is not None:
        problem = _misfit(cell, state0, inputs, 2 if batched else 1)
        if problem is not None:
            raise problem
        return batched
    as_single, as_batch = (_misfit(cell, state0, inputs, axes) for axes in (1, 2))
    if as_single is None and as_batch is None:
        raise ValueError(
            f"inputs {describe(inputs)} fit the cell as (time, ...) and as (batch, time, ...). "
            "Say which: diagnose(..., batched=False) or batched=True."
        )
    if as_single is not None and as_batch is not None:
        one, other = (str(error.__cause__ or error) for error in (as_single, as_batch))
        if one == other:  # nothing to do with the inputs' shape
            raise as_single
        raise ValueError(
            f"expected inputs (time, ...) or (batch, time, ...) whose steps fit the cell; got "
            f"{describe(inputs)}.\nAs one sequence: {as_single}\nAs a batch: {as_batch}"
        ) from as_single
    return as_single is not None


def _misfit(
    cell: AbstractCell, state0: PyTree, inputs: PyTree, leading_axes: int
) -> Exception | None:
    """Return the error of taking the first `leading_axes` axes off the inputs, or None."""
    for leaf in jax.tree.leaves(inputs):
        if leaf.ndim < leading_axes:
            return ValueError(f"an input of shape {leaf.shape} has no axes (batch, time, ...).")
        if 0 in leaf.shape[:leading_axes]:
            return ValueError(f"an input of shape {leaf.shape} has no sequence or no step.")

    def one_step(leaf):
        return jax.ShapeDtypeStruct(leaf.shape[leading_axes:], leaf.dtype)

    try:
        check_step(cell, state0, jax.tree.map(one_step, inputs))
    except Exception as error:  # a user's cell may raise anything on an input of the wrong rank
        return error
    return None


def on_host(leaf: ArrayLike) -> ArrayLike:
    """Return an array as a NumPy array, where nothing is compiled; keys stay what they are."""
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return leaf if is_key else np.asarray(leaf)


def probes_of_each(loss: Callable[[PyTree], Array] | None, num_sequences: int) -> int:
    """Return by how many random vectors each sequence is probed where there is no loss."""
    return _PROBES if loss is None and num_sequences < _FEW_SEQUENCES else 1


def unit_vectors(
    rows: int, size: int, dtype: Any, where: ArrayLike | bool = True
) -> Float[np.ndarray, "row size"]:
    """Return random unit vectors, of the components `where` alone, always the same."""
    vectors = np.where(where, np.random.default_rng(0).standard_normal((rows, size)), 0)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(dtype)


def no_gradient(of: str, where: str, advice: str) -> ValueError:
    """Return the error for a loss that asks for nothing."""
    return ValueError(
        f"expected a loss whose gradient with respect to {of} is not zero; it is zero {where}. "
        f"{advice}"
    )
