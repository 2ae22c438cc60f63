"""The norm of the back-propagated gradient by lag, of each sequence: three programs.

One runs the cell, one takes the gradient of the loss by the states, one carries it back. The first
and the last are the same for the network and for every intervention, and take buffers of a few
sizes only: how many steps they run is data, so that a diagnosis of another length, of another batch
size within a bucket, or of other weights compiles nothing. The one in the middle is small; it is
compiled for each loss and shape, since the loss sees its states as they are.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from .._mantissa_exponent import normalized
from .._rollout import Trajectory
from .._tree import state_layout
from .._types import Array, ArrayLike, PyTree
from ..cells._clipped_gradient import rescaled_clips, without_clips
from ._back_propagate import log_norm, loss_gradient
from ._inputs import Sequences, on_host, unit_vectors
from ._interventions import IntervenedCell
from ._lengths import folded

# Buffers have one of four sizes to an octave, and at least these.
_FEWEST_STEPS, _FEWEST_ROWS = 32, 4


# LLVM's level 2 in place of 3: a quarter less to compile, and no slower to run (LSTM of 128 units).
_OPTIONS: dict[str, Any] = {"compiler_options": {"xla_backend_optimization_level": 2}}
compiled = eqx.filter_jit(**_OPTIONS)


class Batch(NamedTuple):
    """What to run: one row per sequence, or per probe of a few sequences, in buffers.

    - `state0`: the initial state of one sequence.
    - `inputs`: (time, row, ...), of bucket sizes; what lies beyond a sequence's end repeats its
      last step, and what lies beyond the last sequence repeats that.
    - `lengths`: steps of each row of the buffers.
    - `probes`: what is carried back from the last state where there is no loss.
    - `num_steps`: length of the time axis that the loss sees, T.
    - `num_probes`: consecutive rows of one sequence.
    """

    state0: PyTree
    inputs: PyTree
    loss: Callable[[PyTree], Array] | None
    probes: Float[np.ndarray, "row state"]
    lengths: Int[np.ndarray, "row"]
    num_steps: int
    num_sequences: int
    num_probes: int

    @property
    def ends(self) -> Int[np.ndarray, "row"]:
        """Steps of each row that counts."""
        return self.lengths[: self.num_sequences * self.num_probes]

    def trajectories(self, states: PyTree) -> Trajectory:
        """Return states and inputs of the rows, batch before time, held from their ends on."""
        rows = np.arange(len(self.ends))[:, None]
        times = np.minimum(np.arange(self.num_steps + 1), self.ends[:, None])
        held = jax.tree.map(lambda leaf: on_host(leaf)[times, rows], states)
        steps = np.arange(self.num_steps)[None, :]
        return Trajectory(held, jax.tree.map(lambda leaf: on_host(leaf)[steps, rows], self.inputs))

    def first(self, states: PyTree) -> Trajectory:
        """Return the trajectory of the first sequence, as long as it is."""
        end = int(self.lengths[0])
        return Trajectory(
            jax.tree.map(lambda leaf: on_host(leaf)[: end + 1, 0], states),
            jax.tree.map(lambda leaf: on_host(leaf)[:end, 0], self.inputs),
        )


def make_batch(state0: PyTree, given: Sequences, num_probes: int = 1) -> Batch:
    """Return the rows to run, one for each sequence and probe, in buffers."""
    sequences, steps = jax.tree.leaves(given.inputs)[0].shape[:2]
    layout, count = state_layout(state0), sequences * num_probes
    rows = np.minimum(np.arange(_bucket(count, _FEWEST_ROWS)), count - 1) // num_probes
    # On the device once, not again for each intervention.
    inputs = jax.tree.map(
        lambda leaf: jax.device_put(leaf[rows].swapaxes(0, 1)),
        in_buffers(given.inputs, given.lengths),
    )
    probes = unit_vectors(len(rows), layout.size, layout.dtype)
    lengths = given.lengths[rows]
    return Batch(state0, inputs, given.loss, probes, lengths, steps, sequences, num_probes)


def in_buffers(inputs: PyTree, lengths: Int[np.ndarray, "batch"]) -> PyTree:
    """Return inputs (batch, time, ...) with time of bucket size, the last valid one repeated."""
    steps = _bucket(jax.tree.leaves(inputs)[0].shape[1], _FEWEST_STEPS)
    index = np.arange(len(lengths))[:, None], np.minimum(np.arange(steps), lengths[:, None] - 1)
    return jax.tree.map(lambda leaf: on_host(leaf)[index], inputs)


def _bucket(count: int, least: int) -> int:
    """Return the smallest size of a buffer that holds `count`."""
    if count <= least:
        return least
    step = max(1, 1 << ((count - 1).bit_length() - 3))
    return -(-count // step) * step


class Run(NamedTuple):
    """What the cell did on a batch: `states` in buffers (time, row, ...), all finite or not."""

    states: PyTree
    is_finite: bool


def run(cell: IntervenedCell, batch: Batch) -> Run:
    """Return the states of every row of the batch."""
    longest = np.max(batch.lengths)
    states, finite = _forward(cell, batch.state0, batch.inputs, batch.lengths, longest)
    return Run(states, bool(finite))


def gradient_norms(
    cell: IntervenedCell, batch: Batch, states: PyTree, groups: tuple[tuple[int, ...], ...] = ()
) -> tuple[Float[np.ndarray, "row time_plus_one part"], Int[np.ndarray, "row"]]:
    """Return log ||gradient at s_t|| from its last direct one on, and the step of that.

    Only the direct gradient at the last step with a non-zero one travels (or the probe at s_T when
    there is no loss), so that the direct gradients of earlier steps do not hide its decay. The
    last axis has the whole state and each of the `groups` of components.
    """
    if batch.loss is None:
        # The length of a probe means nothing beside a threshold.
        cell, vectors, last = without_clips(cell), batch.probes, batch.lengths
    else:
        ends = None if np.all(batch.ends == batch.num_steps) else batch.ends
        shape = len(batch.ends), batch.num_steps + 1
        vectors, last = _last_direct(batch.loss, states, shape, ends)
    start = *_on_scale(vectors), last, np.max(np.asarray(last))
    norms = np.asarray(_backward(cell, states, batch.inputs, *start, groups), np.float64)
    norms = norms[: batch.num_steps + 1, : len(batch.ends)].swapaxes(0, 1)
    return norms, np.asarray(last)[: len(batch.ends)]


def _at(tree, t):
    return jax.tree.map(lambda leaf: jax.lax.dynamic_index_in_dim(leaf, t, keepdims=False), tree)


def _put(buffers, values, t):
    put = jax.lax.dynamic_update_index_in_dim
    return jax.tree.map(lambda buffer, value: put(buffer, value, t, 0), buffers, values)


def _where(rows: Bool[Array, "row"], new: PyTree, old: PyTree) -> PyTree:
    def choose(a, b):
        return jnp.where(rows.reshape(-1, *[1] * (a.ndim - 1)), a, b)

    return jax.tree.map(choose, new, old)


@compiled
def _forward(
    cell: IntervenedCell, state0: PyTree, inputs: PyTree, lengths: Int[ArrayLike, "row"], longest
):
    """Return states (time+1, row, ...), and whether all are finite.

    From its end on a row stays as it is.
    """
    times, rows = jax.tree.leaves(inputs)[0].shape[0] + 1, len(lengths)
    start = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (rows, *leaf.shape)), state0)
    buffers = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (times, *leaf.shape)), start)

    def body(t, carry):
        state, buffers = carry
        state = _where(t < lengths, jax.vmap(cell)(state, _at(inputs, t)), state)
        return state, _put(buffers, state, t + 1)

    _, buffers = jax.lax.fori_loop(0, longest, body, (start, buffers))
    inexact = [leaf for leaf in jax.tree.leaves(buffers) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return buffers, jnp.all(jnp.stack([jnp.isfinite(leaf).all() for leaf in inexact]))


@compiled
def _last_direct(
    loss: Callable[[PyTree], Array],
    states: PyTree,
    shape: tuple[int, int],
    ends: Int[ArrayLike, "batch"] | None,
) -> tuple[Float[Array, "row state"], Int[Array, "row"]]:
    """Return the last direct gradient that is not zero of each row, and its step."""
    count, times = shape
    rows = jax.tree.leaves(states)[0].shape[1]
    states = jax.tree.map(lambda leaf: leaf[:times, :count].swapaxes(0, 1), states)
    if ends is not None:
        # Where a row has ended, all states are one: the loop may have stopped before that.
        index = jnp.minimum(jnp.arange(times, dtype=jnp.int32)[None, :], ends[:, None])
        states = jax.tree.map(lambda leaf: jax.vmap(lambda a, i: a[i])(leaf, index), states)
    # A linear loss has a constant gradient: the compiler would evaluate what follows, for seconds.
    local = jax.lax.optimization_barrier(loss_gradient(states, loss, 2))
    local = local if ends is None else folded(local, ends)
    has_direct = jnp.any(local != 0, axis=2)
    last = times - 1 - jnp.argmax(has_direct[:, ::-1], axis=1).astype(jnp.int32)
    vectors = jax.vmap(lambda row, t: row[t])(local, last)
    more = rows - count
    return jnp.pad(vectors, ((0, more), (0, 0))), jnp.pad(last, (0, more))


@compiled
def _backward(
    cell: IntervenedCell,
    states: PyTree,
    inputs: PyTree,
    vectors: Float[ArrayLike, "row state"],
    exponents: Int[ArrayLike, "row"],
    last: Int[ArrayLike, "row"],
    start: Int[ArrayLike, ""],
    groups: tuple[tuple[int, ...], ...],
) -> Float[Array, "time_plus_one row part"]:
    """Return log norms of vectors 2^exponents at the times `last`, carried back; -inf after them.

    They travel as v 2^e. This is the adjoint written out: nothing is differentiated through
    the loop, so its number of steps may be data.
    """
    layout = state_layout(jax.tree.map(lambda leaf: leaf[0, 0], states))
    times = jax.tree.leaves(states)[0].shape[0]

    def pull(state, input, vector, exponent):
        def step(v):
            changed = rescaled_clips(cell, exponent)
            return layout.ravel(changed(layout.unravel(v, state), input))

        (arrived,) = jax.vjp(step, layout.ravel(state))[1](vector)
        return normalized(arrived, exponent)

    def norms(vector, exponent):
        parts = [vector, *(vector[np.array(group)] for group in groups)]
        return jnp.stack([log_norm(part, exponent) for part in parts])

    nothing = jnp.zeros_like(vectors), jnp.zeros_like(exponents)
    empty = jnp.full((times, len(last), 1 + len(groups)), -jnp.inf, layout.dtype)

    def body(i, carry):
        vector, exponent, logs = carry
        t = start - i
        # A row whose gradient has not begun is 0, whatever the derivative is there, NaN included.
        carried = _where(t < last, (vector, exponent), nothing)
        vector, exponent = _where(t == last, (vectors, exponents), carried)
        logs = _put(logs, jax.vmap(norms)(vector, exponent), t)
        back = jnp.maximum(t - 1, 0)
        vector, exponent = jax.vmap(pull)(_at(states, back), _at(inputs, back), vector, exponent)
        return vector, exponent, logs

    return jax.lax.fori_loop(0, start + 1, body, (*nothing, empty))[2]


def _on_scale(vectors: Float[ArrayLike, "row state"]):
    """Return `normalized` of each row by NumPy, which compiles nothing and keeps subnormals."""
    wide = np.asarray(vectors).astype(np.float64)
    size = np.max(np.abs(wide), axis=1)
    usable = np.isfinite(size)
    exponents = np.where(usable, np.frexp(np.where(usable, size, 0))[1], 0).astype(np.int32)
    return np.ldexp(wide, -exponents[:, None]).astype(vectors.dtype), exponents
