"""Numbers given to laws: the one rule for scalars, and the check of their range."""

from typing import Any

import numpy as np
from jax.core import Tracer


def as_given(value: Any) -> Any:
    """Return a Python float for a scalar, an array as it is: the rule of the package, for NumPy."""
    return value if np.ndim(value) else float(value)


def check_numbers(*, positive: tuple[str, ...], **numbers: Any) -> None:
    """Raise ValueError for a number that is not finite or negative, or 0 where `positive`."""
    for name, value in numbers.items():
        if isinstance(value, Tracer):
            continue
        x, strict = np.asarray(value), name in positive
        if not (np.isfinite(x) & ((x > 0) if strict else (x >= 0))).all():
            sign = "positive" if strict else "non-negative"
            raise ValueError(f"expected a {sign}, finite `{name}`; got {value}.")
