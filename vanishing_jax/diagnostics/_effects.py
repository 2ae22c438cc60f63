"""What each intervention does to the gradient, re-measured on the same data."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .._checks import NonFiniteError
from .._progress import with_progress
from ._gradient_rate import GradientRate, Rated


class Intervention(NamedTuple):
    """One change of a cell, or of layers, and what it blames if it helps.

    - `kind`: "remedy" if one can build the changed network, "cause" if it is a thought experiment.
    - `blames`: the cause that the change removes, in words; None if it removes none.
    - `is_bound`: whether it is the extreme case of a cause, which may overshoot.
    - `apply`: returns the changed target, or a sentence that says why it does not apply.
    """

    name: str
    description: str
    kind: str
    blames: str | None
    is_bound: bool
    apply: Callable[[Any], Any]


@dataclasses.dataclass(frozen=True)
class Effect(Rated):
    """What one intervention does to the gradient, re-measured on the same sequences.

    - `name`, `description`: the change; `kind`: "remedy" (can be built) or "cause" (thought
      experiment).
    - `blames`: the cause it removes, in words, or None; `is_bound`: whether it is the extreme case
      of that cause, which may overshoot 0.
    - `gradient_rate`: the `GradientRate` after the change; `rate`, `rate_error`, `horizon`,
      `horizon_is_extrapolated` and `zero_share` are its parts.
    """

    name: str
    description: str
    kind: str
    blames: str | None
    is_bound: bool
    gradient_rate: GradientRate


def measure_effects(
    interventions: Sequence[Intervention],
    target: Any,
    measure: Callable[[Any], GradientRate],
    what_overflows: str,
) -> tuple[list[Effect], dict[str, str]]:
    """Return every intervention's effect, and why some do not apply.

    `measure` is given the changed target; it raises `NonFiniteError` where that overflows.
    """
    effects, skipped = [], {}
    for one in with_progress(interventions, "interventions"):
        changed = one.apply(target)
        if isinstance(changed, str):
            skipped[one.name] = changed
            continue
        try:
            rate = measure(changed)
        except NonFiniteError:
            skipped[one.name] = f"its {what_overflows} overflow or its gradient is NaN"
            continue
        if np.isnan(rate.rate):
            skipped[one.name] = "the loss has no gradient there"
            continue
        effect = Effect(
            name=one.name,
            description=one.description,
            kind=one.kind,
            blames=one.blames,
            is_bound=one.is_bound,
            gradient_rate=rate,
        )
        effects.append(effect)
    return effects, skipped
