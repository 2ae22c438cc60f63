"""Tables of the page about other tools, and its figure."""

import numpy as np
from _pages import first_of_each, short, table_of, with_quartiles
from matplotlib.figure import Figure

from vanishing_jax.plots._style import COLORS, MARKERS


def found(result) -> str:
    """Return one line per tool: its largest error, and its time in units of ours."""
    everything = [*result["accuracy"], *result["cost"]]

    def mine(tool):
        return [row for row in everything if row["tool"] == tool]

    def largest(tool):
        errors = [float(row["own_error"]) for row in mine(tool) if "own_error" in row]
        finite = [x for x in errors if np.isfinite(x)]
        failed = next((row["error"] for row in mine(tool) if "error" in row), "–")
        return short(max(finite, default=np.nan)) if errors else failed

    def missed(tool):
        return sum(r["zeros"] - r["zeros_found"] for r in mine(tool) if "zeros_found" in r)

    def times(tool):
        key = "times_our_exponents"
        values = [row[key]["median"] for row in mine(tool) if row.get(key)]
        return f"{short(min(values))} to {short(max(values))}" if values else "–"

    cells = {
        "tool": lambda tool: tool,
        "largest finite error of what it computes, nats": largest,
        "zeros missed": missed,
        "times the cost of our exponents": times,
    }
    return table_of(first_of_each(everything, "tool"), cells)


def accuracy_table(rows) -> str:
    """Return one line per problem and tool."""

    def measured(text):
        return lambda row: "" if "error" in row else text(row)

    cells = {key: key for key in ("problem", "steps", "tool", "fed")} | {
        "error of what it computes": lambda r: short(r.get("error", r.get("own_error"))),
        "off from log σ": measured(lambda row: short(row["off_from_singular_values"])),
        "sum rule off by": measured(lambda row: short(row["sum_rule"])),
        "zeros found": measured(lambda row: f"{row['zeros_found']} of {row['zeros']}"),
    }
    return table_of(rows, cells)


def cost_table(rows) -> str:
    """Return one line per network and tool."""
    cells = {key: key for key in ("problem", "n", "steps", "tool", "fed")} | {
        "µs/step": lambda row: short(row.get("error", row.get("microseconds_per_step"))),
        "first call, s": "first_call_seconds",
        "times our spectrum": lambda row: with_quartiles(row.get("times_our_spectrum")),
        "times our exponents": lambda row: with_quartiles(row.get("times_our_exponents")),
    }
    return table_of(rows, cells)


def draw(result, folder) -> None:
    """Worst error over the networks against time per step, one point per tool."""
    figure = Figure(figsize=(6.8, 4.6), layout="constrained")
    ax = figure.subplots()
    size = max(row["n"] for row in result["cost"])
    for i, tool in enumerate(first_of_each(result["cost"], "tool")):
        costs = [
            row["microseconds_per_step"]
            for row in result["cost"]
            if row["tool"] == tool and row["n"] == size and "microseconds_per_step" in row
        ]
        errors = _errors(result, tool)
        if not costs or not errors:
            continue
        note = "" if np.isfinite(max(errors)) else " (lost: −∞)"
        color = COLORS[i % len(COLORS)]
        face = color if i < len(COLORS) else "none"
        style = {"marker": MARKERS[i % len(MARKERS)], "edgecolors": color, "facecolors": face}
        ax.scatter(costs[0], np.clip(max(errors), 1e-14, 1e6), s=45, label=tool + note, **style)
    ax.set(xscale="log", yscale="log", xlabel=f"µs per step, n = {size}")
    ax.set(ylabel="worst error over the networks (nats)", title="Accuracy against cost")
    ax.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(folder / "accuracy_and_cost.png", dpi=110)


def _errors(result, tool):
    """Return a tool's errors of what it computes; the product's SVD sets out for log σ."""
    networks = ("tanh 1.5", "tanh 5", "tanh 12", "lstm")
    key = "off_from_singular_values" if tool == "product and SVD" else "own_error"
    rows = [r for r in result["accuracy"] if r["tool"] == tool and r["problem"] in networks]
    return [float(row[key]) for row in rows if key in row]
