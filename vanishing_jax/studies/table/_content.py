"""A table of causes and mitigations as text, cell by cell: what Markdown and HTML share."""

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ._grid import label
from ._initial import CONDITION_STEPS

if TYPE_CHECKING:
    import xarray as xr

SYMBOLS = {"confirmed": "✔", "half": "◐", "open": "?", "refuted": "✘"}
ROLES = {"unnormalized": "without normalization", "normalized": "with normalization"}
_FATES = ("baseline", "no", "dead")


def table_content(ds: "xr.Dataset") -> dict[str, Any]:
    """Return title, notes and the causes with their contexts and rows, all as text."""
    causes = [
        _cause(ds.isel(row=np.flatnonzero(ds.cause.values == name)))
        for name in dict.fromkeys(ds.cause.values.tolist())
    ]
    return {
        "title": "Causes of vanishing gradients and mitigations, measured",
        "setting": _setting(ds),
        "score": _score(ds),
        "notes": _notes(ds),
        "legend": {f"{SYMBOLS[word]} {word}": text for word, text in _LEGEND.items()},
        "causes": causes,
        "versions": json.loads(ds.attrs["versions"]),
    }


_LEGEND = {
    "confirmed": "in every seed; of a mitigation: gradient and training",
    "half": "of a mitigation: gradient or training",
    "open": "of an effect: in some seeds",
    "refuted": "in no seed; of a mitigation: neither gradient nor training",
}


def _setting(ds: "xr.Dataset") -> str:
    a = ds.attrs
    return (
        f"Task: {a['task']}, T = {a['length']} unless another is given; {a['hidden_size']} units a "
        f"layer, {ds.sizes['seed']} seeds, at most {a['steps']} updates of {a['batch_size']} "
        "sequences."
    )


def _score(ds: "xr.Dataset") -> str:
    """Return how many claims came out how."""
    verdicts = ds.verdict.values
    uncured = ds.role.values == "uncured"

    def count(of: np.ndarray, words: tuple[str, ...]) -> str:
        return ", ".join(f"{(verdicts[of] == word).sum()} {word}" for word in words)

    effects = count(uncured, ("confirmed", "open", "refuted"))
    mitigations = count(~uncured, ("confirmed", "half", "refuted"))
    return f"Effects: {effects}. Mitigations: {mitigations}."


def _notes(ds: "xr.Dataset") -> dict[str, str]:
    """Return what the columns hold and the rules, by name."""
    a, rules = ds.attrs, json.loads(ds.attrs["rules"])
    return {
        "exponent": (
            "largest Lyapunov exponent at initialization, natural log per step, on "
            f"{a['num_sequences']} sequences of the task: mean ± standard error over seeds"
        ),
        "gain": (
            "log10 of the largest singular value of ds_T/ds_1 at initialization: by how many "
            "decades the best-kept gradient changes over the sequence, mean ± standard error"
        ),
        "condition": (
            f"log10 of the condition number of the {CONDITION_STEPS}-step Jacobian product (of all "
            "steps of a shorter sequence), that is of its geometric mean over seeds; ∞ where the "
            "smallest singular value is 0 exactly, or up to what float64 can tell"
        ),
        "training": (
            f"seeds that solved the task (loss below {a['solved_below']:g} times the memoryless "
            f"baseline of {a['baseline']:.4g}) and after how many updates, median [least, most] of "
            "those; no: some improvement; baseline: never a loss below "
            f"{a['left_baseline']:g} times the baseline; dead: a NaN"
        ),
        "effect": rules["effect"],
        "mitigation": rules["mitigation"],
        "better": rules["better"],
        "shorter sequences": "are another task, which is easier to learn for that reason alone",
        "batch normalization": (
            "measured at initialization by population statistics from one pass over a batch; "
            "trained and scored while training by those of each batch"
        ),
    }


