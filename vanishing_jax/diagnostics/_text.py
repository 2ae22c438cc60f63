"""A diagnosis in words: ten lines for the answer, and the details."""

import math
from collections.abc import Iterator
from typing import Any, TypeAlias

from .._rectangular import layers_text
from ..theory import Prediction
from ._activation_history import summaries
from ._kept import ALL_VALUES, ALL_VALUES_PRINTED, Directions
from ._words import count_text, horizon_text, rate_text, zero_share_text

Rows: TypeAlias = Iterator[tuple[str, str]]

# Causes and remedies in the answer, and in the details; all of them are in the result.
_FEW, _MOST = 3, 5


def labelled(d: Any, rows: Rows) -> str:
    """Return verdict and reason, then the rows with their labels in a column."""
    rows_ = list(rows)
    width = max(len(label) for label, _ in rows_)
    lines = [f"  {label:<{width}}  {text}" for label, text in rows_]
    return "\n".join([f"{d.verdict.upper()}: {d.reason}", *lines])


def short_rows(d: Any) -> Rows:
    """Return what answers the question: rate, horizon, causes, remedies, what else to read.

    Nothing is computed for it.
    """
    yield from _rate(d)
    if hasattr(d, "parts"):
        yield "weakest", f"{d.weakest}: {_answer(d.parts[d.weakest])}"
    yield from _why(d, _FEW)
    calls = "details(), .plot(), .save(folder)"
    yield "more", f".{calls}; {', '.join(f'.{name}' for name in d.to_read)}"


def cell_rows(d: Any) -> Rows:
    """Return the details of a diagnosis of one cell."""
    yield from measured_rows(d)
    yield from _why(d, _MOST)
    yield from note_rows(d)


def measured_rows(d: Any) -> Rows:
    """Return what was measured on a cell; the report shows it, too."""
    yield "data", f"{data_text(d)}, state of {d.state_size}"
    yield "gradient", f"{d.gradient_source}, carried back from the last step that has one"
    yield from _rate(d)
    if d.prediction is not None:
        yield "theory", _theory_text(d.prediction, d.rate)
    yield from _exponents(d)
    yield from _directions(d.kept.printed)
    yield from _stacked_layers(d)
    yield from summaries(d.activations)


def note_rows(d: Any) -> Rows:
    """Return what else there is to know of a measurement."""
    for i, note in enumerate(d.notes):
        yield "note" if i == 0 else "", note


def network_rows(d: Any) -> Rows:
    """Return the details of a diagnosis of a network: the whole, then each part."""
    yield "data", f"{data_text(d)}, {len(d.parts)} parts, state of {d.state_size} in all"
    yield "gradient", f"{d.gradient_source}, carried through all layers and directions"
    for toward, reach in d.reaches.items():
        yield toward, _answer(reach)
        yield "  smallest", reach.gradients.sentence()
    for name, part in d.parts.items():
        yield name, _answer(part)
        for label, text in _why(part, 1):
            yield f"  {label}", text


def layer_rows(d: Any) -> Rows:
    """Return the details of a diagnosis of a network of layers."""
    yield "data", f"{count_text(d.num_samples, 'sample')} through {layers_text(d.widths)}"
    yield "gradient", f"{d.gradient_source}, carried back from the output"
    yield from _rate(d)
    lowest, highest = d.log_growth.argmin(), d.log_growth.argmax()
    least = f"least passes layer {lowest + 1} ({d.log_growth[lowest]:+.3f} nats)"
    yield "by layer", f"{least}, most layer {highest + 1} ({d.log_growth[highest]:+.3f})"
    if "spectra" in d.skipped:
        yield "spectra", d.skipped["spectra"]
    if max(d.widths) <= ALL_VALUES:
        yield from _directions(d.kept.directions)
    yield from _why(d, _MOST)


def data_text(d: Any) -> str:
    """Return how many sequences of how many steps."""
    return f"{count_text(d.num_sequences, 'sequence')} of {count_text(d.num_steps, 'step')}"


def _rate(d: Any) -> Rows:
    unit = f"nats per {d.unit} (95 % interval)" if math.isfinite(d.rate) else ""
    yield "rate", f"{rate_text(d.rate, d.rate_error)} {unit}".rstrip()
    if d.zero_share > 0:
        yield (
            "zeros",
            zero_share_text(d.zero_share, "samples" if d.unit == "layer" else "sequences"),
        )
    text = horizon_text(d.horizon, d.horizon_is_extrapolated, d.unit)
    yield "horizon", f"{text} (gradient below 1e-3 of its start)"


def _answer(d: Any) -> str:
    """Return verdict, rate and horizon of a part or a reach in one line."""
    rate, horizon = (
        rate_text(d.rate, d.rate_error),
        horizon_text(d.horizon, d.horizon_is_extrapolated),
    )
    return f"{d.verdict}, rate {rate} nats per step, horizon {horizon}"


def _theory_text(prediction: Prediction, rate: float) -> str:
    """Return predicted rate and score in words: `-0.186 for random weights, ...; z = +0.4`."""
    if prediction.theory is None:
        return f"no prediction: {prediction.reason}"
    text = f"{rate_text(prediction.top_exponent)} for random weights as n grows"
    if math.isfinite(prediction.standard_deviation):
        here = rate_text(prediction.expected_rate, prediction.standard_deviation)
        text += f", {here} at this size; z = {prediction.z_score(rate):+.1f}"
    for assumption in prediction.failed:
        text += f"; fails: {assumption.name} ({assumption.detail})"
    return text


def _exponents(d: Any) -> Rows:
    if d.state_size > ALL_VALUES_PRINTED:
        return
    exponents, error = d.lyapunov.exponents, d.lyapunov.standard_error[0]
    spread = f" (standard error {error:.3f})" if math.isfinite(error) else ""
    top = f"{exponents[0]:+.3f}{spread} at the top"
    yield "exponents", f"{top}, {exponents[-1]:+.3f} last, of the first sequence"


def _directions(directions: Directions) -> Rows:
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


def _stacked_layers(d: Any) -> Rows:
    if d.kept.layer_gradients is None:
        return
    yield "smallest", d.kept.layer_gradients.sentence()
    if d.state_size > ALL_VALUES_PRINTED:
        return
    for name, logs in d.layers.log_singular_values.items():
        yield name, f"log sigma of its own block of the product {logs[0]:.1f} to {logs[-1]:.1f}"


def _why(d: Any, most: int) -> Rows:
    if d.verdict not in ("vanishing", "exploding"):
        return
    for i, effect in enumerate(d.causes[:most]):
        rate = rate_text(effect.rate, effect.rate_error)
        yield "" if i else "causes", f"{effect.blames}: {effect.name} gives {rate}"
    if not d.causes:
        yield "causes", "none found by intervention"
    for i, effect in enumerate(d.recommendations[:most]):
        rate = rate_text(effect.rate, effect.rate_error)
        horizon = horizon_text(effect.horizon, effect.horizon_is_extrapolated, d.unit)
        yield "" if i else "try", f"{effect.name}: rate {rate}, horizon {horizon}"
    if not d.recommendations:
        yield "try", "nothing that was measured here helps"
