"""The one-step map at the moments of a trajectory, and its Jacobians, a chunk at a time."""

from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Float

from ._activations import stable_derivatives
from ._rollout import Trajectory
from ._tree import StateLayout
from ._types import Array, ArrayLike, PyTree
from .cells import AbstractCell

# Jacobians computed by one call, in bytes and steps: the longest of these that T fills, so that few
# of a last, padded call are for nothing, and another T is seldom another program. And by one
# operation: enough to vectorize, small enough to stay in cache.
_CHUNK_BYTES, _CHUNKS = 8 * 2**20, (16, 64, 256, 1024)
_TOGETHER_BYTES = 2 * 2**20


class Linearization(eqx.Module):
    """The cell and the trajectory around which it is linearized: gives J_t on demand."""

    cell: AbstractCell
    trajectory: Trajectory
    layout: StateLayout = eqx.field(static=True)
    mode: Literal["fwd", "rev"] = eqx.field(static=True)
    x64: bool = eqx.field(static=True)  # whether the cell is traced with 64-bit types

    @property
    def batch_size(self) -> int | None:
        """Number of sequences, None for a single one (the layout knows one state's shape)."""
        leaf, spec = jax.tree.leaves(self.trajectory.states)[0], self.layout.leaves[0]
        return leaf.shape[0] if leaf.ndim > len(spec.shape) + 1 else None

    @property
    def num_steps(self) -> int:
        """Number of steps T, of each sequence."""
        leaf, spec = jax.tree.leaves(self.trajectory.states)[0], self.layout.leaves[0]
        # Time is the axis before those of one state, and holds s_0 as well.
        return leaf.shape[leaf.ndim - len(spec.shape) - 1] - 1

    def step_at(self, t: Any) -> tuple[PyTree, PyTree]:
        """Return s_{t-1} and x_t (t from 1; traced)."""

        def take(leaf):
            return jax.lax.dynamic_index_in_dim(leaf, t - 1, keepdims=False)

        return jax.tree.map(take, (self.trajectory.states, self.trajectory.inputs))

    def jacobian(self, t: Any) -> Float[Array, "state state"]:
        """Return J_t (t from 1; traced)."""
        return self.rule.jacobian(*self.step_at(t))

    @property
    def rule(self) -> "StepRule":
        """How to linearize a step, without the steps."""
        return StepRule(self.cell, self.layout, self.mode, self.x64)


class StepRule(eqx.Module):
    """A `Linearization` that does not know the trajectory: one program for every T."""

    cell: AbstractCell
    layout: StateLayout = eqx.field(static=True)
    mode: Literal["fwd", "rev"] = eqx.field(static=True)
    x64: bool = eqx.field(static=True)

    def jacobian(self, state: PyTree, input: PyTree) -> Float[Array, "state state"]:
        """Return the Jacobian of the step from this state under this input."""
        return _jacobian(self.mode, *one_step(self, state, input))


def one_step(
    rule: Linearization | StepRule, state: PyTree, input: PyTree
) -> tuple[Float[Array, "state"], Callable]:
    """Return a state as a vector, and the step from there under an input as a map of it."""

    def step(vector):
        # As the user traces it, also from inside the float64 arithmetic of the spectra: a
        # jnp.zeros(n) in the cell must not turn into float64 there.
        with jax.enable_x64(rule.x64):
            return rule.layout.ravel(rule.cell(rule.layout.unravel(vector, state), input))

    return rule.layout.ravel(state), stable_derivatives(step)


def _jacobian(mode, vector, step):
    return (jax.jacfwd if mode == "fwd" else jax.jacrev)(step)(vector)


def jacobians_of(linearization: Linearization, s: int, t: int) -> Float[ArrayLike, "time n n"]:
    """Return J_{s+1}, ..., J_t of one sequence: a NumPy array, or a traced one under a trace.

    In chunks of one size, so that neither another T nor another window is compiled again. Stored
    column by column, as forward differentiation makes them and the sweep wants them.
    """
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(linearization)):
        # Traced arrays cannot be cut on the host; T is part of the caller's program anyway.
        batch = min(_together(linearization.layout), max(t - s, 1))
        return jax.lax.map(linearization.jacobian, jnp.arange(s + 1, t + 1), batch_size=batch)
    layout, found = linearization.layout, []
    size = chunk_length(layout, t - s)
    with jax.enable_x64(linearization.x64):
        for a in range(s, t, size):
            part = padded_steps(linearization.trajectory, a, min(a + size, t), size)
            # The last chunk is padded to the common size; what that computes is cut off.
            found.append(np.asarray(_transposed_jacobians(linearization.rule, part))[: t - a])
    if not found:
        return np.zeros((0, layout.size, layout.size), layout.dtype)
    transposed = found[0] if len(found) == 1 else np.concatenate(found)
    # A view: rows of J^T in memory are columns of J.
    return transposed.swapaxes(1, 2)


