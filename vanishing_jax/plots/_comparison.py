"""Learning curves of a comparison."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from . import _style as style
from ._activations import height_for
from ._style import Axes

_MANY = 5  # seeds, from which on quartiles say more than the extremes
_LOG_RATIO = 10.0  # largest over smallest value, from which on the axis is logarithmic
# A recipe that diverges must not flatten the others: its curve leaves the axes at the first
# multiple of the baseline, or without one at the second of the median of all that is drawn.
_TALLEST, _TALLEST_ALONE = 100.0, 1e4


class Curves(NamedTuple):
    """One recipe: what is drawn over the records, and where its diverged seeds ended."""

    name: str
    low: np.ndarray
    middle: np.ndarray
    high: np.ndarray
    diverged: list[tuple[float, np.ndarray]]  # number of the update, and the curve up to there
    solved: int


def plot_comparison(comparison: Any, *, ax: Any = None, **line_kwargs: Any) -> Axes:
    """Draw the training loss of each recipe: the median over seeds, with a band.

    The band is from quartile to quartile, with fewer than five seeds from the smallest to the
    largest; the line above the axes says which. Each is one of the seeds' values, as in
    `comparison_table`. A seed that diverged counts with an infinite loss from there on: a band that
    then reaches the top has no upper end, a line that ends has lost most of its seeds. Such
    seeds themselves are thin lines that end in a cross. A seed that reached the target keeps its
    last value.

    A curve that stays at the baseline has learned nothing that needs memory, however long it is.

    **Arguments:**

    - `comparison`: what `vj.compare` returns.
    - `ax`: axes to draw on; None makes a figure.
    - `line_kwargs`: passed on to `Axes.plot` for the medians.

    **Returns:** the axes. The y axis is logarithmic when the values are positive and span more than
    a decade.
    """
    recipes = [_curves(comparison, i) for i in range(comparison.sizes["recipe"])]
    levels = _levels(comparison)
    ax = style.new_axes(ax, (7.2, height_for(len(recipes) + len(levels))))
    record = comparison.record.values
    is_cut = _set_scale(ax, recipes, [y for y, _ in levels])
    ends = [_draw(ax, i, record, one, line_kwargs) for i, one in enumerate(recipes)]
    for (y, text), dashes in zip(levels, ("--", ":"), strict=False):
        look = {"color": style.GRAY, "linewidth": 1.2, "linestyle": dashes}
        ends.append((y, ax.axhline(y, zorder=1.5, label="_level", **look), text))
    diverged = [c for one in recipes for _, c in one.diverged]
    style.write_if_nothing(ax, *[one.middle for one in recipes], *diverged)
    style.finish(
        ax,
        title=f"Learning curves: {title_of(comparison)}",
        xlabel="training updates",
        ylabel=f"training loss (mean over {record[0] if record.size else 0} updates)",
        notes=_notes(comparison.sizes["seed"], recipes, is_cut, ax),
        note_width=88,
    )
    ax.set_xlim(0, max(record[-1] if record.size else 1, 1))
    # In the order in which the lines end, from top to bottom.
    _, lines, texts = zip(*sorted(ends, key=lambda end: -end[0]), strict=True)
    style.add_legend_beside(ax, handles=lines, labels=texts)
    return ax


def title_of(comparison: Any) -> str:
    """Return the task and its length."""
    return f"{style.plain(comparison.attrs['task'])}, T = {comparison.attrs['length']}"


def quantile(values: np.ndarray, q: float) -> np.ndarray:
    """Return a quantile over the first axis that is one of the values; NaNs do not count."""
    ordered = np.sort(values, axis=0)  # NaN comes last
    count = (~np.isnan(ordered)).sum(axis=0)
    place = np.maximum(np.ceil(q * count).astype(int) - 1, 0)
    return np.take_along_axis(ordered, place[None], axis=0)[0]


def _curves(comparison: Any, index: int) -> Curves:
    """Return what is drawn of one recipe."""
    of_one = comparison.isel(recipe=index)
    record = comparison.record.values
    values = np.array(of_one.loss.values, float)
    ended = np.asarray(of_one.nonfinite_step.values, float)
    reached = np.isfinite(of_one.steps_to_target.values)
    diverged = []
    for k, row in enumerate(values):
        if np.isfinite(ended[k]):
            diverged.append((ended[k], np.where(record <= ended[k], row, np.nan)))
            row[record >= ended[k]] = np.inf
        elif reached[k] and np.isfinite(row).any():
            last = np.flatnonzero(np.isfinite(row))[-1]
            row[last:] = row[last]
    quarter = 0.25 if len(values) >= _MANY else 0.0
    low, middle, high = (quantile(values, q) for q in (quarter, 0.5, 1 - quarter))
    return Curves(str(of_one.recipe.item()), low, middle, high, diverged, int(reached.sum()))


def _levels(comparison: Any) -> list[tuple[float, str]]:
    """Return the horizontal lines and their names."""
    levels = []
    baseline, target = comparison.attrs["baseline"], comparison.attrs["target"]
    if np.isfinite(baseline):
        levels.append((float(baseline), f"memoryless baseline {baseline:.3g}"))
    if target and target.split()[0] == "loss":
        levels.append((float(target.split()[-1]), f"target: {target}"))
    return levels


def _set_scale(ax: Axes, recipes: Sequence[Curves], levels: Sequence[float]) -> bool:
    """Choose scale and limits of the y axis; return whether a curve leaves them."""
    drawn = [np.r_[one.low, one.middle, one.high, *[c for _, c in one.diverged]] for one in recipes]
    finite = np.concatenate([*drawn, levels])
    finite = finite[np.isfinite(finite)]
    if finite.size == 0:
        return False
    middles = np.concatenate([one.middle for one in recipes])
    middles = np.abs(middles[np.isfinite(middles)])
    alone = _TALLEST_ALONE * np.median(middles) if middles.size else np.inf
    most = _TALLEST * max(levels) if levels else alone
    kept = finite[finite <= most] if most > 0 else finite
    set_magnitude_axis(ax, "y", kept)
    return kept.size < finite.size


def set_magnitude_axis(ax: Axes, axis: str, values: np.ndarray) -> None:
    """Make an axis logarithmic if positive values span more than a decade; set its limits."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = float(values.min()), float(values.max())
    side = ax.xaxis if axis == "x" else ax.yaxis
    set_limits = ax.set_xlim if axis == "x" else ax.set_ylim
    if low > 0 and high / low > _LOG_RATIO:
        margin = (high / low) ** 0.05
        (ax.set_xscale if axis == "x" else ax.set_yscale)("log")
        set_limits(low / margin, high * margin)
        decades = np.log10(high / low)
        if decades < 4:  # numbers that people say: 0.02, not 2 x 10^-2
            subs = (1.0, 2.0, 5.0) if decades < 2.2 else (1.0,)
            side.set_major_locator(LogLocator(subs=subs))
            side.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.3g}"))
            side.set_minor_formatter(NullFormatter())
        return
    margin = 0.05 * (high - low) or max(abs(high), 1.0) * 0.05
    set_limits(low - margin, high + margin)


