"""The table as text, cell by cell: what Markdown and HTML share."""

import math
from collections import Counter
from typing import Any

import numpy as np

from ._grid import label
from ._initial import CONDITION_STEPS

SYMBOLS = {"confirmed": "✔", "half": "◐", "open": "?", "refuted": "✘"}
ROLES = {"unnormalized": "without normalization", "normalized": "with normalization"}
_FATES = ("memoryless", "improved", "diverged")
_LEGEND = {
    "confirmed": "in every seed; of a mitigation: gradient and training",
    "half": "of a mitigation: gradient or training",
    "open": "of an effect: in some seeds",
    "refuted": "in no seed; of a mitigation: neither gradient nor training",
}


def table_content(data: dict[str, Any]) -> dict[str, Any]:
    """Return title, notes and the causes with their contexts and rows, all as text."""
    rows = [_row(row, data["settings"]) for row in data["rows"]]
    return {
        "title": "Causes of vanishing gradients and mitigations, measured",
        "setting": _setting(data["settings"]),
        "score": _score(data["rows"]),
        "notes": _notes(data),
        "legend": {f"{SYMBOLS[word]} {word}": text for word, text in _LEGEND.items()},
        "causes": [_cause(mine, data["effects"]) for mine in _grouped(rows, "cause").values()],
        "versions": data["versions"],
    }


def _setting(settings: dict[str, Any]) -> str:
    return (
        "Task: {task}, T = {length} unless another is given; {hidden_size} units a layer, {seeds} "
        "seeds, at most {steps} updates of {batch_size} sequences."
    ).format(**settings)


def _score(rows: list[dict[str, Any]]) -> str:
    """Return how many claims came out how."""

    def count(baseline: bool, words: tuple[str, ...]) -> str:
        found = Counter(row["verdict"] for row in rows if (row["role"] == "baseline") == baseline)
        return ", ".join(f"{found[word]} {word}" for word in words)

    effects = count(True, ("confirmed", "open", "refuted"))
    mitigations = count(False, ("confirmed", "half", "refuted"))
    return f"Effects: {effects}. Mitigations: {mitigations}."


def _notes(data: dict[str, Any]) -> dict[str, str]:
    """Return what the columns hold and the rules, by name."""
    a, rules = data["settings"], data["rules"]
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
            f"those; improved: a loss below {a['improved_below']:g} times that; memoryless: never "
            "one; diverged: a NaN"
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


def _grouped(rows: list[dict[str, Any]], name: str) -> dict[str, list[dict[str, Any]]]:
    """Return the rows by what one of their entries is, in the order in which they come."""
    keys = dict.fromkeys(row[name] for row in rows)
    return {key: [row for row in rows if row[name] == key] for key in keys}


def _cause(rows: list[dict[str, Any]], effects: dict[str, str]) -> dict[str, Any]:
    """Return one row of the claimed table: an effect, and its networks."""
    return {
        "name": rows[0]["cause"],
        "effect": rows[0]["effect"],
        "rule": effects[rows[0]["rule"]],
        "contexts": [_context(mine) for mine in _grouped(rows, "context").values()],
    }


def _context(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one baseline network and its mitigations, by column."""
    by_role = {role: [row for row in rows if row["role"] == role] for role in ROLES}
    (baseline,) = (row for row in rows if row["role"] == "baseline")
    for row in rows:
        row["short"] = _short(row["name"], baseline["name"])
    return {**by_role, "baseline": baseline}


def _short(name: str, baseline: str) -> str:
    """Return only the parts of a recipe that the baseline does not have, if it has the rest."""
    parts, known = name.split("+"), baseline.split("+")
    if name == baseline or not set(known) <= set(parts):
        return name
    return "".join(f"+{part}" for part in parts if part not in known)


def _row(row: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its numbers as text; one whose numbers were not kept has fewer of them."""
    numbers, texts = row["numbers"], {}
    if "outcome" in row:
        texts = {
            "exponent": spread(numbers["exponent"], 3),
            "condition": condition(np.array(numbers["log10_condition"]["by_seed"])),
            "saturated": f"{numbers['saturated']['mean']:.0%}",
            "outcome": fate(row["outcome"], np.array(numbers["steps_to_solve"]["by_seed"])),
            "gains": numbers["log10_gain"]["by_seed"],
        }
    return {
        **row,
        "name": label(row["recipe"], row["length"], settings["length"]),
        "symbol": SYMBOLS[row["verdict"]],
        "gain": spread(numbers["log10_gain"], 1) if "log10_gain" in numbers else "",
        "solved": f"{row['solved']}/{settings['seeds']}",
        **texts,
    }


def spread(number: dict[str, Any], digits: int) -> str:
    """Return mean ± standard error over seeds, or in how many seeds there is none."""
    if math.isfinite(number["mean"]):
        error = number["standard_error"]
        return f"{_number(number['mean'], digits)} ± {error:.{digits}f}"
    values = np.array(number["by_seed"])
    finite = np.isfinite(values)
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


def fate(outcomes: list[str], steps: np.ndarray) -> str:
    """Return the solved seeds with their updates, and what the others came to."""
    parts = [f"{outcomes.count('solved')}/{len(outcomes)}"]
    reached = np.sort(steps[np.isfinite(steps)]).astype(int)
    if len(reached):
        parts[0] += f": {np.median(reached):.0f} [{reached[0]}, {reached[-1]}]"
    parts += [f"{outcomes.count(word)} {word}" for word in _FATES if word in outcomes]
    return ", ".join(parts)


def _number(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}"
