"""Which networks learn to remember, over gain and lag."""

from typing import Any

import numpy as np

from . import _style as style
from ._heat_map import draw_cells
from ._style import Axes

_SCALES = {"signal": ("#D55E00", "-"), "gradient": ("#CC79A7", "--")}


def plot_trainability(trainability: Any, *, ax: Any = None, **mesh_kwargs: Any) -> Axes:
    """Draw the accuracy of recall over gain (across) and lag (upwards), with the boundary.

    Bright networks have learned to recall, dark ones guess. Circles are the boundary, where the
    accuracy is halfway to chance (triangles: outside of the lags). The lines are the predicted time
    scales of the untrained network, of the signal and of the gradient, each times one number, the
    legend's: a line along the circles says that this scale decides what can be learned. The dotted
    line is the predicted critical gain.

    **Arguments:**

    - `trainability`: what `vj.trainability_map` returns.
    - `ax`: axes to draw on; None makes a figure.
    - `mesh_kwargs`: passed on to `Axes.pcolormesh`.

    **Returns:** the axes; the lag is on a logarithmic scale.
    """
    ax, attrs = style.new_axes(ax, (6.4, 4.4)), trainability.attrs
    mean = trainability.accuracy.mean("seed").transpose("lag", "gain").values
    gains, lags = trainability.gain.values, trainability.lag.values
    notes: list[str] = []
    if not style.write_if_nothing(ax, mean):
        edges = style.cell_edges(gains), 2.0 ** style.cell_edges(np.log2(lags))
        colors = {"cmap": style.SEQUENTIAL, "vmin": 1 / attrs["symbols"], "vmax": 1.0}
        mesh, notes = draw_cells(ax, edges, mean, mesh_kwargs, **colors)
        style.colorbar(ax, mesh, f"accuracy of {attrs['symbols']} symbols")
        ax.set_yscale("log", base=2)
        _draw_scales(ax, trainability)
        critical = attrs["critical_gain"]
        if edges[0][0] < critical < edges[0][-1]:
            look = {"color": "white", "linestyle": ":", "linewidth": 1.6}
            ax.axvline(critical, label="_critical gain", **look)
        _draw_boundary(ax, gains, trainability.boundary.values, edges[1])
        ax.set_xlim(edges[0][0], edges[0][-1])
        ax.set_ylim(edges[1][0], edges[1][-1])
        ax.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, fontsize="small",
            frameon=False, handlelength=2.0, columnspacing=1.0,
        )  # fmt: skip
    style.finish(
        ax,
        title=f"Recall after T steps of noise of variance {attrs['input_variance']:g}",
        xlabel="gain $g$ of the recurrent weights",
        ylabel="lag $T$ (steps)",
        notes=[
            f"{attrs['updates']} updates, {trainability.sizes['seed']} networks per point",
            "dotted: critical gain",
            *notes,
        ],
        grid="",
    )
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    return ax


def _draw_scales(ax: Axes, trainability: Any) -> None:
    for name, (color, dashes) in _SCALES.items():
        multiple = trainability.attrs[f"{name}_multiple"]
        if not np.isfinite(multiple):
            continue
        scale = multiple * trainability[f"{name}_time"].values
        scale = np.where(np.isfinite(scale), scale, 1e9)  # leaves the axes, as it should
        ax.plot(
            trainability.gain.values, scale, color=color, linestyle=dashes, linewidth=1.8,
            path_effects=style.halo(3.4), label=f"{multiple:.1f} × {name} time",
        )  # fmt: skip


def _draw_boundary(ax: Axes, gains: np.ndarray, boundary: np.ndarray, edges: np.ndarray) -> None:
    look: dict[str, Any] = {"linestyle": "", "color": "white", "markeredgecolor": "black"}
    inside = np.isfinite(boundary) & (boundary > 0)
    ax.plot(gains[inside], boundary[inside], marker="o", label="measured boundary", **look)
    ends = {"v": (boundary == 0, edges[0]), "^": (np.isposinf(boundary), edges[-1])}
    for marker, (outside, place) in ends.items():
        if outside.any():
            lag = np.full(int(outside.sum()), place)
            ax.plot(gains[outside], lag, marker=marker, clip_on=False, label="_outside", **look)
