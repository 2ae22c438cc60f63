"""The section about training of the benchmarks' page."""

import numpy as np
from _tables import provenance, short, table, with_quartiles

OURS, TORCH, PLAIN = "vanishing_jax", "PyTorch", "plain scan"
_SIZES = ("cell", "hidden", "batch", "time", "input")
_TARGETS = {"tanh": 2.5, "gru": 1.8, "lstm": 0.95}  # times PyTorch's speed
_OVER_PLAIN = 1.2


def training(result) -> str:
    """Return the section: targets, and one table for each group."""
    rows = result["rows"]
    titles = {
        "step": "One update of a fixed batch: forward, backward, Adam",
        "run": "A short run, with data, clipping and records; PyTorch is given the data",
        "seeds": "Several seeds in one program",
    }
    parts = [provenance(result), _note(), targets(rows)]
    for group, title in titles.items():
        if any(row["group"] == group for row in rows):
            parts += [f"### {title}", _group_table(rows, group)]
    return "\n\n".join(parts)


def _note() -> str:
    return (
        "The same weights and batch in all, float32; loss and gradients are compared before "
        'anything is timed ("difference": the largest, relative to the largest entry). '
        '"times ours" is the time of the method over that of vanishing_jax: above 1, it is '
        'slower. "plain scan" is `lax.scan` of a written-out step under `jax.grad`, whose tanh '
        "has the derivative 1 - tanh²; ours does not round to 0 in saturation, which costs "
        "exponentials. Memory is what the compiled update needs beside arguments and results."
    )


def _cases(rows, group):
    """Return case -> method -> row."""
    found: dict[tuple, dict] = {}
    for row in rows:
        if row["group"] == group:
            found.setdefault(tuple(row[size] for size in _SIZES), {})[row["method"]] = row
    return found


def _times_ours(methods, name):
    return methods.get(name, {}).get("times_ours", {}).get("median")


def targets(rows) -> str:
    """Return the table of targets and of what was measured for each."""
    lines, over_plain = [], []
    for case, methods in _cases(rows, "step").items():
        cell, hidden, batch, time, width = case
        if (ratio := _times_ours(methods, PLAIN)) is not None:
            over_plain.append(ratio)
        ratio = _times_ours(methods, TORCH)
        if ratio is None or hidden not in (64, 128) or (batch, time, width) != (32, 100, 2):
            continue
        met = "yes" if ratio >= _TARGETS[cell] else "no"
        lines.append([f"{cell}, H {hidden}, against PyTorch", _TARGETS[cell], short(ratio), met])
    if over_plain:
        median = float(np.median(over_plain))
        what = f"all {len(over_plain)} cases, against the plain scan, median"
        lines.append([what, _OVER_PLAIN, short(median), "yes" if median >= _OVER_PLAIN else "no"])
    return table(["one update", "wanted", "times faster", "met"], lines)


def _group_table(rows, group) -> str:
    lines = []
    for case, methods in _cases(rows, group).items():
        for method, row in methods.items():
            if "seconds_median" not in row:
                lines.append([*case, method, row.get("error", ""), "", "", "", ""])
                continue
            memory = row.get("temporary_bytes")
            lines.append(
                [
                    *case,
                    f"**{method}**" if method == OURS else method,
                    short(1e3 * row["seconds_median"]),
                    with_quartiles(row.get("times_ours")),
                    short(memory / 1e6) if memory else "–",
                    short(row["first_call_seconds"]),
                    short(row.get("difference")),
                ]
            )
    headings = ["cell", "H", "B", "T", "inputs", "method", "ms", "times ours (quartiles)"]
    return table([*headings, "memory, MB", "first call, s", "difference"], lines)
