"""A cell with a linear readout."""

import functools as ft
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float

from .._types import Array, Key, PyTree
from ..cells import AbstractCell, as_cell, hidden_output
from ..cells._affine import AbstractAffineCell
from ..tasks import AbstractTask, Padded
from ..tasks._padded import zero_beyond
from ._batch_scan import scan_batch
from ._scan import scan


class SequenceModel(eqx.Module):
    """A cell and a linear readout of its hidden vectors: one output per sequence, or per step.

    `model(inputs)` runs the cell from its initial state over `inputs` (`time input`) and returns
    `weight @ h_T + bias`, with h the `hidden_output` of the cell; with `every_step` it returns
    `weight @ h_t + bias` for t = 1..T. Of `Padded` inputs it reads only the steps that belong to
    the sequence: the state stays as it was at the last of them. Unbatched: use `jax.vmap(model)`.
    The recurrence to diagnose is `model.cell`.

    **Arguments:**

    - `cell`: anything `as_cell` accepts that knows its initial state.
    - `output_size`: components of the output.
    - `every_step`: return the outputs of all steps, as a task with `every_step` asks for.
    - `key`: for the Glorot-uniform readout weights; the bias starts at zero.

    **Raises:** `TypeError` for an object that is no cell; `ValueError` when the cell does not know
    its initial state, or its hidden output is no vector.

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
    every_step: bool = eqx.field(static=True)

    def __init__(
        self,
        cell: Any,
        output_size: int,
        *,
        every_step: bool = False,
        key: Key,
    ):
        self.cell, self.every_step = as_cell(cell), every_step
        hidden = hidden_output(self.cell, self.cell.initial_state())
        if hidden.ndim != 1:
            raise ValueError(
                f"expected a cell whose hidden output is a vector; its shape is {hidden.shape}."
            )
        glorot = jax.nn.initializers.glorot_uniform(in_axis=1, out_axis=0)
        self.weight = glorot(key, (output_size, hidden.size), hidden.dtype)
        self.bias = jnp.zeros((output_size,), hidden.dtype)

    def __call__(self, inputs: PyTree) -> Float[Array, "*time output"]:
        """Return the output after the last step of `inputs`, a pytree with leading axis `time`.

        With `every_step` the outputs after each step, `time output`.
        """
        return self.run(inputs)[0]

    def run(
        self, inputs: PyTree, *, checkpoint: bool = False, state0: PyTree = None
    ) -> tuple[Float[Array, "*time output"], PyTree]:
        """Return (outputs as of a call, the cell's final state), from `state0` or the cell's own.

        With `checkpoint`, back-propagation through T steps keeps what O(sqrt(T)) of them need and
        computes the others again: the same gradient for less memory and one more forward pass.
        """
        mask = None
        if isinstance(inputs, Padded):
            mask = inputs.mask(inputs.values.shape[0])
            inputs = zero_beyond(inputs.values, mask)

        start = self.cell.initial_state() if state0 is None else state0

        # As `rollout`, keeping of the states only what is read.
        def step(state, step_input):
            input, inside = step_input
            new = self.cell(state, input)
            if inside is not None:
                new = jax.tree.map(lambda a, b: jnp.where(inside, a, b), new, state)
            return new, hidden_output(self.cell, new) if self.every_step else None

        state, hidden = scan(step, start, (inputs, mask), checkpoint=checkpoint)
        return (self.read(state) if hidden is None else self._affine(hidden)), state

    def run_batch(
        self, inputs: PyTree, *, checkpoint: bool = False
    ) -> tuple[Float[Array, "batch *time output"], PyTree]:
        """Return (outputs, final states) of a batch of sequences, as `jax.vmap(model.run)` does.

        For training: of a cell that is affine maps and something elementwise (`VanillaCell`,
        `LSTMCell`, `GRUCell`) the gradient takes less time and memory, and is the same to rounding.
        Such a run has no forward-mode derivative; `jax.vmap(model)` has all of them.
        """
        if checkpoint or not isinstance(self.cell, AbstractAffineCell):
            return jax.vmap(ft.partial(self.run, checkpoint=checkpoint))(inputs)
        mask = None
        if isinstance(inputs, Padded):
            mask = inputs.mask(inputs.values.shape[1])
            inputs = zero_beyond(inputs.values, mask)
        states, hidden = scan_batch(self.cell, inputs, mask, every_step=self.every_step)
        return (self.read(states) if hidden is None else self._affine(hidden)), states

    def read(self, state: PyTree) -> Float[Array, "*batch output"]:
        """Return the outputs for states with any leading axes."""
        return self._affine(hidden_output(self.cell, state))

    def _affine(self, hidden: Float[Array, "*batch hidden"]) -> Float[Array, "*batch output"]:
        outputs = hidden @ self.weight.T
        return outputs + jnp.broadcast_to(self.bias, outputs.shape)


def readout_loss(
    model: SequenceModel, task: AbstractTask, targets: PyTree
) -> Callable[[PyTree], Array]:
    """Return the task's loss as a function of the states a cell passed through.

    The bridge from a trained model to its diagnosis: the states are read out and scored against
    `targets`, so gradients start from the real loss and not from a random probe. A task that is
    scored at the last step reads only the last state, of `Padded` targets the state in which each
    sequence ended.

    **Arguments:**

    - `model`: whose readout is used. Its cell is not: the states come from outside.
    - `task`: whose loss is used, at every step or at the last one, as its `every_step` says.
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
    outputs = model.read(states)
    if task.every_step:
        return task.loss(outputs[..., 1:, :], targets)
    if not isinstance(targets, Padded):
        return task.loss(outputs[..., -1, :], targets)
    last = jnp.expand_dims(targets.length, (-2, -1))  # states[0] is before the first step
    return task.loss(jnp.take_along_axis(outputs, last, axis=-2)[..., 0, :], targets)
