"""The diagnosis of a network in words."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ._text import horizon_text, rate_text

if TYPE_CHECKING:
    from ._diagnosis import Diagnosis
    from ._network_diagnosis import NetworkDiagnosis


def network_text(d: "NetworkDiagnosis") -> str:
    """Return the diagnosis as a few labelled lines."""
    rows = [*_whole(d), *((name, _part(part)) for name, part in d.parts.items())]
    width = max(len(label) for label, _ in rows)
    lines = [f"  {label:<{width}}  {text}" for label, text in rows]
    return "\n".join([f"{d.verdict.upper()}: {d.reason}", *lines])


def _whole(d: "NetworkDiagnosis") -> Iterator[tuple[str, str]]:
    sequences = "one sequence" if d.num_sequences == 1 else f"{d.num_sequences} sequences"
    steps = "one step" if d.num_steps == 1 else f"{d.num_steps} steps"
    yield "data", f"{sequences} of {steps}, {len(d.parts)} parts, state of {d.state_size} in all"
    yield "gradient", f"{d.gradient_source}, carried through all layers and directions"
    for toward, reach in d.reaches.items():
        horizon = horizon_text(reach.horizon, reach.horizon_is_extrapolated, d.num_steps)
        rate = rate_text(reach.rate, reach.rate_error)
        yield toward, f"{reach.verdict}: rate {rate} nats/step, horizon {horizon}"
        yield "  starves", reach.gradients.sentence()


def _part(d: "Diagnosis") -> str:
    horizon = horizon_text(d.horizon, d.horizon_is_extrapolated, d.num_steps)
    text = f"{d.verdict}: rate {rate_text(d.rate, d.rate_error)}, horizon {horizon}"
    if d.causes:
        text += f"; cause: {d.causes[0].blames}"
    if d.recommendations:
        remedy = d.recommendations[0]
        reach = horizon_text(remedy.horizon, remedy.horizon_is_extrapolated, d.num_steps)
        text += f"; try: {remedy.name} (horizon {reach})"
    return text