def _draw(
    ax: Axes, index: int, record: np.ndarray, one: Curves, line_kwargs: dict[str, Any]
) -> tuple[float, Any, str]:
    """Draw one recipe; return where its line ends, the line, and its name."""
    options = style.line_options(index, line_kwargs, zorder=3, label=style.plain(one.name))
    color, finite = options["color"], np.isfinite(one.middle)
    dot = {"marker": "o", "markersize": 4} if finite.sum() == 1 else {}
    (line,) = ax.plot(record, np.where(finite, one.middle, np.nan), **{**dot, **options})
    high = np.where(np.isposinf(one.high), 10 * abs(ax.get_ylim()[1]), one.high)
    shown = np.isfinite(one.low) & np.isfinite(high)
    if (high[shown] > one.low[shown]).any():
        band: dict[str, Any] = {"color": color, "alpha": 0.15, "linewidth": 0, "zorder": 2}
        ax.fill_between(record, one.low, high, where=shown.tolist(), **band)
    for step, values in one.diverged:
        _draw_ended(ax, record, step, values, color)
    seeds = {"solved": one.solved, "diverged": len(one.diverged)}
    counts = ", ".join(f"{n} {word}" for word, n in seeds.items() if n)
    text = style.plain(one.name) + (f" ({counts})" if counts else "")
    return one.middle[-1] if finite.size and finite[-1] else np.inf, line, text


def _draw_ended(ax: Axes, record: np.ndarray, step: float, values: np.ndarray, color: Any) -> None:
    """Draw a diverged seed as a thin line to a cross, at the top if above the axes or unknown."""
    top, finite = ax.get_ylim()[1], np.isfinite(values)
    thin: dict[str, Any] = {"linewidth": 0.8, "alpha": 0.7, "zorder": 2.5}
    shown = np.where(finite, values, np.nan)
    ax.plot(record, shown, color=color, label="_diverged seed", **thin)
    last = values[finite][-1] if finite.any() else top
    cross: dict[str, Any] = {"marker": "X", "markersize": 7, "markeredgecolor": "white"}
    cross |= {"markeredgewidth": 0.6, "clip_on": False, "zorder": 5, "linestyle": ""}
    ax.plot([step], [min(last, top)], color=color, label="_divergence", **cross)


def _notes(seeds: int, recipes: Sequence[Curves], is_cut: bool, ax: Axes) -> list[str]:
    """Return what the lines, bands and crosses are."""
    if seeds == 1:
        notes = ["one seed"]
    else:
        band = "quartiles" if seeds >= _MANY else "smallest to largest"
        notes = [f"line: median of {seeds} seeds; band: {band}"]
    if any(one.diverged for one in recipes):
        notes.append("cross: a seed diverged (NaN) and counts as infinite")
    if any(one.solved for one in recipes):
        notes.append("a seed that reached the target keeps its last value")
    if is_cut:
        notes.append(f"values above {ax.get_ylim()[1]:.2g} are not shown")
    return notes
