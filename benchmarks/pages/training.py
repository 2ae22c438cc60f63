"""Tables of the page about training."""

import numpy as np
from _pages import short, table, table_of, with_quartiles

OURS, TORCH, PLAIN = "vanishing_jax", "PyTorch", "plain scan"
_SIZES = {"cell": "cell", "H": "hidden", "B": "batch", "T": "time", "inputs": "input"}
_TARGETS = {"tanh": 2.5, "gru": 1.8, "lstm": 0.95}  # times PyTorch's speed
_OVER_PLAIN = 1.2


def found(result) -> str:
    """Return the targets, and what was measured for each."""
    rows = [row for row in result["rows"] if "times_ours" in row]
    lines = []
    for row in rows:
        size = (row["batch"], row["time"], row["input"])
        if row["method"] == TORCH and row["hidden"] in (64, 128) and size == (32, 100, 2):
            what = f"{row['cell']}, H {row['hidden']}, against PyTorch"
            lines.append((what, _TARGETS[row["cell"]], row["times_ours"]["median"]))
    plain = [row["times_ours"]["median"] for row in rows if row["method"] == PLAIN]
    if plain:
        what = f"all {len(plain)} cases, against the plain scan, median"
        lines.append((what, _OVER_PLAIN, float(np.median(plain))))
    shown = [
        [what, wanted, short(ratio), "yes" if ratio >= wanted else "no"]
        for what, wanted, ratio in lines
    ]
    return table(["one update", "wanted", "times faster", "met"], shown)


def step_table(rows) -> str:
    """Return one line per case and method."""

    def milliseconds(row):
        return short(1e3 * row["seconds_median"]) if "seconds_median" in row else row["error"]

    cells = _SIZES | {
        "method": lambda row: f"**{OURS}**" if row["method"] == OURS else row["method"],
        "ms": milliseconds,
        "times ours (quartiles)": lambda row: with_quartiles(row.get("times_ours")),
        "memory, MB": lambda row: short(
            row["temporary_bytes"] / 1e6 if row.get("temporary_bytes") else None
        ),
        "first call, s": "first_call_seconds",
        "difference": "difference",
    }
    return table_of(rows, cells)
