"""A diagnosis in words."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .._rectangular import layers_text
from ..theory import Prediction
from ._kept import ALL_VALUES, ALL_VALUES_PRINTED, Directions

if TYPE_CHECKING:
    from ._diagnosis import Diagnosis, Effect

# Causes and recommendations printed; all of them are in the result.
_MOST = 5


def diagnosis_text(d: "Diagnosis") -> str:
    """Return the diagnosis as a few labelled lines of at most about 100 characters."""
    rows = [*_measured(d), *_directions(d.kept.printed), *_layers(d), *_activations(d), *_why(d)]
    rows += [("note" if i == 0 else "", note) for i, note in enumerate(d.notes)]
    width = max(len(label) for label, _ in rows)
    lines = [f"  {label:<{width}}  {text}" for label, text in rows]
    return "\n".join([f"{d.verdict.upper()}: {d.reason}", *lines])


def horizon_text(horizon: float, extrapolated: bool, num_steps: int, steps: str = "steps") -> str:
    """Return a horizon in words: `14 steps`, `about 210 steps (extrapolated ...)`, `none`."""
    if math.isinf(horizon):
        return f"none within {num_steps} {steps}"
    if extrapolated:
        return f"about {horizon:.0f} {steps} (extrapolated from {num_steps})"
    return f"{horizon:.0f} {steps}"


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
    if d.state_size > ALL_VALUES_PRINTED:
        return
    exponents, error = d.lyapunov.exponents, d.lyapunov.standard_error[0]
    top, last = exponents[0], exponents[-1]
    spread = f" (standard error {error:.3f})" if math.isfinite(error) else ""
    yield "exponents", f"{top:+.3f}{spread} at the top, {last:+.3f} last, of the first sequence"


def _directions(directions: Directions) -> Iterator[tuple[str, str]]:
    for lag, count in directions.surviving.items():
        n, power = directions.counts[lag], directions.log10_condition[lag]
        known = len(directions.logs[lag])
        if known == n:
            condition = f"condition 1e{power:.0f}" if math.isfinite(power) else "singular"
            yield f"lag {lag}", f"{count:.0f} of {n} directions keep > 1e-3; {condition}"
        else:
            least = "at least " if count == known else ""
            top = directions.logs[lag][0]
            text = f"{least}{count:.0f} of {n} directions keep > 1e-3; log sigma_1 {top:+.1f}"
            yield f"lag {lag}", f"{text} (of the {known} leading only)"


def _layers(d) -> Iterator[tuple[str, str]]:
    if d.kept.layer_gradients is None:
        return
    yield "starves", d.kept.layer_gradients.sentence()
    if d.state_size > ALL_VALUES_PRINTED:
        return
    for name, logs in d.layers.log_singular_values.items():
        yield name, f"log sigma of its own block of the product {logs[0]:.1f} to {logs[-1]:.1f}"


def _activations(d) -> Iterator[tuple[str, str]]:
    for name, mean, saturated in d.kept.activity:
        yield name, f"mean {mean:.2f}, {saturated:.0%} saturated"


def _why(d, steps: str = "steps") -> Iterator[tuple[str, str]]:
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
            reach = effect.horizon, effect.horizon_is_extrapolated
            horizon = horizon_text(*reach, d.num_steps, steps)
            rate = rate_text(effect.rate, effect.rate_error)
            text = f"{effect.name}: rate {rate}, horizon {horizon}"
        yield label, text


def _labelled(label: str, effects: "list[Effect]") -> "list[tuple[str, Effect | None]]":
    if not effects:
        return [(label, None)]
    return [(label if i == 0 else "", effect) for i, effect in enumerate(effects[:_MOST])]


def layer_diagnosis_text(d: Any) -> str:
    """Return the diagnosis of a network of layers as a few labelled lines."""
    rows = list(_measured_layers(d))
    if max(d.widths) <= ALL_VALUES:
        rows += _directions(d.kept.directions)
    rows += _why(d, "layers")
    width = max(len(label) for label, _ in rows)
    lines = [f"  {label:<{width}}  {text}" for label, text in rows]
    return "\n".join([f"{d.verdict.upper()}: {d.reason}", *lines])


def _measured_layers(d) -> Iterator[tuple[str, str]]:
    samples = "one sample" if d.num_samples == 1 else f"{d.num_samples} samples"
    yield "data", f"{samples} through {layers_text(d.widths)}"
    yield "gradient", f"{d.gradient_source}, carried back from the output"
    interval = " nats/layer (95 % interval)" if math.isfinite(d.rate) else ""
    yield "rate", rate_text(d.rate, d.rate_error) + interval
    if d.zero_share > 0:
        yield "zeros", f"the gradient becomes exactly 0 in {d.zero_share:.0%} of the samples"
    horizon = horizon_text(d.horizon, d.horizon_is_extrapolated, d.num_steps, "layers")
    yield "horizon", f"{horizon} until the gradient is below 1e-3 of its start"
    lowest, highest = d.log_growth.argmin(), d.log_growth.argmax()
    yield (
        "by layer",
        (
            f"least passes layer {lowest + 1} ({d.log_growth[lowest]:+.3f} nats), most layer "
            f"{highest + 1} ({d.log_growth[highest]:+.3f})"
        ),
    )
    for what, why in d.skipped.items():
        if what == "spectra":
            yield what, why
