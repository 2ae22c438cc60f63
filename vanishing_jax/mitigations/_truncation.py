"""Truncated back-propagation through time."""

from typing import Any

from jax.tree_util import Partial

from .._types import Key
from ..cells import AbstractCell, TruncatedCell
from ._mitigation import Mitigation


def truncate(steps: int) -> Mitigation:
    """Return back-propagation that is cut at every multiple of `steps` time steps.

    Wraps the cell in a `TruncatedCell`; the forward pass stays as it is. Contributions to the
    gradient of lag `steps` and more become exactly 0.

    **Arguments:**

    - `steps`: K, at least 1.

    **Returns:** a `Mitigation` with `transform_cell`.

    **Raises:** when applied, as `TruncatedCell`.
    """
    name = f"back-propagation truncated to blocks of {steps} steps"
    return Mitigation(name, transform_cell=Partial(_apply, steps))


def _apply(steps: int, cell: Any, *, key: Key) -> AbstractCell:
    return TruncatedCell(cell, steps)
