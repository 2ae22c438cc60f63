"""What the page "How to choose a remedy" is made of: lines, and numbers as text."""

import re
import textwrap
from typing import NamedTuple

import numpy as np


class Step(NamedTuple):
    """One line of the decision table.

    - `says`: what `diagnose` prints; `first`: what to try; `gave`: what that did here; `costs`;
      `useless`: what does not help there.
    - `holds`: whether the results support it.
    """

    says: str
    first: str
    gave: str
    costs: str
    useless: str
    holds: bool


class Failure(NamedTuple):
    """Something often tried that did not help: what it does to the gradient, to training."""

    advice: str
    gradient: str
    training: str
    source: str
    holds: bool


def minus(text: str) -> str:
    """Return numbers with a minus sign, not a hyphen."""
    return re.sub(r"-(?=\d)", "−", text)


def filled(text: str) -> str:
    """Return a paragraph in lines of a hundred characters."""
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def rate(x: float) -> str:
    """Return "−0.196"."""
    return minus(f"{x:+.3f}")


def span(values: np.ndarray) -> str:
    return f"{values.min():.2f} to {values.max():.2f}"


def power(decades: tuple[float, float]) -> str:
    mean, error = decades
    return minus(f"10^({mean:+.1f} ± {error:.1f})")


def ten(decades: float) -> str:
    return minus(f"10^{decades:.1f}").replace("−0.0", "0.0")
