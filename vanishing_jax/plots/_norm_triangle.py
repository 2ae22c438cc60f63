"""The spectral norm of every product of Jacobians on a grid, as a heat map."""

from typing import Any

import numpy as np

from ._axis import words_of
from ._influence import _UNDEFINED_COLOR, _UPPER_TRIANGLE, _ZERO_COLOR, _paint
from ._style import (
    HORIZON_LEVEL,
    SIGNED,
    Axes,
    cell_edges,
    finish,
    integer_ticks,
    new_axes,
    to_log10,
    write_if_nothing,
)

# Entries less certain than this are counted in a note.
_UNCERTAIN_DECADES = 0.1


def plot_norm_triangle(result: Any, *, ax: Any = None, **mesh_kwargs: Any) -> Axes:
    r"""Draw log10 of $\|\partial s_t/\partial s_s\|_2$ over s (from, across) and t (to, upwards).

    A column shows how the memory of one state fades with time; a row, which earlier states still
    count at one time. Along the diagonal nothing has passed: white. Blue is what has shrunk, red
    what has grown. The dashed line is where a thousandth is left at best; its height above the
    diagonal is how far memory reaches. A vertical or horizontal edge is a single step that cuts, or
    amplifies, everything that passes through it.

    **Arguments:**

    - `result`: a `NormTriangle`.
    - `ax`: axes to draw on; None makes a figure.
    - `mesh_kwargs`: passed on to `Axes.pcolormesh`.

    **Returns:** the axes. Exact zeros are black, values that are not finite gray; notes count them,
    and the entries uncertain by more than a tenth of a decade.
    """
    from matplotlib.colors import CenteredNorm

    ax, words = new_axes(ax, (5.4, 4.5)), words_of(result)
    values, errors = to_log10(result.log_norm), to_log10(result.error)
    known = np.tri(*values.shape, dtype=bool)
    shown = known & np.isfinite(values)
    zeros, undefined = known & np.isneginf(values), known & (np.isnan(values) | (values == np.inf))
    uncertain = shown & ~(errors <= _UNCERTAIN_DECADES)
    notes = _notes(int(zeros.sum()), int(undefined.sum()), int(uncertain.sum()))
    if not write_if_nothing(ax, values[known]):
        ax.set_facecolor(_UPPER_TRIANGLE)
        edges = cell_edges(result.times)
        reach = max(np.abs(values[shown]).max(initial=0.0), 1.0)
        options = {"cmap": SIGNED, "norm": CenteredNorm(0.0, reach), "rasterized": True}
        cells = np.ma.masked_where(~shown, values)
        mesh = ax.pcolormesh(edges, edges, cells, **{**options, **mesh_kwargs})
        _paint(ax, edges, edges, zeros, _ZERO_COLOR)
        _paint(ax, edges, edges, undefined, _UNDEFINED_COLOR)
        notes += _draw_horizon(ax, result.times, values, known)
        bar = ax.figure.colorbar(mesh, ax=ax, pad=0.02)
        ratio = rf"\partial {words.state}_t/\partial {words.state}_s"
        bar.set_label(rf"$\log_{{10}}\,\|{ratio}\|_2$ (decades)", fontsize="small")
        bar.ax.tick_params(labelsize="small")
    ax.set_aspect("equal")
    finish(
        ax,
        title=f"Spectral norm from each {words.unit} to each later one",
        xlabel=f"from {words.unit} $s$",
        ylabel=f"to {words.unit} $t$",
        notes=notes,
        note_width=58,
    )
    integer_ticks(ax, "x")
    integer_ticks(ax, "y")
    return ax


def _draw_horizon(ax: Axes, times: np.ndarray, values: np.ndarray, known: np.ndarray) -> list[str]:
    """Draw the line where a thousandth is left; return what to say about it."""
    levels = np.where(np.isneginf(values), 2 * HORIZON_LEVEL, values)  # a zero is beyond the line
    levels = np.ma.masked_where(~known | ~np.isfinite(levels), levels)
    if levels.count() < 4 or not levels.min() < HORIZON_LEVEL < levels.max():
        return []
    ax.contour(
        times, times, levels, [HORIZON_LEVEL], colors="black", linestyles="--", linewidths=1.1
    )
    return [f"dashed: $10^{{{HORIZON_LEVEL:.0f}}}$ left"]


def _notes(num_zeros: int, num_undefined: int, num_uncertain: int) -> list[str]:
    notes = []
    if num_zeros:
        notes.append(f"{num_zeros} exact {'zero' if num_zeros == 1 else 'zeros'} in black")
    if num_undefined:
        notes.append(f"{num_undefined} not finite in gray")
    if num_uncertain:
        entries = "1 entry" if num_uncertain == 1 else f"{num_uncertain} entries"
        notes.append(f"{entries} uncertain by over {_UNCERTAIN_DECADES} decades")
    return notes
