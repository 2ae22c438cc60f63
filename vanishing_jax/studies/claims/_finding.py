"""Findings: one number each with its interval, made of one value per seed or of an exact one."""

import math
from typing import Any, NamedTuple

import numpy as np

_SHARE = 0.95


class Finding(NamedTuple):
    """One number on which a claim stands or falls.

    - `case`: where it was measured, in words that end a sentence: "tanh at gain 1".
    - `quantity`: what the number is, with its unit in brackets.
    - `value`, `low`, `high`: the number with its 95 % interval; an exact one is its own interval.
    - `above`, `below`: the range, open at both ends, in which it lies if the claim is true here.
    - `prediction`: what theory says, or None.
    """

    case: str
    quantity: str
    value: float
    low: float
    high: float
    above: float = -math.inf
    below: float = math.inf
    prediction: float | None = None

    @property
    def outcome(self) -> str:
        """Whether the claim "holds" here, "fails", or is "open"."""
        if math.isnan(self.value) or math.isnan(self.low) or math.isnan(self.high):
            return "open"
        if self.above < self.low and self.high < self.below:
            return "holds"
        return "fails" if self.high <= self.above or self.low >= self.below else "open"

    @property
    def required(self) -> str:
        """The range in words."""
        if math.isinf(self.above) and math.isinf(self.below):
            return "any value"
        if math.isinf(self.above):
            return f"below {number(self.below)}"
        if math.isinf(self.below):
            return f"above {number(self.above)}"
        if self.above == -self.below:
            return f"within {number(self.below)} of 0"
        return f"between {number(self.above)} and {number(self.below)}"


def number(value: float) -> str:
    """Return a number for people: three digits, a real minus sign."""
    if math.isinf(value):
        return "−∞" if value < 0 else "∞"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e4 or size < 1e-3:
        digits, exponent = f"{value:.1e}".split("e")
        return f"{digits}e{int(exponent)}".replace("-", "−")
    text = f"{value:.3f}" if size < 10 else f"{value:.1f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", "−")


def over_seeds(case: str, quantity: str, values: Any, **bounds: Any) -> Finding:
    """Return the mean over seeds with Student's 95 % interval; NaN if a seed has no number.

    **Arguments:**

    - `case`: where it was measured, in words that end a sentence.
    - `quantity`: what the number is, with its unit in brackets.
    - `values`: one per seed, at least 2 of them; a single one leaves the finding open.
    - `bounds`: `above`, `below` and `prediction` of the `Finding`.

    **Returns:** a `Finding`.

    **Example:**

    >>> import vanishing_jax as vj
    >>> one = vj.claims.over_seeds("here", "rate [nats per step]", [-0.4, -0.5, -0.6], below=0.0)
    >>> round(one.low, 2), round(one.high, 2), one.outcome
    (-0.75, -0.25, 'holds')
    """
    x = np.asarray(values, np.float64).ravel()
    mean = float(np.mean(x))
    if len(x) < 2 or not np.isfinite(x).all():
        return Finding(case, quantity, mean, math.nan, math.nan, **_floats(bounds))
    from scipy import stats  # changes warning filters when imported

    quantile = float(stats.t.ppf((1 + _SHARE) / 2, len(x) - 1))
    half = quantile * float(np.std(x, ddof=1)) / math.sqrt(len(x))
    return Finding(case, quantity, mean, mean - half, mean + half, **_floats(bounds))


def all_seeds(case: str, quantity: str, values: Any, **bounds: Any) -> Finding:
    """Return the median with the least and the most of all seeds (or steps) as its interval.

    For claims about every case, and for numbers whose scatter is not Gaussian: outcomes of
    training, counts, extremes.

    **Arguments:**

    - `case`, `quantity`, `bounds`: as of `over_seeds`.
    - `values`: one per seed, or per step.

    **Returns:** a `Finding`.
    """
    x = np.asarray(values, np.float64).ravel()
    numbers = (float(f(x)) for f in (np.median, np.min, np.max))
    return Finding(case, quantity, *numbers, **_floats(bounds))


def exact(case: str, quantity: str, value: Any, **bounds: Any) -> Finding:
    """Return a number that no seed changes, which is its own interval.

    **Arguments:**

    - `case`, `quantity`, `bounds`: as of `over_seeds`.
    - `value`: the number.

    **Returns:** a `Finding`.
    """
    x = float(value)
    return Finding(case, quantity, x, x, x, **_floats(bounds))


def spread_ratio(
    case: str,
    quantity: str,
    values: Any,
    others: Any,
    **bounds: Any,
) -> Finding:
    """Return log10 of the ratio of two standard deviations over seeds, with the F interval."""
    from scipy import stats

    one, two = np.asarray(values, np.float64), np.asarray(others, np.float64)
    ratio = math.log10(np.std(one, ddof=1) / np.std(two, ddof=1))
    tails = [(1 - _SHARE) / 2, (1 + _SHARE) / 2]
    low, high = map(float, stats.f.ppf(tails, len(one) - 1, len(two) - 1))
    limits = ratio - math.log10(high) / 2, ratio - math.log10(low) / 2
    return Finding(case, quantity, ratio, *limits, **_floats(bounds))


def _floats(bounds: dict[str, Any]) -> dict[str, Any]:
    return {name: None if x is None else float(x) for name, x in bounds.items()}
