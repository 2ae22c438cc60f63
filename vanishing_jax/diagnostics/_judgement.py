"""From measured rates to a verdict, causes and recommendations."""

import math
from typing import Any

import numpy as np

from ._effects import Effect
from ._gradient_rate import GONE, GradientRate
from ._result import Verdict
from ._words import count_text

# Fewer steps than this are too few to tell a rate from a transient.
_MIN_STEPS = 8

# A change of the rate by less than this share of it is not worth reporting.
_WORTH = 0.1

# A share of sequences without any gradient above which the rate of the others is not the answer.
_FEW_ZEROS = 0.05

_LOG_GONE = math.log(GONE)


def judged(
    rate: GradientRate,
    effects: list[Effect],
    reach: int,
    *,
    unit: str = "step",
    samples: str = "sequences",
) -> dict[str, Any]:
    """Return the fields of a diagnosis that say what the rate and the effects mean."""
    found, reason = verdict(rate, reach, unit=unit, samples=samples)
    return {
        "verdict": found,
        "reason": reason,
        "gradient_rate": rate,
        "causes": causes(found, rate, effects),
        "recommendations": recommendations(found, rate, effects, reach),
        "effects": effects,
    }


def verdict(
    base: GradientRate, reach: int, *, unit: str = "step", samples: str = "sequences"
) -> tuple[Verdict, str]:
    """Return the verdict and one sentence of why, for gradients carried back over `reach` steps."""
    if reach < _MIN_STEPS:
        return "inconclusive", (
            f"the gradient travels over {count_text(reach, unit)} only; a rate needs at least "
            f"{_MIN_STEPS}."
        )
    zero = (
        f"the gradient is exactly 0 at the first {unit} in {base.zero_share:.0%} of the {samples}"
    )
    if math.isinf(base.rate):
        return "vanishing", f"{zero}; below 1e-3 of its start after {base.horizon:.0f} {unit}s."
    if not math.isfinite(base.rate_error):
        return "inconclusive", f"too little data for an interval; pass at least four {samples}."
    found, reason = _from_interval(base, reach, f"{unit}s", samples)
    if base.zero_share > _FEW_ZEROS and found != "vanishing":
        return "inconclusive", f"{zero}; in the others {reason}"
    if base.zero_share > 0:
        return found, f"{reason[:-1]}; {zero}."
    return found, reason


def _from_interval(base, reach, steps, samples):
    """Return the verdict that the growth over the whole sequence and its interval give."""
    low = (base.rate - base.rate_error) * reach
    high = (base.rate + base.rate_error) * reach
    factor = scientific(base.rate * reach)
    change = f"the gradient changes by a factor of {factor} over {reach} {steps}"
    inside = not base.horizon_is_extrapolated and base.horizon < reach
    if high < _LOG_GONE:
        return (
            "vanishing",
            f"{change}; it is below 1e-3 of its start after {base.horizon:.0f} {steps}.",
        )
    if low > _LOG_GONE and inside:
        return "inconclusive", f"{change}, but dips below 1e-3 at {base.horizon:.0f} {steps} back."
    if low > -_LOG_GONE:
        return "exploding", f"{change}."
    if low > _LOG_GONE and high < -_LOG_GONE:
        return "healthy", f"{change}, within a factor of 1e3."
    return "inconclusive", (
        f"{change}, but the interval of the rate crosses the factor 1e3; pass more {samples}."
    )


def scientific(log: float) -> str:
    """Return e**log as text, e.g. `4.0e-340`, where no float holds it."""
    power = math.floor(log / math.log(10))
    mantissa = f"{10 ** (log / math.log(10) - power):.1f}"
    return f"1.0e{power + 1:+03d}" if mantissa == "10.0" else f"{mantissa}e{power:+03d}"


def causes(found: Verdict, base: GradientRate, effects: list[Effect]) -> list[Effect]:
    """Return the effects whose removal of a cause brings the rate closer to 0, strongest first.

    Only a bound (no unit saturated at all) may overshoot 0.
    """
    blamed = [e for e in effects if e.blames is not None and _helps(found, base, e)]
    return sorted(blamed, key=lambda e: 0.0 if e.is_bound else abs(e.rate))


def recommendations(
    found: Verdict, base: GradientRate, effects: list[Effect], reach: int
) -> list[Effect]:
    """Return the remedies that help without turning decay into explosion or the reverse.

    For vanishing gradients the longest horizon comes first, for exploding ones the smallest rate.
    """
    fit = [e for e in effects if e.kind == "remedy" and _helps(found, base, e)]
    fit = [e for e in fit if abs(e.rate) * reach < -_LOG_GONE or e.rate * base.rate > 0]
    if found == "exploding":
        return sorted(fit, key=lambda e: abs(e.rate))
    fit = [e for e in fit if e.horizon > base.horizon]
    return sorted(fit, key=lambda e: (-e.horizon, abs(e.rate)))


def _helps(found, base, effect):
    """Say whether the rate moves toward 0 by more than noise and by enough to matter."""
    if found not in ("vanishing", "exploding"):
        return False
    if math.isinf(base.rate):
        return math.isfinite(effect.rate)
    moved = abs(base.rate) - abs(effect.rate)
    if effect.is_bound:
        moved = effect.rate - base.rate if found == "vanishing" else base.rate - effect.rate
    noise = np.nan_to_num(math.hypot(base.rate_error, effect.rate_error))
    return moved > max(noise, _WORTH * abs(base.rate))
