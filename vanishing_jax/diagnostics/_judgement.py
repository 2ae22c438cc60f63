"""From measured rates to a verdict, causes and recommendations."""

import math

import numpy as np

from ._diagnosis import Effect, Verdict
from ._transport import GONE, GradientRate

# Fewer steps than this are too few to tell a rate from a transient.
_MIN_STEPS = 8

# A change of the rate by less than this share of it is not worth reporting.
_WORTH = 0.1

_LOG_GONE = math.log(GONE)


def verdict(base: GradientRate, reach: int) -> tuple[Verdict, str]:
    """Return the verdict and one sentence of why, for gradients carried back over `reach` steps."""
    if reach < _MIN_STEPS:
        return "inconclusive", (
            f"the gradient travels over {reach} steps only; a rate needs at least {_MIN_STEPS}."
        )
    if math.isinf(base.rate):
        return "vanishing", (
            f"the gradient is exactly 0 after {base.horizon:.0f} steps: nothing before is taught."
        )
    if not math.isfinite(base.rate_error):
        return "inconclusive", "too little data for an interval; pass at least four sequences."
    low = (base.rate - base.rate_error) * reach
    high = (base.rate + base.rate_error) * reach
    change = f"a factor of {scientific(base.rate * reach)} over {reach} steps"
    if high < _LOG_GONE:
        return "vanishing", (
            f"the gradient changes by {change}; it is below 1e-3 of its start "
            f"after {base.horizon:.0f} steps."
        )
    if low > -_LOG_GONE:
        return "exploding", f"the gradient changes by {change}."
    if low > _LOG_GONE and high < -_LOG_GONE:
        return "healthy", f"the gradient changes by {change}, within a factor of 1e3."
    return "inconclusive", (
        f"the gradient changes by {change}, but the interval of the rate crosses the factor 1e3; "
        "pass more sequences."
    )


def scientific(log: float) -> str:
    """Return e**log as text, e.g. `4.0e-340`, where no float holds it."""
    power = math.floor(log / math.log(10))
    mantissa = f"{10 ** (log / math.log(10) - power):.1f}"
    return f"1.0e{power + 1:+03d}" if mantissa == "10.0" else f"{mantissa}e{power:+03d}"


def causes(found: Verdict, base: GradientRate, effects: list[Effect]) -> list[Effect]:
    """Return the effects whose removal of a cause brings the rate closer to 0, strongest first."""
    if found not in ("vanishing", "exploding"):
        return []
    blamed = [e for e in effects if e.blames is not None and _helps(found, base, e)]
    return sorted(blamed, key=lambda e: (-_relief(found, base, e), abs(e.rate)))


def recommendations(
    found: Verdict, base: GradientRate, effects: list[Effect], reach: int
) -> list[Effect]:
    """Return the remedies that help without turning decay into explosion, longest horizon first."""
    if found not in ("vanishing", "exploding"):
        return []
    fit = [e for e in effects if e.kind == "remedy" and _helps(found, base, e)]
    fit = [e for e in fit if abs(e.rate) < abs(base.rate)]
    if found == "exploding":
        return sorted(fit, key=lambda e: abs(e.rate))
    fit = [e for e in fit if e.rate * reach < -_LOG_GONE and e.horizon > base.horizon]
    return sorted(fit, key=lambda e: (-e.horizon, abs(e.rate)))


def _helps(found, base, effect):
    """Say whether the rate moves toward 0 by more than noise and by enough to matter."""
    if effect.kind == "remedy" and not abs(effect.rate) < abs(base.rate):
        return False
    if math.isinf(base.rate):
        return math.isfinite(effect.rate)
    noise = np.nan_to_num(math.hypot(base.rate_error, effect.rate_error))
    return _shift(found, base, effect) > max(noise, _WORTH * abs(base.rate))


def _shift(found, base, effect):
    """Return by how much the rate moves in the direction that relieves the problem."""
    return effect.rate - base.rate if found == "vanishing" else base.rate - effect.rate


def _relief(found, base, effect):
    # Beyond 0 there is nothing more to relieve.
    return min(_shift(found, base, effect), abs(base.rate))
