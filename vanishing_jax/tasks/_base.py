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
    - `length`: number of time steps T.
    - `baseline`: the loss (expected, natural units of `loss`) of the best model that sees only the
      last input. A network that does not get below it has learned no dependence on the past.
    """

    name: eqx.AbstractVar[str]
    metric_name: eqx.AbstractVar[str]
    input_size: eqx.AbstractVar[int]
    output_size: eqx.AbstractVar[int]
    length: eqx.AbstractVar[int]
    baseline: eqx.AbstractVar[float]

    @abc.abstractmethod
    def sample(self, key: Key, batch_size: int) -> tuple[PyTree, PyTree]:
        """Return (inputs, targets) of fresh training sequences.

        Batch first, then time: inputs are `batch time input`. One key always gives one batch.
        """

    @abc.abstractmethod
    def loss(self, outputs: Array, targets: PyTree) -> Array:
        """Return the scalar to minimize, a mean over whatever axes precede those of one output."""

    @abc.abstractmethod
    def metric(self, outputs: Array, targets: PyTree) -> Array:
        """Return the scalar that people quote for this task, averaged like the loss."""
