"""A cell with a linear readout."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float

from .._types import Array, Key, PyTree
from ..cells import AbstractCell, as_cell, hidden_output
from ..tasks import AbstractTask


class SequenceModel(eqx.Module):
    """A cell and a linear readout of its last hidden vector: one output per sequence.

    `model(inputs)` runs the cell from its initial state over `inputs` (`time input`) and returns
    `weight @ h_T + bias`, with h the `hidden_output` of the cell. Unbatched: use `jax.vmap(model)`.
    The recurrence to diagnose is `model.cell`.

    **Arguments:**

    - `cell`: anything `as_cell` accepts that knows its initial state.
    - `output_size`: components of the output.
    - `key`: for the Glorot-uniform readout weights; the bias starts at zero.

    **Raises:** `TypeError` for an object that is no cell; `ValueError` when the cell does not know
    its initial state or its hidden output is no vector.

    **Example:**

    >>> import jax, jax.numpy as jnp
    >>> from vanishing_jax.cells import LSTMCell
    >>> key_cell, key_readout = jax.random.split(jax.random.key(0))
    >>> model = SequenceModel(LSTMCell(1, 4, key=key_cell), 10, key=key_readout)
    >>> model(jnp.zeros((64, 1))).shape
    (10,)
    """

    cell: AbstractCell
    weight: Float[Array, "output hidden"]
    bias: Float[Array, " output"]

    def __init__(self, cell: Any, output_size: int, *, key: Key):
        self.cell = as_cell(cell)
        hidden = hidden_output(self.cell, self.cell.initial_state())
        if hidden.ndim != 1:
            raise ValueError(
                f"expected a cell whose hidden output is a vector; its shape is {hidden.shape}."
            )
        glorot = jax.nn.initializers.glorot_uniform(in_axis=1, out_axis=0)
        self.weight = glorot(key, (output_size, hidden.size), hidden.dtype)
        self.bias = jnp.zeros((output_size,), hidden.dtype)

    def __call__(self, inputs: PyTree) -> Float[Array, " output"]:
        """Return the output after the last step of `inputs`, a pytree with leading axis `time`."""
        # As `rollout`, without keeping the states: only the last one is read.
        state, _ = jax.lax.scan(
            lambda state, input: (self.cell(state, input), None), self.cell.initial_state(), inputs
        )
        return self.read(state)

    def read(self, state: PyTree) -> Float[Array, "*batch output"]:
        """Return the outputs for states with any leading axes."""
        outputs = hidden_output(self.cell, state) @ self.weight.T
        return outputs + jnp.broadcast_to(self.bias, outputs.shape)


def readout_loss(
    model: SequenceModel, task: AbstractTask, targets: PyTree
) -> Callable[[PyTree], Array]:
    """Return the task's loss as a function of the states a cell passed through.

    The bridge from a trained model to its diagnosis: the last state is read out and scored against
    `targets`, so gradients start from the real loss and not from a random probe.

    **Arguments:**

    - `model`: whose readout is used. Its cell is not: the states come from outside.
    - `task`: whose loss is used.
    - `targets`: of the sequences that will be diagnosed, batch first.

    **Returns:** `loss(states)`, a scalar, for `states` as in `Trajectory.states` of a batch, with
    leading axes `batch time+1`; with the target of one sequence, for its states alone.

    **Example:** `vj.diagnose(model.cell, inputs, loss=readout_loss(model, task, targets))` asks how
    far back the gradient of the task's own loss reaches.
    """
    # A pytree, not a closure: another model or other targets do not mean another compilation.
    return jax.tree_util.Partial(_readout_loss, model, task, targets)


def _readout_loss(model: SequenceModel, task: AbstractTask, targets: PyTree, states: PyTree):
    # All steps are read and one is kept: the readout costs nothing beside the recurrence.
    return task.loss(model.read(states)[..., -1, :], targets)
