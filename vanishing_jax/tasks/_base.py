"""The task protocol: where sequences come from and how outputs are scored."""

import abc

import equinox as eqx

from .._types import Array, Key, PyTree


class AbstractTask(eqx.Module):
    """A source of training sequences with its loss, its metric and its memoryless baseline.

    To add a task, subclass this in one new file. A subclass is final. `sample`, `loss` and `metric`
    are pure and jittable, because training draws its data on the device inside one compiled loop.

    - `name`: what tables and file names call the task.
    - `metric_name`: what the metric is, for instance "accuracy".
    - `input_size`, `output_size`: components of one step's input and of one output.
    - `length`: number of time steps T, all of them; where sequences differ in length, the longest.
    - `every_step`: whether `loss` and `metric` take the outputs of all steps (`batch time output`)
      or only those of the last one (`batch output`). Build the model accordingly:
      `SequenceModel(cell, task.output_size, every_step=task.every_step, key=key)`.
    - `baseline`: the expected loss, in the units of `loss`, of the best memoryless model: one that
      sees the input of the step it is scored at, and which step that is, and nothing earlier. A
      network that does not get below it has learned no dependence on the past.
    """

    name: eqx.AbstractVar[str]
    metric_name: eqx.AbstractVar[str]
    input_size: eqx.AbstractVar[int]
    output_size: eqx.AbstractVar[int]
    length: eqx.AbstractVar[int]
    every_step: eqx.AbstractVar[bool]
    baseline: eqx.AbstractVar[float]

    @abc.abstractmethod
    def sample(self, key: Key, batch_size: int) -> tuple[PyTree, PyTree]:
        """Return (inputs, targets) of fresh training sequences.

        Batch first, then time: inputs are `batch time input`. One key always gives one batch. Where
        sequences differ in length both are `Padded`.
        """

    @abc.abstractmethod
    def loss(self, outputs: Array, targets: PyTree) -> Array:
        """Return the scalar to minimize, a mean over whatever axes precede those of one output."""

    @abc.abstractmethod
    def metric(self, outputs: Array, targets: PyTree) -> Array:
        """Return the scalar that people quote for this task, averaged like the loss."""


class AbstractDescribedTask(AbstractTask):
    """A task that knows what it is from its `__init__` on: its description is static."""

    name: str = eqx.field(static=True)
    metric_name: str = eqx.field(static=True)
    input_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)
    length: int = eqx.field(static=True)
    every_step: bool = eqx.field(static=True)
    baseline: float = eqx.field(static=True)

    def _describe(
        self,
        name: str,
        length: int,
        *,
        sizes: tuple[int, int],
        baseline: float,
        every_step: bool = False,
        metric_name: str = "accuracy",
    ) -> None:
        """Set these fields, `sizes` being those of input and output, in a subclass's `__init__`."""
        self.name, self.length, self.baseline = name, length, baseline
        self.input_size, self.output_size = sizes
        self.every_step, self.metric_name = every_step, metric_name
