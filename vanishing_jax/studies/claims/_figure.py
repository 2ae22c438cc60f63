"""Figures of claims: lines out of measured numbers and of laws."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np


class Curve(NamedTuple):
    """One line of a claim's figure; `measured` ones are drawn with markers, others as theory."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    measured: bool = True


class Figure(NamedTuple):
    """The data of a claim's figure; without curves the findings themselves are drawn."""

    title: str = ""
    x_label: str = ""
    y_label: str = ""
    curves: tuple[Curve, ...] = ()
    neutral: float | None = None  # a reference line, where neutral matters


def points(label: str, x: Iterable[float], y: Iterable[Any], *, measured: bool = True) -> Curve:
    """Return numbers as a line; those of several seeds count with their mean."""
    means = (float(np.mean(values)) for values in y)
    return Curve(label, tuple(map(float, x)), tuple(means), measured)


def law(label: str, x: Iterable[float], of: Callable[[float], Any]) -> Curve:
    """Return a line of theory."""
    x = tuple(map(float, x))
    return points(label, x, map(of, x), measured=False)
