"""Final scores of a comparison, seed by seed."""

from typing import Any

import numpy as np

from . import _style as style
from ._activations import height_for
from ._comparison import quantile, set_magnitude_axis, title_of
from ._style import Axes

_INK = "#1c2127"
_SPREAD = 0.5  # of a row's height, over which its seeds are spread
_NAN = 1.035  # where the column of seeds that met a NaN is, in widths of the axes


def plot_test_scores(comparison: Any, *, ax: Any = None, **scatter_kwargs: Any) -> Axes:
    """Draw the final loss of every seed as a dot, one row per recipe, and the median as a bar.

    From top to bottom the dots of a row are the seeds in order, so that the same place in all rows
    is the same data. Dots far apart in one row are a recipe that works by luck; a row at the
    baseline has learned nothing. Diverged seeds are crosses in a column of their own, and count in
    the median as infinite.

    **Arguments:**

    - `comparison`: what `vj.compare` returns; its losses on fresh or held-out sequences.
    - `ax`: axes to draw on; None makes a figure.
    - `scatter_kwargs`: passed on to `Axes.scatter` for the dots.

    **Returns:** the axes. The x axis is logarithmic when the scores are positive and span more than
    a decade. With a target, hollow dots are seeds that did not reach it.
    """
    names = [style.plain(name) for name in comparison.recipe.values]
    ax = style.new_axes(ax, (7.2, height_for(2 * len(names)) - 0.4))
    scores = np.array(comparison.test_loss.values, float)
    reached = np.isfinite(comparison.steps_to_target.values)
    baseline = float(comparison.attrs["baseline"])
    drawn = np.r_[scores.ravel(), baseline]
    if np.isfinite(drawn).any():
        set_magnitude_axis(ax, "x", drawn[np.isfinite(drawn)])
    for row in range(len(names)):
        hollow = ~reached[row] if comparison.attrs["target"] else np.zeros(scores.shape[1], bool)
        _draw_row(ax, row, scores[row], hollow, scatter_kwargs)
    medians = quantile(np.where(np.isfinite(scores), scores, np.inf).T, 0.5)
    _draw_medians(ax, medians, not np.isfinite(scores).all())
    if np.isfinite(baseline):
        ax.axvline(baseline, color=style.GRAY, linewidth=1.2, linestyle="--", zorder=1)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    style.finish(
        ax,
        title=f"Final loss of each seed: {title_of(comparison)}",
        xlabel="loss of the final model",
        ylabel="",
        notes=_notes(comparison, baseline),
        note_width=56,  # left of the heads of the columns beside the axes
        grid="x",
    )
    if not np.isfinite(scores).any():
        style.write_on_axes(ax, "all seeds diverged" if scores.size else "no data")
    return ax


def _draw_row(
    ax: Axes, row: int, scores: np.ndarray, hollow: np.ndarray, scatter_kwargs: dict[str, Any]
) -> None:
    """Draw the dots of one recipe, and the crosses of its diverged seeds."""
    seeds = len(scores)
    heights = row + _SPREAD * (np.arange(seeds) - (seeds - 1) / 2) / max(seeds - 1, 1)
    finite = np.isfinite(scores)
    color = style.COLORS[row % len(style.COLORS)]
    faces = np.where(hollow, "white", color)[finite]
    options = {"s": 34, "linewidths": 1.3, "zorder": 3, "color": faces, "edgecolors": color}
    ax.scatter(scores[finite], heights[finite], **{**options, **scatter_kwargs})
    if not finite.all():
        cross: dict[str, Any] = {"marker": "X", "s": 42, "edgecolors": "white", "linewidths": 0.5}
        cross |= {"transform": ax.get_yaxis_transform(), "clip_on": False, "zorder": 3}
        diverged = heights[~finite]
        ax.scatter(np.full(diverged.size, _NAN), diverged, color=color, **cross)


def _draw_medians(ax: Axes, medians: np.ndarray, any_diverged: bool) -> None:
    """Draw the medians as bars, an infinite one in the column of the diverged, and write them."""
    rows = np.arange(len(medians))
    finite = np.isfinite(medians)
    bars: dict[str, Any] = {"color": _INK, "linewidth": 2.2, "zorder": 2.5}
    ax.vlines(medians[finite], rows[finite] - 0.34, rows[finite] + 0.34, **bars)
    column = _NAN + 0.05 if any_diverged else 1.02
    head: dict[str, Any] = {"transform": ax.transAxes, "fontsize": "small", "va": "bottom"}
    head["color"] = style.GRAY
    if any_diverged:
        ax.text(_NAN, 1.01, "NaN", ha="center", **head)
    ax.text(column, 1.01, "median", **head)
    beside: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "fontsize": "small"}
    beside |= {"va": "center", "ha": "left"}
    for row, median in enumerate(medians):
        ax.text(column, row, f"{median:.3g}" if finite[row] else "∞", **beside)


def _notes(comparison: Any, baseline: float) -> list[str]:
    """Return what the marks are."""
    seeds = comparison.sizes["seed"]
    notes = [f"dot: one of {seeds} seeds" if seeds > 1 else "dot: the one seed", "bar: median"]
    if comparison.attrs["target"]:
        notes.append(f"filled: reached {style.plain(comparison.attrs['target'])}")
    if np.isfinite(baseline):
        notes.append(f"dashed: memoryless baseline {baseline:.3g}")
    return notes
