"""Tasks that ask for a class at every step."""

import equinox as eqx
from jaxtyping import Float, Int

from .._types import Array
from ._base import AbstractTask
from ._scores import step_cross_entropy


class AbstractStepClasses(AbstractTask):
    """A task with a class at every step: -1 where nothing is scored."""

    length: int = eqx.field(static=True)
    variant: str = eqx.field(static=True)
    name: str = eqx.field(static=True)
    metric_name: str = eqx.field(static=True)
    baseline: float = eqx.field(static=True)
    input_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)
    every_step: bool = eqx.field(static=True)

    def loss(
        self, outputs: Float[Array, "*batch time classes"], targets: Int[Array, "*batch time"]
    ) -> Array:
        """Return the mean cross-entropy over the scored steps, in nats."""
        return step_cross_entropy(outputs, targets)
