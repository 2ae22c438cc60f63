"""A heat map in which exact zeros, undefined values and empty places look different."""

from typing import Any

import numpy as np

from . import _style as style
from ._style import Axes

_ZERO_COLOR = "#202020"
_UNDEFINED_COLOR = "#9a9a9a"


def draw_cells(
    ax: Axes,
    edges: tuple[np.ndarray, np.ndarray],
    values: np.ndarray,
    mesh_kwargs: dict[str, Any],
    *,
    known: np.ndarray | None = None,
    empty_color: str = "#e4e6ea",  # not white, which is the color of a neutral value
    **colors: Any,
) -> tuple[Any, list[str]]:
    """Draw the finite ones of values, exact zeros (-inf) in black and undefined ones in gray.

    **Arguments:**

    - `edges`: of the columns and of the rows.
    - `values`: `row column`; `known`: which of them are there, all by default.
    - `mesh_kwargs`: of the caller, which win over `colors`, the color map and its scale.

    **Returns:** the mesh, and notes that count what it lacks.
    """
    known = np.ones(values.shape, bool) if known is None else known
    ax.set_facecolor(empty_color)
    shown = known & np.isfinite(values)
    masked = np.ma.masked_where(~shown, values)
    mesh = ax.pcolormesh(*edges, masked, **{**colors, "rasterized": True, **mesh_kwargs})
    zeros = known & np.isneginf(values)
    undefined = known & ~shown & ~zeros
    _paint(ax, edges, zeros, _ZERO_COLOR)
    _paint(ax, edges, undefined, _UNDEFINED_COLOR)
    notes, count = [], int(zeros.sum())
    if count:
        notes.append(f"{count} exact {'zero' if count == 1 else 'zeros'} in black")
    if undefined.any():
        notes.append(f"{undefined.sum()} not finite in gray")
    return mesh, notes


def _paint(ax: Axes, edges: Any, where: np.ndarray, color: str) -> None:
    from matplotlib.colors import ListedColormap

    if where.any():
        cells = np.ma.masked_where(~where, np.ones(where.shape))
        ax.pcolormesh(*edges, cells, cmap=ListedColormap([color]), rasterized=True)


def signed_colors(values: np.ndarray, least: float = 1.0) -> dict[str, Any]:
    """Return the colors of values about a neutral 0, over `least` to each side at least."""
    from matplotlib.colors import CenteredNorm

    reach = max(np.abs(values[np.isfinite(values)]).max(initial=0.0), least)
    return {"cmap": style.SIGNED, "norm": CenteredNorm(0.0, reach)}
