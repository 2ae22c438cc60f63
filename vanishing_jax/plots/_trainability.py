"""Which networks learn to remember, over gain and lag."""

from typing import Any

import numpy as np

from ._influence import _UNDEFINED_COLOR, _paint
from ._style import (
    SEQUENTIAL,
    Axes,
    cell_edges,
    finish,
    new_axes,
    write_if_nothing,
)

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
    ax, attrs = new_axes(ax, (6.4, 4.4)), trainability.attrs
    mean = trainability.accuracy.mean("seed").transpose("lag", "gain").values
    gains, lags = trainability.gain.values, trainability.lag.values
    if not write_if_nothing(ax, mean):
        edges = cell_edges(gains), 2.0 ** cell_edges(np.log2(lags))
        colors = {"cmap": SEQUENTIAL, "vmin": 1 / attrs["symbols"], "vmax": 1.0}
        mesh = ax.pcolormesh(*edges, mean, **{**colors, "rasterized": True, **mesh_kwargs})
        _paint(ax, *edges, np.isnan(mean), _UNDEFINED_COLOR)
        bar = ax.figure.colorbar(mesh, ax=ax, pad=0.02)
        bar.set_label(f"accuracy of {attrs['symbols']} symbols", fontsize="small")
        bar.ax.tick_params(labelsize="small")
        ax.set_yscale("log", base=2)
        _draw_scales(ax, trainability)
        critical = attrs["critical_gain"]
        if edges[0][0] < critical < edges[0][-1]:
            style: dict[str, Any] = {"color": "white", "linestyle": ":", "linewidth": 1.6}
            ax.axvline(critical, label="_critical gain", **style)
        _draw_boundary(ax, gains, trainability.boundary.values, edges[1])
        ax.set_xlim(edges[0][0], edges[0][-1])
        ax.set_ylim(edges[1][0], edges[1][-1])
        below: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.16)}
        ax.legend(
            **below, ncols=3, fontsize="small", frameon=False, handlelength=2.0, columnspacing=1.0
        )
    noise = f"noise of variance {attrs['input_variance']:g}"
    finish(
        ax,
        title=f"Recall after T steps of {noise}",
        xlabel="gain $g$ of the recurrent weights",
        ylabel="lag $T$ (steps)",
        notes=[
            f"{attrs['updates']} updates, {trainability.sizes['seed']} networks per point",
            "dotted: critical gain",
        ],
    )
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    return ax


def _draw_scales(ax: Axes, trainability: Any) -> None:
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=3.4, foreground="white")]
    for name, (color, style) in _SCALES.items():
        multiple = trainability.attrs[f"{name}_multiple"]
        if not np.isfinite(multiple):
            continue
        scale = multiple * trainability[f"{name}_time"].values
        scale = np.where(np.isfinite(scale), scale, 1e9)  # leaves the axes, as it should
        ax.plot(
            trainability.gain.values, scale, color=color, linestyle=style, linewidth=1.8,
            path_effects=halo, label=f"{multiple:.1f} × {name} time",
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
