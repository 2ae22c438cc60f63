"""Tasks that ask for a class: after the last step, or at every step."""

import equinox as eqx
from jaxtyping import Float

from .._types import Array, PyTree
from ._base import AbstractDescribedTask
from ._scores import cross_entropies, hits, label_score


class AbstractClasses(AbstractDescribedTask):
    """A generated task whose targets are classes; at every step -1 where nothing is scored.

    - `variant`: which of the published forms it is.
    - `recalled_steps`: how many steps at the end the metric counts; None for all.
    """

    variant: str = eqx.field(static=True)
    recalled_steps: int | None = eqx.field(static=True)

    def loss(self, outputs: Float[Array, "*batch classes"], targets: PyTree) -> Array:
        """Return the mean cross-entropy in nats, over what is scored."""
        return label_score(cross_entropies, outputs, targets, self.every_step)

    def metric(self, outputs: Float[Array, "*batch classes"], targets: PyTree) -> Array:
        """Return the share of classes that are right, of the last steps if only these matter."""
        if self.recalled_steps is not None:
            last = slice(-self.recalled_steps, None)
            outputs, targets = outputs[..., last, :], targets[..., last]
        return label_score(hits, outputs, targets, self.every_step)
