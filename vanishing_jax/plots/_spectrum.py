"""Singular values of products of Jacobians: fan over lags, one spectrum, densities."""

from typing import Any

import numpy as np

from . import _style as style
from ._axis import words_of
from ._prediction import draw_predicted_decay, draw_predicted_exponents
from ._style import Axes

_VISIBLE_ERROR = 0.05  # nats; a smaller error bound disappears in a line's width


def plot_spectrum(
    spectrum: Any, *, prediction: Any = None, ax: Any = None, **line_kwargs: Any
) -> Axes:
    r"""Draw the singular values of $\partial s_t/\partial s_s$: a fan over lags, or one spectrum.

    With records, one line per index i, colored by i, against the lag t - s. All lines near 1: every
    direction survives (dynamical isometry). All falling: vanishing. A wide fan: a few directions
    carry everything, and the product is badly conditioned. With a single record, the values against
    their index, with their error bounds.

    **Arguments:**

    - `spectrum`: a `Spectrum`.
    - `prediction`: a `theory.Prediction` to draw beneath: over lags, the growth of a gradient with
      its band; of one spectrum, the exponents times the number of steps; None draws none.
    - `ax`: axes to draw on; None makes a figure.
    - `line_kwargs`: passed on to `Axes.plot`.

    **Returns:** the axes. The y coordinate is log10 of sigma, labeled by powers of ten.
    """
    ax = style.new_axes(ax)
    if np.ndim(spectrum.log_singular_values) == 1:
        notes, title = _draw_single(ax, spectrum, line_kwargs), _window_title(spectrum)
        xlabel = "index $i$ (descending)"
        steps = float(np.ptp(np.ravel(np.asarray(spectrum.windows))))
        size = np.size(spectrum.log_singular_values)
        notes = notes + draw_predicted_exponents(ax, prediction, size, scale=steps / np.log(10.0))
    else:
        notes, xlabel = _draw_fan(ax, spectrum, line_kwargs)
        title = "Singular values of the product of Jacobians"
        lags = np.unique(np.ptp(np.asarray(spectrum.windows).reshape(-1, 2), axis=1))
        if len(lags) > 1:
            notes = notes + draw_predicted_decay(ax, prediction, lags)
    style.reference_line(ax, 0.0, linestyle="-")
    ylabel = r"singular value $\sigma_i$"
    style.finish(ax, title=title, xlabel=xlabel, ylabel=ylabel, notes=notes, integers="x")
    style.set_decades(ax, [np.asarray(spectrum.log_singular_values)])
    return ax


def plot_spectrum_density(spectrum: Any, *, ax: Any = None, **line_kwargs: Any) -> Axes:
    """Draw the density of log10 sigma at four lags over the recorded range, one row per lag.

    A narrow peak at 0 is isometry; a peak that wanders left and widens with the lag is vanishing
    with a growing condition number. Each row is scaled to its own peak, for widths differ by
    decades; ticks below a row are the single values, and a triangle at the left holds exact zeros.

    **Arguments:**

    - `spectrum`: a `Spectrum`.
    - `ax`: axes to draw on; None makes a figure.
    - `line_kwargs`: passed on to `Axes.plot` for the outlines.

    **Returns:** the axes.
    """
    ax = style.new_axes(ax)
    recorded, values = _records(spectrum)
    rows = _spread_rows(recorded)
    chosen = values[rows]
    notes = style.count_notes(int(np.isneginf(chosen).sum()), style.count_undefined(chosen))
    floor = style.floor_of(chosen, gap=0.25)  # room for the count beside it
    for position, row in enumerate(rows):
        _draw_ridge(ax, len(rows) - 1 - position, position, values[row], floor, line_kwargs)
    ax.axvline(0.0, color=style.GRAY, linewidth=1.0, zorder=1)
    ax.set_yticks(range(len(rows)), [f"lag {recorded[row]}" for row in rows][::-1])
    style.write_if_nothing(ax, chosen)
    style.finish(
        ax,
        title="Density of the singular values",
        xlabel=r"$\log_{10}\,\sigma$",
        ylabel="density, each lag scaled to its peak",
        notes=notes,
    )
    return ax


