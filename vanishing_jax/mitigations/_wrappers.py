"""Wrappers around any cell: skips through time, cuts of back-propagation."""

from typing import Any

from jax.tree_util import Partial

from .._types import Key
from ..cells import AbstractCell, ClippedGradientCell, LeakyCell, ResidualCell, TruncatedCell
from ._mitigation import Mitigation


def residual(scale: float = 1.0) -> Mitigation:
    r"""Return a residual connection through time, $s' = s + \epsilon f(s, x)$ (`ResidualCell`).

    **Arguments:**

    - `scale`: $\epsilon$; 1 by default.

    **Returns:** a `Mitigation` with `transform_cell`.

    **Raises:** when applied, as `ResidualCell`.
    """
    name = f"residual connection through time, scale {scale:g}"
    return Mitigation(name, transform_cell=Partial(_wrap, ResidualCell, float(scale)))


def leaky(rate: float = 0.1) -> Mitigation:
    r"""Return leaky units, $s' = (1 - a) s + a f(s, x)$ (`LeakyCell`).

    **Arguments:**

    - `rate`: a, in (0, 1]; 0.1 by default.

    **Returns:** a `Mitigation` with `transform_cell`.

    **Raises:** when applied, as `LeakyCell`.
    """
    wrap = Partial(_wrap, LeakyCell, float(rate))
    return Mitigation(f"leaky units, rate {rate:g}", transform_cell=wrap)


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
    return Mitigation(name, transform_cell=Partial(_wrap, TruncatedCell, steps))


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
    name = f"state gradient clipped by {by} at {threshold:g} in every step"
    wrap = Partial(_wrap, ClippedGradientCell, float(threshold), by=by)
    return Mitigation(name, transform_cell=wrap)


def _wrap(
    wrapper: Any, number: float | int, cell: Any, *, key: Key, **options: Any
) -> AbstractCell:
    return wrapper(cell, number, **options)
