"""A diagnosis in words."""

import math
from collections.abc import Iterator

import numpy as np

from ..theory import Prediction
from ._diagnosis import Diagnosis, Effect

# Causes and recommendations printed; all of them are in the result.
_MOST = 5


def diagnosis_text(d: Diagnosis) -> str:
    """Return the diagnosis as a few labelled lines of at most about 100 characters."""
    rows = [*_measured(d), *_directions(d), *_activations(d), *_why(d)]
    width = max(len(label) for label, _ in rows)
    lines = [f"  {label:<{width}}  {text}" for label, text in rows]
    return "\n".join([f"{d.verdict.upper()}: {d.reason}", *lines])


def horizon_text(horizon: float, extrapolated: bool, num_steps: int) -> str:
    """Return a horizon in words: `14 steps`, `about 210 steps (extrapolated ...)`, `none`."""
    if math.isinf(horizon):
        return f"none within {num_steps} steps"
    if extrapolated:
        return f"about {horizon:.0f} steps (extrapolated from {num_steps})"
    return f"{horizon:.0f} steps"


def rate_text(rate: float, error: float) -> str:
    """Return a rate with its 95 % half width: `-0.490 ± 0.035`."""
    if math.isinf(rate):
        return "-inf (gradient exactly 0)"
    return f"{rate:+.3f} ± {error:.3f}" if math.isfinite(error) else f"{rate:+.3f} (no interval)"


def theory_text(prediction: Prediction, rate: float) -> str:
    """Return predicted rate and score in words: `-0.186 for random weights, ...; z = +0.4`."""
    if prediction.theory is None:
        return f"no prediction: {prediction.reason}"
    text = f"{prediction.top_exponent:+.3f} for random weights as n grows"
    if math.isfinite(prediction.standard_deviation):
        here = f"{prediction.expected_rate:+.3f} ± {prediction.standard_deviation:.3f}"
        text += f", {here} at this size; z = {prediction.z_score(rate):+.1f}"
    for assumption in prediction.failed:
        text += f"; fails: {assumption.name} ({assumption.detail})"
    return text


def _measured(d) -> Iterator[tuple[str, str]]:
    sequences = "one sequence" if d.num_sequences == 1 else f"{d.num_sequences} sequences"
    steps = "one step" if d.num_steps == 1 else f"{d.num_steps} steps"
    yield "data", f"{sequences} of {steps}, state of {d.state_size}"
    yield "gradient", f"{d.gradient_source}, carried back from the last step that has one"
    interval = " nats/step (95 % interval)" if math.isfinite(d.rate) else ""
    yield "rate", rate_text(d.rate, d.rate_error) + interval
    if d.prediction is not None:
        yield "theory", theory_text(d.prediction, d.rate)
    if d.zero_share > 0:
        yield "zeros", f"the gradient becomes exactly 0 in {d.zero_share:.0%} of the sequences"
    horizon = horizon_text(d.horizon, d.horizon_is_extrapolated, d.num_steps)
    yield "horizon", f"{horizon} until the gradient is below 1e-3 of its start"
    top, error, last = (
        d.lyapunov.exponents[0], d.lyapunov.standard_error[0], d.lyapunov.exponents[-1],
    )  # fmt: skip
    spread = f" (standard error {error:.3f})" if math.isfinite(error) else ""
    yield "exponents", f"{top:+.3f}{spread} at the top, {last:+.3f} last, of the first sequence"


def _directions(d) -> Iterator[tuple[str, str]]:
    for lag, count in d.surviving_directions.items():
        power = d.log10_condition[lag]
        condition = f"condition 1e{power:.0f}" if math.isfinite(power) else "singular"
        yield f"lag {lag}", f"{count:.0f} of {d.state_size} directions keep > 1e-3; {condition}"


def _activations(d) -> Iterator[tuple[str, str]]:
    columns = zip(d.activations.names, d.activations.mean, d.activations.saturated, strict=True)
    for name, mean, saturated in columns:
        share = f"{np.mean(saturated):.0%} saturated"
        yield name, f"mean {np.mean(mean):.2f}, {share}"


def _why(d) -> Iterator[tuple[str, str]]:
    if d.verdict not in ("vanishing", "exploding"):
        return
    for label, effect in _labelled("causes", d.causes):
        text = "none found by intervention"
        if effect is not None:
            rate = rate_text(effect.rate, effect.rate_error)
            text = f"{effect.blames}: {effect.name} gives {rate}"
        yield label, text
    for label, effect in _labelled("try", d.recommendations):
        text = "nothing that was measured here helps"
        if effect is not None:
            horizon = horizon_text(effect.horizon, effect.horizon_is_extrapolated, d.num_steps)
            rate = rate_text(effect.rate, effect.rate_error)
            text = f"{effect.name}: rate {rate}, horizon {horizon}"
        yield label, text


def _labelled(label: str, effects: list[Effect]) -> list[tuple[str, Effect | None]]:
    if not effects:
        return [(label, None)]
    return [(label if i == 0 else "", effect) for i, effect in enumerate(effects[:_MOST])]
