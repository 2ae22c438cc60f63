"""Figures of the page about remedies: learning curves, and all learning rates tried."""

import math

import numpy as np
from matplotlib.figure import Figure

from vanishing_jax.plots._style import COLORS, GRAY, LINE_STYLES, MARKERS


def draw(result, folder) -> None:
    """Draw both figures."""
    draw_curves(result, folder / "remedies_curves.png")
    draw_rates(result, folder / "remedies_rates.png")


def draw_curves(result, path):
    """Training loss of every seed of every recipe, one panel per experiment."""
    figure, panels = _panels(result["experiments"])
    for ax, one in zip(panels, result["experiments"], strict=True):
        rows = [row for row in result["curves"] if row["experiment"] == one["name"]]
        for i, recipe in enumerate(dict.fromkeys(row["recipe"] for row in rows)):
            mine = [row for row in rows if row["recipe"] == recipe]
            for row in mine:
                loss = np.array([float(x) for x in row["loss"]])
                steps = np.minimum(one["record_every"] * np.arange(1, len(loss) + 1), one["steps"])
                label = recipe if row is mine[0] else None
                style = {"color": COLORS[i], "linestyle": LINE_STYLES[i], "linewidth": 1.1}
                ax.plot(steps, loss, label=label, alpha=0.8, **style)
                _mark_end(ax, steps, loss, one["steps"], COLORS[i])
        ax.axhline(one["baseline"], color=GRAY, linewidth=0.8, label="without any memory")
        ax.set(yscale="log", xlabel="updates", ylabel=f"training loss ({one['seeds']} seeds)")
        _limit(ax, [float(x) for row in rows for x in row["loss"]], one["baseline"])
        ax.set_title(one["title"], fontsize=9)
        ax.legend(fontsize=7)
    figure.savefig(path, dpi=80)


def _mark_end(ax, steps, loss, last, color):
    """Mark where a seed met a NaN."""
    finite = np.flatnonzero(np.isfinite(loss))
    if len(finite) and steps[finite[-1]] < last:
        end = finite[-1]
        ax.plot(steps[end], loss[end], marker="x", color=color, markersize=7, linestyle="")


def _limit(ax, losses, baseline):
    """Keep an explosion from flattening the rest."""
    finite = [x for x in losses if math.isfinite(x) and x > 0]
    if finite:
        ax.set_ylim(max(min(finite) / 1.5, 1e-7), min(max(*finite, baseline) * 1.5, 30 * baseline))


def draw_rates(result, path):
    """Held-out loss of both tuning seeds at each rate; the line is their mean."""
    tuned = {row["experiment"] for row in result["tuning"]}
    experiments = [one for one in result["experiments"] if one["name"] in tuned]
    figure, panels = _panels(experiments)
    for ax, one in zip(panels, experiments, strict=True):
        rows = [row for row in result["tuning"] if row["experiment"] == one["name"]]
        for i, recipe in enumerate(dict.fromkeys(row["recipe"] for row in rows)):
            mine = [row for row in rows if row["recipe"] == recipe]
            _draw_recipe(ax, i, recipe, mine, 10 * one["baseline"])
        ax.axhline(one["baseline"], color=GRAY, linewidth=0.8, label="without any memory")
        ax.set(xscale="log", yscale="log", xlabel="learning rate")
        ax.set_xticks(one["rates"], [f"{rate:g}" for rate in one["rates"]])
        ax.set_xticks([], minor=True)
        ax.set(ylabel=f"held-out loss after {one['tuning_steps']} updates")
        ax.set_title(one["title"], fontsize=9)
        ax.legend(fontsize=7)
    figure.savefig(path, dpi=80)


def _draw_recipe(ax, i, recipe, rows, ceiling):
    """Draw one recipe's points; what diverged or is beyond the ceiling is a triangle there."""
    rates = np.array([row["learning_rate"] for row in rows])
    losses = np.array([float(row["test_loss"]) for row in rows])
    beyond = ~(losses < ceiling)
    shown = np.where(beyond, ceiling, losses)
    marker = MARKERS[i % len(MARKERS)]
    # A little apart, so that recipes at the same loss are all seen.
    x = rates * 1.04 ** (i - 2)
    style = {"facecolors": "none", "edgecolors": COLORS[i], "s": 26}
    ax.scatter(x[~beyond], shown[~beyond], marker=marker, **style)
    ax.scatter(x[beyond], shown[beyond], marker=10, color=COLORS[i], s=40)
    grid = np.array(list(dict.fromkeys(rates)))
    means = [shown[rates == rate].mean() for rate in grid]
    line = {"color": COLORS[i], "linestyle": LINE_STYLES[i], "linewidth": 1.2}
    label = recipe + (" (▲: NaN or beyond)" if beyond.any() else "")
    ax.plot(grid * 1.04 ** (i - 2), means, label=label, **line)


def _panels(experiments):
    rows = max(1, math.ceil(len(experiments) / 2))
    figure = Figure(figsize=(10, 3.6 * rows), layout="constrained")
    panels = list(figure.subplots(rows, 2, squeeze=False).ravel())
    for unused in panels[len(experiments) :]:
        unused.axis("off")
    return figure, panels[: len(experiments)]
