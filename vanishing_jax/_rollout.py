"""Running a cell over a sequence."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ._cell_checks import warn_of_suspicious_state
from ._checks import as_arrays, check_choice, check_step, num_steps, warn_of_float64
from ._tree import describe, state_layout
from ._types import PyTree
from .cells import as_cell
from .cells._diagonal import associative_states


class Trajectory(eqx.Module):
    """The states s_0..s_T a cell passed through and the inputs x_1..x_T that drove it.

    - `states`: the state pytree with a leading axis of length T+1; `states[0]` is the initial
      state.
    - `inputs`: the input pytree with a leading axis of length T.
    """

    states: PyTree
    inputs: PyTree

    @property
    def num_steps(self) -> int:
        """Number of steps T."""
        return jax.tree.leaves(self.inputs)[0].shape[0]

    def __repr__(self) -> str:
        states, inputs = describe(self.states), describe(self.inputs)
        return f"Trajectory(steps={self.num_steps}, states={states}, inputs={inputs})"


def rollout(cell: Any, state0: PyTree, inputs: PyTree, *, method: str = "scan") -> Trajectory:
    """Return the trajectory s_t = cell(s_{t-1}, x_t), t = 1..T.

    Jittable and differentiable; batches by `jax.vmap` over `state0` and `inputs`.

    **Arguments:**

    - `cell`: anything `as_cell` accepts.
    - `state0`: the state s_0, any pytree with at least one floating leaf.
    - `inputs`: pytree whose leaves share a leading time axis of length T >= 1.
    - `method`: "scan" goes step by step. "associative" needs O(log T) stages instead, for the cells
      that are affine and diagonal in their state (`LRUCell`, `S4DCell`, `SelectiveCell`,
      `MinGRUCell`, `MinLSTMCell`): the same states to rounding. It is for hardware that does a
      whole stage at once. On one core of a CPU it ran at 0.14 to 0.66 times the speed of the scan,
      at 1.5 times in the best case (`benchmarks/results/associative.json`).

    **Returns:** a `Trajectory`.

    **Raises:** `ValueError` when the cell does not return a state like `state0` (structure, shapes,
    dtypes), when input lengths differ or are 0, for another method; `TypeError` for an object that
    is no cell, and for "associative" with a cell that it cannot run. Warns of a state that behaves
    as a batch of states, and of an (h, c) that looks swapped.

    **Cost:** T evaluations of the cell, one `lax.scan`; O(T) states of memory.

    **Example:**

    >>> import jax, jax.numpy as jnp, vanishing_jax as vj
    >>> halve = vj.FunctionCell(lambda w, h, x: w * h + x, jnp.array(0.5))
    >>> vj.rollout(halve, jnp.array([1.0]), jnp.zeros((3, 1))).states[:, 0]
    Array([1.   , 0.5  , 0.25 , 0.125], dtype=...)
    """
    check_choice("method", method, ("scan", "associative"))
    cell = as_cell(cell)
    warn_of_float64(weights=cell, state0=state0, inputs=inputs)
    state0, inputs = as_arrays(state0, "state0"), as_arrays(inputs, "inputs")
    num_steps(inputs)
    state_layout(state0)
    first = jax.tree.map(lambda x: x[0], inputs)
    check_step(cell, state0, first)
    warn_of_suspicious_state(cell, state0, first)
    return Trajectory(_states(cell, state0, inputs, method), inputs)


@eqx.filter_jit
def _states(cell, state0, inputs, method):
    def step(state, input):
        state = cell(state, input)
        return state, state

    if method == "scan":
        _, states = jax.lax.scan(step, state0, inputs)
    else:
        states = associative_states(cell, state0, inputs)
    first = jax.tree.map(lambda leaf: leaf[None], state0)
    return jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, states)