def chunk_length(layout: StateLayout, num_steps: int) -> int:
    """Return how many Jacobians of this state are computed at once, out of so many."""
    longest = max((size for size in _CHUNKS if size <= num_steps), default=_CHUNKS[0])
    # A power of two: states of all sizes share few lengths, and so their compilations.
    fitting = max(1, _CHUNK_BYTES // dense_bytes(1, layout.size, layout.dtype))
    return int(2 ** np.floor(np.log2(min(fitting, longest))))


def padded_steps(
    trajectory: Trajectory, s: int, t: int, size: int, *, axis: int = 0
) -> tuple[PyTree, PyTree]:
    """Return the states and inputs of the steps s + 1 .. t, the last repeated up to `size` steps.

    Time is the given axis of every leaf. Cut in NumPy: slicing a JAX array would compile for every
    other length.
    """

    def cut(leaf):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            # NumPy knows no keys: cut the numbers that they are made of.
            data = jnp.asarray(cut(jax.random.key_data(leaf)))
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
        leaf = np.asarray(leaf)
        if t - s == size:
            return leaf[(slice(None),) * axis + (slice(s, t),)]  # a view, nothing is copied
        return np.take(leaf, np.minimum(np.arange(s, s + size), t - 1), axis=axis)

    return jax.tree.map(cut, (trajectory.states, trajectory.inputs))


@eqx.filter_jit
def _transposed_jacobians(rule: StepRule, steps):
    return _all_jacobians(rule, steps, transpose=True)


@eqx.filter_jit
def jacobians_of_all(
    mine: PyTree, common: PyTree, steps: PyTree
) -> Float[Array, "batch step state state"]:
    """Return the Jacobians of every sequence; the leaves of `mine` have a batch axis."""
    return jax.lax.map(
        lambda both: _all_jacobians(eqx.combine(both[0], common), both[1]), (mine, steps)
    )


def _all_jacobians(rule: StepRule, steps, *, transpose: bool = False):
    """Return the Jacobian, or its transpose, of each of the steps (states, inputs)."""
    length = jax.tree.leaves(steps)[0].shape[0]
    batch = min(_together(rule.layout), length)

    def jacobian(step):
        J = rule.jacobian(*step)
        return J.T if transpose else J

    return jax.lax.map(jacobian, steps, batch_size=batch)


def _together(layout) -> int:
    return max(1, _TOGETHER_BYTES // dense_bytes(1, layout.size, layout.dtype))


def apply_step(
    rule: StepRule,
    state: PyTree,
    input: PyTree,
    block: Float[Array, "state *columns"],
    *,
    transpose: bool,
) -> Float[Array, "state *columns"]:
    """Return J B, or J^T B, for the step from this state under this input."""
    if rule.mode == "rev" and not transpose:
        # A `custom_vjp` has no forward derivative: only the rows of J are to be had.
        return rule.jacobian(state, input) @ block
    vector, step = one_step(rule, state, input)
    if transpose:
        pull = jax.vjp(step, vector)[1]

        def apply(column):
            return pull(column)[0]

    else:
        # The step itself is evaluated once, whatever the number of columns.
        apply = jax.linearize(step, vector)[1]
    return apply(block) if block.ndim == 1 else jax.vmap(apply, in_axes=1, out_axes=1)(block)


def dense_bytes(steps: int, size: int, dtype: Any) -> int:
    """Return the bytes that `steps` Jacobians of `size` by `size` take."""
    return steps * size * size * np.dtype(dtype).itemsize


def gib(count: int) -> str:
    """Return a number of bytes as text."""
    return f"{count / 2**30:.2f} GiB"
