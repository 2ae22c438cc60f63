"""Sequences of different length in one padded array: what padding must not change.

Nothing in the padding is ever used. Inputs there are replaced by the last valid one, states there
by the last valid one, and whatever linearizes a step there does so at a step that the sequence did
take: a cell is never asked for a derivative at a point that only padding leads to, whose NaN even a
zero gradient would turn into NaN.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from .._rollout import Trajectory
from .._types import Array, ArrayLike


def check_lengths(lengths: Any, num_sequences: int, num_steps: int) -> Int[np.ndarray, "batch"]:
    """Return the lengths as integers, one for each sequence; None means no padding."""
    if lengths is None:
        return np.full(num_sequences, num_steps, np.int32)
    found = np.atleast_1d(np.asarray(lengths))
    if found.dtype.kind not in "iu":
        raise TypeError(f"expected lengths as integers, in steps; got dtype {found.dtype}.")
    if found.shape != (num_sequences,):
        raise ValueError(
            f"expected one length for each of {num_sequences} sequences; got shape {found.shape}."
        )
    if found.min() < 1 or found.max() > num_steps:
        row = int(np.argmax((found < 1) | (found > num_steps)))
        raise ValueError(
            f"expected lengths from 1 to {num_steps}, the time axis of the inputs; sequence {row} "
            f"has {found[row]}."
        )
    return found.astype(np.int32)


def visited(trajectories: Trajectory, lengths: Int[Array, "batch"]) -> Trajectory:
    """Return trajectories whose steps in the padding all begin where the last valid step began."""
    times = jnp.arange(jax.tree.leaves(trajectories.states)[0].shape[1], dtype=jnp.int32)
    index = jnp.minimum(times[None, :], lengths[:, None] - 1)

    def held(leaf):
        return jax.vmap(lambda row, i: row[i])(leaf, index)

    return Trajectory(jax.tree.map(held, trajectories.states), trajectories.inputs)


def folded(
    local: Float[Array, "batch time_plus_one state"], lengths: Int[ArrayLike, "batch"]
) -> Float[Array, "batch time_plus_one state"]:
    """Return direct gradients with those of the padding, where s_t = s_length, at the length."""
    times = jnp.arange(local.shape[1], dtype=jnp.int32)[None, :, None]
    end = lengths[:, None, None]
    zero = jnp.zeros((), local.dtype)
    beyond = jnp.sum(jnp.where(times >= end, local, zero), axis=1, keepdims=True)
    return jnp.where(times < end, local, jnp.where(times == end, beyond, zero))


def cut(trajectories: Trajectory, steps: int) -> Trajectory:
    """Return the first `steps` steps of a batch of trajectories."""
    states = jax.tree.map(lambda leaf: leaf[:, : steps + 1], trajectories.states)
    return Trajectory(states, jax.tree.map(lambda leaf: leaf[:, :steps], trajectories.inputs))
