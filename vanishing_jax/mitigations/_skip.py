"""Skip connections through time, put around any cell."""

from typing import Any

from jax.tree_util import Partial

from .._types import Key
from ..cells import AbstractCell, LeakyCell, ResidualCell
from ._mitigation import Mitigation


def residual(scale: float = 1.0) -> Mitigation:
    r"""Return a residual connection through time, $s' = s + \epsilon f(s, x)$ (`ResidualCell`).

    **Arguments:**

    - `scale`: $\epsilon$; 1 by default.

    **Returns:** a `Mitigation` with `transform_cell`.

    **Raises:** when applied, as `ResidualCell`.
    """
    name = f"residual connection through time, scale {scale:g}"
    return Mitigation(name, transform_cell=Partial(_add, float(scale)))


def leaky(rate: float = 0.1) -> Mitigation:
    r"""Return leaky units, $s' = (1 - a) s + a f(s, x)$ (`LeakyCell`).

    **Arguments:**

    - `rate`: a, in (0, 1]; 0.1 by default.

    **Returns:** a `Mitigation` with `transform_cell`.

    **Raises:** when applied, as `LeakyCell`.
    """
    return Mitigation(f"leaky units, rate {rate:g}", transform_cell=Partial(_leak, float(rate)))


def _add(scale: float, cell: Any, *, key: Key) -> AbstractCell:
    return ResidualCell(cell, scale)


def _leak(rate: float, cell: Any, *, key: Key) -> AbstractCell:
    return LeakyCell(cell, rate)
