"""Rates and horizons in words: the same in the terminal, in figures and on pages."""

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    Number: TypeAlias = float
else:  # checked at run time, neither an int nor every NumPy scalar is a float
    Number: TypeAlias = float | int | np.floating | np.integer


def horizon_text(horizon: Number, is_extrapolated: bool = False, unit: str = "step") -> str:
    """Return a horizon as words: "14 steps", "about 210 steps (extrapolated)", "never"."""
    if not np.isfinite(horizon):
        return short_horizon(horizon)
    number = short_horizon(horizon)
    steps = unit if number == "1" else f"{unit}s"
    return f"about {number} {steps} (extrapolated)" if is_extrapolated else f"{number} {steps}"


def short_horizon(horizon: Number, is_extrapolated: bool = False) -> str:
    """Return a horizon in whole steps for a column: "14", "≈ 210" (extrapolated), "never"."""
    if np.isnan(horizon):
        return "not measured"
    if np.isposinf(horizon):
        return "never"
    number = f"{horizon:.1e}" if horizon >= 1e6 else f"{horizon:.0f}"
    return f"≈ {number}" if is_extrapolated else number


def zero_share_text(share: Number, samples: str = "sequences") -> str:
    """Return the share of sequences whose gradient reaches exactly 0, in words."""
    if share >= 1:
        return f"gradient exactly 0 in every {samples.removesuffix('s')}"
    percent = 100 * share
    decimals = 0 if 1 <= percent <= 99 else 1
    return f"gradient exactly 0 in {percent:.{decimals}f} % of the {samples}"


def rate_text(rate: Number, error: Number | None = None) -> str:
    """Return a rate with its 95 % half width, as many decimals as the error deserves."""
    if np.isnan(rate):
        return "not measured"
    if np.isneginf(rate):
        return "−∞ (gradient exactly 0)"
    if np.isposinf(rate):
        return "+∞"
    if error is None or not np.isfinite(error):
        return f"{rate:+.4g}".replace("-", "−")
    decimals = 4 if error <= 0 else int(np.clip(1 - np.floor(np.log10(error)), 0, 4))
    return f"{rate:+.{decimals}f} ± {error:.{decimals}f}".replace("-", "−")


def count_text(number: int, noun: str) -> str:
    """Return a number of things: "one step", "20 steps"."""
    return f"one {noun}" if number == 1 else f"{number} {noun}s"
