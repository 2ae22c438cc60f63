"""How strongly each state depends on each earlier one, as a heat map."""

from typing import Any

import numpy as np

from . import _style as style
from ._axis import words_of
from ._heat_map import draw_cells, signed_colors
from ._style import Axes


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
    ax, words = style.new_axes(ax, (5.2, 4.3)), words_of(influence)
    state = "state" if words.unit == "step" else "activation"
    values, edges = style.to_log10(influence.log_norm), style.cell_edges(influence.times)
    known, notes = np.tri(*values.shape, dtype=bool), []
    if not style.write_if_nothing(ax, values[known]):
        colors = signed_colors(values[known])
        mesh, notes = draw_cells(ax, (edges, edges), values, mesh_kwargs, known=known, **colors)
        ratio = rf"\partial {words.state}_t/\partial {words.state}_s"
        style.colorbar(ax, mesh, rf"$\log_{{10}}\,\|{ratio}\|$")
    ax.invert_yaxis()  # time runs down the rows, as in the matrix itself
    style.finish(
        ax,
        title=f"Influence of earlier {state}s",
        xlabel=f"earlier {state} $s$ ({words.unit})",
        ylabel=f"later {state} $t$ ({words.unit})",
        notes=notes,
        integers="xy",
        grid="",
    )
    return ax
