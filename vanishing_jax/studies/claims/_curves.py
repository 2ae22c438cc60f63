"""Lines of figures, out of measured numbers and of laws."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ._result import Curve


def points(label: str, x: Iterable[float], y: Iterable[Any], *, measured: bool = True) -> Curve:
    """Return numbers as a line; those of several seeds count with their mean."""
    means = (float(np.mean(values)) for values in y)
    return Curve(label, tuple(map(float, x)), tuple(means), measured)


def law(label: str, x: Iterable[float], of: Callable[[float], Any]) -> Curve:
    """Return a line of theory."""
    x = tuple(map(float, x))
    return points(label, x, map(of, x), measured=False)
