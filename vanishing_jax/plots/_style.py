"""Colors, ticks and notes that all plots share; nothing here touches matplotlib's globals."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..diagnostics._words import Number, horizon_text, rate_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Axes
    from matplotlib.figure import Figure as Figure
else:  # matplotlib is imported by the first plot, not by `import vanishing_jax`
    Axes: TypeAlias = Any
    Figure: TypeAlias = Any

# Okabe and Ito's palette, which color-blind readers can tell apart, without its yellow: too faint
# on white. The line style of the same index repeats what the color says; from the eighth line on,
# each color comes again with the next style, and with a marker.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINE_STYLES = ("-", "--", ":", "-.", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (8, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GRAY = "#5f6670"
SEQUENTIAL = "viridis"
SIGNED = "RdBu_r"
VERDICT_COLORS = {
    "healthy": "#009E73",
    "vanishing": "#0072B2",
    "exploding": "#D55E00",
    "inconclusive": GRAY,
}
HORIZON_LEVEL = -3.0  # log10 of the share of the gradient at which the horizon is read
_MAX_LABEL = 48


def new_axes(ax: Any, figsize: tuple[float, float] = (5.6, 3.9)) -> Axes:
    """Return `ax`, or the axes of a new figure when `ax` is None."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=figsize, layout="constrained")[1]


def new_figure(figure: Any, figsize: tuple[float, float]) -> Figure:
    """Return `figure`, or a new one when it is None."""
    if figure is not None:
        return figure
    import matplotlib.pyplot as plt

    return plt.figure(figsize=figsize, layout="constrained")


def to_log10(natural_logs: Any) -> np.ndarray:
    """Return natural logs in decades, without ever exponentiating: e^10000 has no float."""
    return np.asarray(natural_logs, float) / np.log(10.0)


def plain(label: Any, most: int = _MAX_LABEL) -> str:
    """Return a user's label such that matplotlib draws it as it is.

    A `$` would start a formula, a leading underscore would hide the label from the legend, and an
    endless label would push the axes out of the figure.
    """
    text = " ".join(str(label).split())
    text = text if len(text) <= most else text[: most - 1] + "…"
    return (" " + text if text.startswith("_") else text).replace("$", r"\$")


def as_labeled(results: Any) -> dict[str, Any]:
    """Return results under their labels; a single result gets the empty label."""
    return dict(results) if isinstance(results, Mapping) else {"": results}


def line_options(index: int, line_kwargs: Mapping[str, Any], **defaults: Any) -> dict[str, Any]:
    """Return the keywords of line number `index`; the caller's own win, under any alias.

    Color and line style together are distinct for the first 49 lines.
    """
    from matplotlib import cbook
    from matplotlib.lines import Line2D

    turn = index // len(COLORS)
    style: dict[str, Any] = {
        "color": COLORS[index % len(COLORS)],
        "linestyle": LINE_STYLES[(index + turn) % len(LINE_STYLES)],
        "linewidth": 1.8,
        **(spaced_markers(turn - 1) if turn else {}),
    }
    return {**style, **defaults, **cbook.normalize_kwargs(dict(line_kwargs), Line2D)}


def spaced_markers(index: int) -> dict[str, Any]:
    """Return the keywords of a line's markers, few enough to leave the line visible."""
    return {"marker": MARKERS[index % len(MARKERS)], "markersize": 4.5, "markevery": 0.15}


def floor_of(*values: np.ndarray, gap: float = 0.08) -> float:
    """Return where exact zeros are drawn: below all finite values by a share of their range."""
    finite = np.concatenate([np.ravel(v) for v in values] or [np.zeros(0)])
    finite = finite[np.isfinite(finite)]
    if finite.size == 0:
        return -1.0
    return float(finite.min() - max(1.0, gap * np.ptp(finite)))


def floor_zeros(ax: Axes, x: np.ndarray, values: np.ndarray, floor: Number, color: Any) -> int:
    """Draw the exact zeros (`-inf` logs) as triangles at the floor; return how many there are."""
    zeros = np.isneginf(values)
    if zeros.any():
        at_floor = np.full(int(zeros.sum()), floor)
        ax.scatter(x[zeros], at_floor, marker="v", s=18, color=color, linewidths=0, zorder=3)
    return int(zeros.sum())