def _cause(ds: "xr.Dataset") -> dict[str, Any]:
    """Return one row of the claimed table: an effect, and its networks."""
    contexts = dict.fromkeys(ds.context.values.tolist())
    return {
        "name": str(ds.cause.values[0]),
        "effect": str(ds.effect.values[0]),
        "rule": json.loads(ds.attrs["effects"])[str(ds.rule.values[0])],
        "contexts": [
            _context(ds.isel(row=np.flatnonzero(ds.context.values == name))) for name in contexts
        ],
    }


def _context(ds: "xr.Dataset") -> dict[str, Any]:
    """Return one uncured network and its mitigations, by column."""
    rows = [_row(ds.isel(row=i), int(ds.attrs["length"])) for i in range(ds.sizes["row"])]
    by_role = {role: [row for row in rows if row["role"] == role] for role in ("uncured", *ROLES)}
    uncured = by_role["uncured"][0]
    for row in rows:
        row["short"] = _short(row["name"], uncured["name"])
    return {**by_role, "uncured": uncured}


def _short(name: str, uncured: str) -> str:
    """Return only the parts of a recipe that the uncured one does not have, if it has the rest."""
    parts, known = name.split("+"), uncured.split("+")
    if name == uncured or not set(known) <= set(parts):
        return name
    return "".join(f"+{part}" for part in parts if part not in known)


def _row(row: "xr.Dataset", usual: int) -> dict[str, Any]:
    verdict = str(row.verdict.item())
    return {
        "name": label(str(row.recipe.item()), int(row.length.item()), usual),
        "role": str(row.role.item()),
        "claim": str(row.claim.item()),
        "verdict": verdict,
        "symbol": SYMBOLS[verdict],
        "gradient": str(row.gradient.item()),
        "training": str(row.training.item()),
        "exponent": spread(row.exponent.values, 3),
        "gain": spread(row.log10_gain.values, 1),
        "condition": condition(row.log10_condition.values),
        "saturated": f"{np.mean(row.saturated.values):.0%}",
        "solved": solved(row.outcome.values.tolist()),
        "outcome": fate(row.outcome.values.tolist(), row.steps_to_solve.values),
        "gains": row.log10_gain.values.tolist(),
    }


def spread(values: np.ndarray, digits: int) -> str:
    """Return mean ± standard error over seeds, or in how many seeds there is none."""
    finite = np.isfinite(values)
    if finite.all():
        error = np.std(values, ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
        return f"{_number(float(np.mean(values)), digits)} ± {error:.{digits}f}"
    parts = [f"overflow {np.isnan(values).sum()}/{len(values)}"] if np.isnan(values).any() else []
    if np.isneginf(values).any():
        parts.append(f"-∞ {np.isneginf(values).sum()}/{len(values)}")
    if finite.any():
        parts.append(f"else {_number(float(np.mean(values[finite])), digits)}")
    return ", ".join(parts)


def condition(logs: np.ndarray) -> str:
    """Return the log10 of the geometric mean, or how many are infinite."""
    singular, known = np.isposinf(logs), np.isfinite(logs)
    if known.all():
        return f"{np.mean(logs):.1f}"
    text = f"∞ ({singular.sum()}/{len(logs)})" if singular.any() else "overflow"
    return f"{text}, else {np.mean(logs[known]):.1f}" if known.any() else text


def solved(outcomes: list[str]) -> str:
    """Return how many seeds solved the task, as "3/4"."""
    return f"{outcomes.count('solved')}/{len(outcomes)}"


def fate(outcomes: list[str], steps: np.ndarray) -> str:
    """Return the solved seeds with their updates, and what the others came to."""
    parts = [solved(outcomes)]
    reached = np.sort(steps[np.isfinite(steps)]).astype(int)
    if len(reached):
        parts[0] += f": {np.median(reached):.0f} [{reached[0]}, {reached[-1]}]"
    parts += [f"{outcomes.count(word)} {word}" for word in _FATES if word in outcomes]
    return ", ".join(parts)


def _number(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}"
