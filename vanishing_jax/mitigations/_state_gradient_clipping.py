"""Clipping of the gradient inside the recurrence."""

from typing import Any

from jax.tree_util import Partial

from .._types import Key
from ..cells import AbstractCell, ClippedGradientCell
from ._mitigation import Mitigation


def clip_state_gradient(threshold: float, *, by: str = "norm") -> Mitigation:
    """Return clipping of the state's gradient at every step of back-propagation.

    Wraps the cell in a `ClippedGradientCell`; the forward pass stays as it is.

    **Arguments:**

    - `threshold`: in units of the loss per unit of state. A loss that is a mean over B sequences
      gives each of them a factor 1/B.
    - `by`: "norm" (default) or "value".

    **Returns:** a `Mitigation` with `transform_cell`.

    **Raises:** when applied, as `ClippedGradientCell`.
    """
    return Mitigation(
        f"state gradient clipped by {by} at {threshold:g} in every step",
        transform_cell=Partial(_apply, float(threshold), by),
    )


def _apply(threshold: float, by: str, cell: Any, *, key: Key) -> AbstractCell:
    return ClippedGradientCell(cell, threshold, by=by)