def error_bars(ax: Axes, x: np.ndarray, values: np.ndarray, errors: np.ndarray) -> None:
    """Draw the finite errors of finite values beneath them."""
    shown = np.isfinite(values) & np.isfinite(errors)
    if shown.any():
        bars: dict[str, Any] = {"fmt": "none", "ecolor": GRAY, "capsize": 2, "zorder": 1}
        ax.errorbar(x[shown], values[shown], errors[shown], **bars)


def count_notes(num_zeros: int, num_undefined: int) -> list[str]:
    """Return the notes about values that a line cannot show."""
    notes = []
    if num_zeros:
        zeros = "1 exact zero" if num_zeros == 1 else f"{num_zeros} exact zeros"
        notes.append(f"{zeros} drawn at the floor")
    if num_undefined:
        values = "1 value" if num_undefined == 1 else f"{num_undefined} values"
        notes.append(f"{values} not finite, not drawn")
    return notes


def count_undefined(values: np.ndarray) -> int:
    """Return how many values are NaN or +inf; -inf is the log of an exact zero."""
    return int(np.sum(np.isnan(values) | np.isposinf(values)))


def write_if_nothing(ax: Axes, *values: np.ndarray) -> bool:
    """Write "no data" or "not finite" on the axes when there is nothing to draw; say whether."""
    total = sum(v.size for v in values)
    drawable = sum(v.size - count_undefined(v) for v in values)
    if drawable:
        return False
    write_on_axes(ax, "not finite" if total else "no data")
    return True


def write_on_axes(ax: Axes, message: str) -> None:
    """Write a message in the middle of the axes."""
    ax.text(0.5, 0.5, message, transform=ax.transAxes, ha="center", va="center", color=GRAY)


def draw_log_lines(
    ax: Axes, lines: Sequence[tuple[np.ndarray, np.ndarray, dict[str, Any]]]
) -> list[str]:
    """Draw lines `(x, log10 values, keywords)` with their exact zeros at one floor; return notes.

    A finite value without finite neighbors gets a dot: a line of one point would be invisible.
    """
    floor = floor_of(*[y for _, y, _ in lines])
    zeros = undefined = 0
    for x, y, options in lines:
        finite = np.isfinite(y)
        beside = np.r_[False, finite[:-1]] | np.r_[finite[1:], False]
        alone = np.flatnonzero(finite & ~beside).tolist()
        if alone:
            # A line with markers of its own gets them all, for spaced ones may miss this point.
            dots = {"marker": "o", "markevery": alone, "markersize": 4}
            options = {**options, "markevery": None} if "marker" in options else {**dots, **options}
        (line,) = ax.plot(x, np.where(finite, y, np.nan), **options)
        zeros += floor_zeros(ax, x, y, floor, line.get_color())
        undefined += count_undefined(y)
    write_if_nothing(ax, *[y for _, y, _ in lines])
    return count_notes(zeros, undefined)


def sequence_lines(
    x: np.ndarray, log10: np.ndarray, options: Mapping[str, Any], thin_label: str | None = None
) -> list[tuple[np.ndarray, np.ndarray, dict[str, Any]]]:
    """Return a thin line per sequence (row of `log10`), then the line of their mean.

    They are for `draw_log_lines`; a single sequence is its own mean. The mean of logs with an exact
    zero among them is -inf for good: the mean drawn is that of the others, and the zeros themselves
    are drawn at the floor.
    """
    if len(log10) <= 1:
        return [(x, row, dict(options)) for row in log10]
    finite = np.isfinite(log10)
    count, total = finite.sum(axis=0), np.where(finite, log10, 0.0).sum(axis=0)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    thin: dict[str, Any] = {"color": options["color"], "linewidth": 0.7, "zorder": 2}
    thin["alpha"] = max(0.12, 0.6 / np.sqrt(len(log10)))
    lines = [(x, row, dict(thin)) for row in log10]
    if thin_label:
        lines[0][2]["label"] = thin_label
    return [*lines, (x, mean, dict(options))]


def set_decades(ax: Axes, values: Sequence[np.ndarray]) -> None:
    """Label a y axis that holds log10 values by powers of ten, over two decades at least.

    Where all `values` are exact zeros, the floor lies nowhere, and the axis gets no labels.
    """
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    if not any(np.isfinite(v).any() for v in values):
        ax.set_yticks([])
        return
    low, high = sorted(ax.get_ylim())
    missing = max(0.0, 2.2 - (high - low)) / 2
    ax.set_ylim(low - missing, high + missing)
    ax.yaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
    ax.yaxis.set_major_formatter(FuncFormatter(_power_of_ten))


