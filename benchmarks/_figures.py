"""Figures of the benchmarks, from what the JSON files hold."""

import numpy as np
from matplotlib.figure import Figure

from vanishing_jax.plots._style import COLORS, GRAY, MARKERS

_LARGEST = 1e8


def number(x) -> float:
    """Return a number from JSON, where infinities are text."""
    return np.nan if x is None else float(x)


def draw_error_and_bound(result, path):
    """Error against bound of every spectrum, one panel; below the diagonal a bound would lie."""
    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    ax = figure.subplots()
    everything = result["random_chains"] + result["grid"]
    for i, tolerance in enumerate(dict.fromkeys(r["tolerance"] for r in everything)):
        rows = [r for r in everything if r["tolerance"] == tolerance and "max_error" in r]
        pairs = np.array([[number(r["max_error"]), number(r["bound_there"])] for r in rows])
        pairs = pairs[pairs[:, 0] > 0]
        # What is infinite is drawn at the edge: an infinite bound above every error.
        error, bound = np.minimum(pairs[:, 0], _LARGEST / 10), np.minimum(pairs[:, 1], _LARGEST)
        label = f"tolerance {tolerance:g}" if tolerance else "no tolerance"
        style = {"s": (42, 20, 7)[i % 3], "marker": MARKERS[i], "edgecolors": COLORS[i]}
        ax.scatter(error, bound, label=f"{label} ({len(rows)} spectra)", facecolors="none", **style)
    ends = np.array([1e-16, _LARGEST])
    ax.plot(ends, ends, color=GRAY, linewidth=1, label="bound = error")
    ax.set(xscale="log", yscale="log", xlabel="largest error of a log singular value (nats)")
    ax.set(ylabel="its error bound (nats); infinite at the top")
    ax.set_title("Every bound should lie above the line")
    ax.legend(fontsize=8, loc="lower right")
    figure.savefig(path, dpi=110)


def _is_comparable(row):
    """Whether the row says how far its tool is off from what it sets out to compute."""
    return "error" not in row and ("own_error" in row or row["tool"] == "product and SVD")


def draw_accuracy_and_cost(result, path):
    """Worst error over the networks against time per step, one point per tool."""
    figure = Figure(figsize=(6.8, 4.6), layout="constrained")
    ax = figure.subplots()
    networks = ("tanh 1.5", "tanh 5", "tanh 12", "lstm")
    size = max(r["n"] for r in result["cost"])
    tools = list(dict.fromkeys(r["tool"] for r in result["cost"]))
    for i, tool in enumerate(tools):
        costs = [
            r["microseconds_per_step"]
            for r in result["cost"]
            if r["tool"] == tool and r["n"] == size and "microseconds_per_step" in r
        ]
        errors = [
            number(r.get("own_error", r["off_from_singular_values"]))
            for r in result["accuracy"]
            if r["tool"] == tool and r["problem"] in networks and _is_comparable(r)
        ]
        if not costs or not errors:
            continue
        worst = max(errors)
        note = " (lost: −∞)" if not np.isfinite(worst) else ""
        color = COLORS[i % len(COLORS)]
        face = color if i < len(COLORS) else "none"
        style = {"marker": MARKERS[i % len(MARKERS)], "edgecolors": color, "facecolors": face}
        ax.scatter(costs[0], np.clip(worst, 1e-14, 1e6), s=45, label=tool + note, **style)
    ax.set(xscale="log", yscale="log", xlabel=f"µs per step, n = {size}")
    ax.set(ylabel="worst error over the networks (nats)", title="Accuracy against cost")
    ax.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(path, dpi=110)
