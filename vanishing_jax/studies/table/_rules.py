"""When an effect and a mitigation of the table are confirmed, by the numbers of their seeds."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .._verdicts import compared, decide, outcomes
from ._grid import EFFECTS

# Improved: a record's loss below this share of that of the best model without memory.
IMPROVED_BELOW = 0.9

# What is worse than to solve the task however late, in this order.
_BEHIND = {"improved": 1e12, "memoryless": 1e13, "diverged": 1e14}

Numbers = Mapping[str, Any]  # by quantity, one per seed


class Verdict(NamedTuple):
    """What became of one claim; the halves are "" for an effect.

    - `verdict`: "confirmed", "half", "refuted"; for an effect "open" instead of "half".
    - `gradient`, `training`: "better", "worse" or "same" than the baseline.
    """

    verdict: str
    gradient: str = ""
    training: str = ""


def rules(num_seeds: int) -> dict[str, str]:
    """Return the rules in words."""
    chance = math.comb(2 * num_seeds, num_seeds)
    return {
        "effect": (
            "An effect is confirmed if in every seed it is so, refuted if in none, else open."
        ),
        "mitigation": (
            "A mitigation is confirmed if it makes both better than in the baseline network, the "
            "gradient and the training; half, if one of them; refuted, if neither."
        ),
        "better": (
            "Better means: every seed is better than every seed of the baseline, by chance one "
            f"case in {chance}. Of gradients, the one whose gain, the largest singular value of "
            "ds_T/ds_1, is fewer decades from 1; of trainings, the one that solved the task in "
            "fewer updates, or improved on the loss without memory where the other did not."
        ),
    }


def of_mitigation(mine: Numbers, baseline: Numbers) -> Verdict:
    """Return whether a mitigation helps, by the numbers of its seeds and of its baseline."""
    gradient = compared(decades(mine), decades(baseline))
    training = compared(_places(mine), _places(baseline))
    halves = [one == "better" for one in (gradient, training)]
    return Verdict(decide(outcomes(halves), mixed="half"), gradient, training)


def of_effect(rule: str, mine: Numbers, reference: Numbers | None) -> Verdict:
    """Return whether the effect that `rule` names is there."""
    lost = -np.asarray(mine["log10_gain"], float)
    if rule == "decay":
        seen = np.asarray(mine["exponent"], float) < 0
    elif rule == "saturate or die":
        seen = (np.asarray(mine["saturated"], float) > 0.5) | (lost > 3)
    elif rule == "uncontrolled":
        seen = decades(mine) > 3
    elif rule == "longer chain" and reference is not None:
        seen = decades(mine) > decades(reference).max()
    else:
        raise ValueError(
            f"expected a rule out of {', '.join(map(repr, EFFECTS))}, 'longer chain' with a "
            f"reference; got {rule!r}."
        )
    return Verdict(decide(outcomes(seen), mixed="open"))


def decades(numbers: Numbers) -> np.ndarray:
    """Return by how many decades gradients vanish or explode; infinite where states overflow."""
    return np.nan_to_num(np.abs(np.asarray(numbers["log10_gain"], float)), nan=np.inf)


def _places(numbers: Numbers) -> np.ndarray:
    """Return for each seed how late it solved the task; behind all others if it never did."""
    pairs = zip(numbers["outcome"], numbers["steps_to_solve"], strict=True)
    return np.array([steps if fate == "solved" else _BEHIND[fate] for fate, steps in pairs])


def outcome(steps_to_solve: float, best_loss: float, nonfinite_step: float, baseline: float) -> str:
    """Return "solved", "improved" on the loss without memory, "memoryless" or "diverged"."""
    if math.isfinite(nonfinite_step):
        return "diverged"
    if math.isfinite(steps_to_solve):
        return "solved"
    return "improved" if best_loss < IMPROVED_BELOW * baseline else "memoryless"