def _power_of_ten(exponent: float, _position: Any = None) -> str:
    if exponent != round(exponent):
        return ""
    return "1" if exponent == 0 else rf"$10^{{{round(exponent)}}}$"


def reference_line(ax: Axes, y: Number, linestyle: str = ":") -> None:
    """Draw a thin horizontal line where a neutral value or a threshold lies."""
    ax.axhline(y, color=GRAY, linewidth=1.0, linestyle=linestyle, zorder=1)


def finish(
    ax: Axes,
    *,
    title: str,
    xlabel: str,
    ylabel: str,
    notes: Sequence[str] = (),
    note_width: int = 72,
    grid: str = "both",
    integers: str = "",
) -> None:
    """Set title, labels and grid, and write the notes between title and axes, where no data lies.

    `grid`: "both", "x" or "", the lines to draw; `integers`: the axes that count, such as "xy".
    """
    lines = _pack(notes, note_width)
    pad = 7 + 13 * len(lines)
    ax.set_title(title, loc="left", fontsize="medium", fontweight="bold", pad=pad)
    if lines:
        note = ax.annotate(
            "\n".join(lines), (0.0, 1.0), xycoords="axes fraction", xytext=(0, 5),
            textcoords="offset points", fontsize="small", style="italic", color=GRAY,
        )  # fmt: skip
        note.set_in_layout(False)  # a wide note must not narrow the axes; the title keeps its room
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize="small")
    for axis in integers:
        integer_ticks(ax, axis)
    if grid:
        light_grid(ax)
    if grid == "x":
        ax.grid(False, axis="y")


def write_verdict(figure: Figure, diagnosis: Any, unit: str = "step") -> None:
    """Write the verdict with its numbers above a one-page picture."""
    rate = rate_text(diagnosis.rate, diagnosis.rate_error)
    horizon = horizon_text(diagnosis.horizon, diagnosis.horizon_is_extrapolated, unit)
    figure.suptitle(
        f"{diagnosis.verdict.upper()}:  rate {rate} nats per {unit},  horizon {horizon}",
        color=VERDICT_COLORS.get(diagnosis.verdict, "#000000"),
        fontsize="x-large",
        fontweight="bold",
    )


def _pack(notes: Sequence[str], width: int) -> list[str]:
    """Return the notes as few lines of at most `width` characters, broken between notes."""
    lines: list[str] = []
    for note in notes:
        if lines and len(lines[-1]) + len(note) + 2 <= width:
            lines[-1] += "; " + note
        else:
            lines.append(note)
    return lines


def light_grid(ax: Axes) -> None:
    """Draw a faint grid below the data."""
    ax.grid(True, color="#e3e5e8", linewidth=0.7)
    ax.set_axisbelow(True)


def integer_ticks(ax: Axes, axis: str = "x") -> None:
    """Put the ticks of a counting axis on whole numbers."""
    from matplotlib.ticker import MaxNLocator

    side = ax.xaxis if axis == "x" else ax.yaxis
    side.set_major_locator(MaxNLocator(nbins=7, integer=True, min_n_ticks=1))


def add_legend(ax: Axes, corner: Any, **kwargs: Any) -> None:
    """Add a legend in a fixed corner ("best" searches all points and is slow)."""
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc=corner, fontsize="small", framealpha=0.9, handlelength=3.2, **kwargs)


def add_legend_beside(ax: Axes, **kwargs: Any) -> None:
    """Add a legend right of the axes, for lines that may lie anywhere."""
    beside: dict[str, Any] = {"bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0.2, "frameon": False}
    add_legend(ax, "upper left", **beside, **kwargs)


def colorbar(ax: Axes, mappable: Any, label: str, **kwargs: Any) -> Any:
    """Add a color bar beside the axes and return it."""
    bar = ax.figure.colorbar(mappable, ax=ax, pad=0.02, **kwargs)
    bar.set_label(label, fontsize="small")
    bar.ax.tick_params(labelsize="small")
    return bar


def halo(width: Number) -> list[Any]:
    """Return the path effects of a line with a white border, to be seen on a heat map."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=width, foreground="white")]


def cell_edges(centers: Any) -> np.ndarray:
    """Return the edges between the centers of a heat map's cells, also for uneven centers."""
    centers = np.asarray(centers, float)
    if centers.size == 0:
        return np.zeros(1)
    if centers.size == 1:
        return centers[0] + np.array([-0.5, 0.5])
    middle = (centers[1:] + centers[:-1]) / 2
    return np.r_[2 * centers[0] - middle[0], middle, 2 * centers[-1] - middle[-1]]
