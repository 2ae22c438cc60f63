"""How strongly each state depends on each earlier one, as a heat map."""

from typing import Any

import numpy as np

from ._axis import words_of
from ._style import (
    SIGNED,
    Axes,
    cell_edges,
    finish,
    integer_ticks,
    new_axes,
    to_log10,
    write_if_nothing,
)

_ZERO_COLOR = "#202020"
_UNDEFINED_COLOR = "#9a9a9a"
_UPPER_TRIANGLE = "#e4e6ea"  # not white, which is the color of a neutral norm


def plot_influence(influence: Any, *, ax: Any = None, **mesh_kwargs: Any) -> Axes:
    r"""Draw log10 of the spectral norm of $\partial s_t/\partial s_s$ over s (column) and t (row).

    Each row answers: of which earlier states does the state at t still know? White is neutral, blue
    forgets, red amplifies. A blue lower left corner with a white diagonal band is a short memory,
    the band's width; a vertical edge at one s is a single step that cuts the memory for all later
    times.

    **Arguments:**

    - `influence`: an `InfluenceMap`.
    - `ax`: axes to draw on; None makes a figure.
    - `mesh_kwargs`: passed on to `Axes.pcolormesh`.

    **Returns:** the axes. Exact zeros are black and counted in a note.
    """
    from matplotlib.colors import CenteredNorm

    ax, words = new_axes(ax, (5.2, 4.3)), words_of(influence)
    state = "state" if words.unit == "step" else "activation"
    values = to_log10(influence.log_norm)
    known = np.tri(*values.shape, dtype=bool)
    finite = values[known & np.isfinite(values)]
    zeros, undefined = known & np.isneginf(values), known & (np.isnan(values) | (values == np.inf))
    notes = _notes(int(zeros.sum()), int(undefined.sum()))
    if not write_if_nothing(ax, values[known]):
        ax.set_facecolor(_UPPER_TRIANGLE)
        edges = cell_edges(influence.times)
        reach = max(np.abs(finite).max(initial=0.0), 1.0)
        options = {"cmap": SIGNED, "norm": CenteredNorm(0.0, reach), "rasterized": True}
        shown = np.ma.masked_where(~known | ~np.isfinite(values), values)
        mesh = ax.pcolormesh(edges, edges, shown, **{**options, **mesh_kwargs})
        _paint(ax, edges, edges, zeros, _ZERO_COLOR)
        _paint(ax, edges, edges, undefined, _UNDEFINED_COLOR)
        bar = ax.figure.colorbar(mesh, ax=ax, pad=0.02)
        ratio = rf"\partial {words.state}_t/\partial {words.state}_s"
        bar.set_label(rf"$\log_{{10}}\,\|{ratio}\|$", fontsize="small")
        bar.ax.tick_params(labelsize="small")
    ax.invert_yaxis()  # time runs down the rows, as in the matrix itself
    finish(
        ax,
        title=f"Influence of earlier {state}s",
        xlabel=f"earlier {state} $s$ ({words.unit})",
        ylabel=f"later {state} $t$ ({words.unit})",
        notes=notes,
    )
    integer_ticks(ax, "x")
    integer_ticks(ax, "y")
    return ax


def _paint(ax: Axes, x: np.ndarray, y: np.ndarray, where: np.ndarray, color: str) -> None:
    """Fill the cells between these edges `where` it holds."""
    from matplotlib.colors import ListedColormap

    if where.any():
        cells = np.ma.masked_where(~where, np.ones(where.shape))
        ax.pcolormesh(x, y, cells, cmap=ListedColormap([color]), rasterized=True)


def _notes(num_zeros: int, num_undefined: int) -> list[str]:
    notes = []
    if num_zeros:
        notes.append(f"{num_zeros} exact {'zero' if num_zeros == 1 else 'zeros'} in black")
    if num_undefined:
        notes.append(f"{num_undefined} not finite in gray")
    return notes