def _records(spectrum: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return lags (records,) ascending and log10 values (records, n)."""
    values = style.to_log10(spectrum.log_singular_values)
    windows = np.asarray(spectrum.windows).reshape(-1, 2)
    values = values.reshape(len(windows), -1) if len(windows) else values.reshape(0, 0)
    lags = windows[:, 1] - windows[:, 0]
    order = np.argsort(lags, kind="stable")
    return lags[order], values[order]


def _draw_fan(ax: Axes, spectrum: Any, line_kwargs: dict[str, Any]) -> tuple[list[str], str]:
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm
    from matplotlib.ticker import MaxNLocator

    x, values = _records(spectrum)
    words = words_of(spectrum)
    xlabel = f"lag $t - s$ ({words.units})"
    if len(x) > 1 and np.all(x == x[0]):  # windows of one length, sliding over the sequence
        xlabel = f"end $t$ of the {x[0]}-{words.unit} window ({words.units})"
        x = np.asarray(spectrum.windows)[:, 1]
    n, cmap = values.shape[1], colormaps[style.SEQUENTIAL]
    norm = BoundaryNorm(style.cell_edges(np.arange(1, max(n, 2) + 1)), cmap.N)
    lines = []
    for i in range(n):
        looks = {"linestyle": "-", "linewidth": 1.1, "color": cmap(norm(i + 1))}
        lines.append((x, values[:, i], style.line_options(0, line_kwargs, **looks)))
    notes = style.draw_log_lines(ax, lines) + _error_note(spectrum)
    if n > 1:
        ticks = MaxNLocator(6, integer=True)
        label = "index $i$ (1 = largest)"
        bar = style.colorbar(ax, ScalarMappable(norm, cmap), label, ticks=ticks)
        bar.ax.minorticks_off()
        bar.ax.invert_yaxis()  # the largest on top, as their lines are
    return notes, xlabel


def _draw_single(ax: Axes, spectrum: Any, line_kwargs: dict[str, Any]) -> list[str]:
    values = style.to_log10(spectrum.log_singular_values)
    index = np.arange(1, values.size + 1)
    options = style.line_options(0, line_kwargs, marker="o", markersize=4, linewidth=1.2)
    notes = style.draw_log_lines(ax, [(index, values, options)])
    if _is_in_doubt(spectrum):  # the bound is worth its sweeps only where bars would be seen
        style.error_bars(ax, index, values, style.to_log10(spectrum.error_bound))
    return notes


def _window_title(spectrum: Any) -> str:
    start, end = np.ravel(np.asarray(spectrum.windows))
    s = words_of(spectrum).state
    return rf"Singular values of $\partial {s}_{{{end}}}/\partial {s}_{{{start}}}$"


def _is_in_doubt(spectrum: Any) -> bool:
    """Say whether errors may be large enough to be seen, by the estimate that costs nothing."""
    return not getattr(spectrum, "estimated_error", np.nan) <= _VISIBLE_ERROR


def _error_note(spectrum: Any) -> list[str]:
    if not _is_in_doubt(spectrum):
        return []
    bound = np.asarray(spectrum.error_bound, float)
    bound = bound[np.isfinite(bound)]
    if bound.size == 0 or bound.max() <= _VISIBLE_ERROR:
        return []
    return [f"largest error bound {bound.max() / np.log(10):.2g} decades"]


def _spread_rows(recorded: np.ndarray) -> list[int]:
    """Return up to four records, evenly spread in the log of their place, ascending."""
    positive = np.flatnonzero(recorded > 0)  # at lag 0 every singular value is 1
    positive = positive if positive.size else np.arange(len(recorded))
    if positive.size == 0:
        return []
    wanted = np.geomspace(1, positive.size, min(4, positive.size)).round().astype(int) - 1
    return sorted({int(positive[k]) for k in wanted})


def _draw_ridge(
    ax: Axes, base: int, index: int, values: np.ndarray, floor: float, line_kwargs: dict[str, Any]
) -> None:
    finite, color = values[np.isfinite(values)], style.COLORS[index % len(style.COLORS)]
    if finite.size:
        span = max(np.ptp(finite), 0.2)  # equal values still need a bin of some width
        num_bins = int(np.clip(round(np.sqrt(finite.size)) + 2, 3, 40))
        middle = (finite.max() + finite.min()) / 2
        # No wider: over a hundred decades a margin would show values where there are none.
        edges = middle + span * np.linspace(-0.5001, 0.5001, num_bins + 1)
        counts, _ = np.histogram(finite, edges)
        x = np.repeat(edges, 2)
        y = base + 0.8 * np.r_[0, np.repeat(counts / counts.max(), 2), 0]
        ax.fill_between(x, base, y, color=color, alpha=0.3, linewidth=0)
        looks = {"linestyle": "-", "linewidth": 1.3, "marker": ""}
        ax.plot(x, y, **style.line_options(index, line_kwargs, **looks))
        ax.scatter(finite, np.full(finite.size, base - 0.06), marker="|", s=16, color=color, lw=0.7)
    num_zeros = int(np.isneginf(values).sum())
    if num_zeros:
        place = floor, base + 0.1
        style.floor_zeros(ax, np.full(1, floor), np.array([-np.inf]), place[1], color)
        beside: dict[str, Any] = {"xytext": (-4, 6), "textcoords": "offset points"}
        ax.annotate(f"{num_zeros} × 0", place, fontsize="small", color=color, **beside)
