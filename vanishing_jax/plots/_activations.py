"""What the activations do over time: histogram, saturation, gates."""

from typing import Any

import numpy as np

from . import _style as style
from ._heat_map import draw_cells
from ._style import Axes


def plot_activations(history: Any, *, ax: Any = None, **mesh_kwargs: Any) -> Axes:
    """Draw the histogram of the first activation that is no gate over time, as a heat map.

    Mass at the ends of a tanh or a sigmoid is saturation, where the derivative is near 0; mass at 0
    of a ReLU is units that are off. A band that drifts says that the hidden state has not settled.

    **Arguments:**

    - `history`: an `ActivationHistory`.
    - `ax`: axes to draw on; None makes a figure.
    - `mesh_kwargs`: passed on to `Axes.pcolormesh`.

    **Returns:** the axes.
    """
    from matplotlib.colors import PowerNorm

    ax = style.new_axes(ax)
    index = next((i for i, gate in enumerate(history.is_gate) if not gate), 0)
    label = style.plain(history.names[index]) if history.names else "activation"
    kind = history.kinds[index] if history.names else ""
    shares = np.asarray(history.histogram[index], float) if history.names else np.zeros((0, 0))
    notes: list[str] = []
    if not style.write_if_nothing(ax, shares):
        top = max(float(np.nanmax(shares)), 1e-12)
        # Saturation piles up in one bin: a linear scale would show that bin and nothing else.
        colors = {"cmap": style.SEQUENTIAL, "norm": PowerNorm(0.5, 0.0, top)}
        edges = style.cell_edges(np.arange(1, len(shares) + 1)), history.bin_edges[index]
        mesh, notes = draw_cells(ax, edges, shares.T, mesh_kwargs, **colors)
        style.colorbar(ax, mesh, "share of values (square-root scale)")
    style.finish(
        ax,
        title=f"Values of {label} over time",
        xlabel="time $t$ (steps)",
        ylabel=f"value of {kind}".strip(),
        notes=notes,
        integers="x",
        grid="",
    )
    return ax


def plot_saturation(history: Any, *, ax: Any = None, **line_kwargs: Any) -> Axes:
    """Draw the share of saturated units over time, one line per activation that is not a gate.

    Saturated means a derivative below 10 % of its largest value (for a ReLU: a derivative of 0). A
    share near 1 stops the gradient whatever the weights are. Gates are left out: a forget gate that
    saturates open is what carries a gradient (`plot_gates`).

    **Arguments:**

    - `history`: an `ActivationHistory`.
    - `ax`: axes to draw on; None makes a figure.
    - `line_kwargs`: passed on to `Axes.plot`.

    **Returns:** the axes.
    """
    rows = _rows(history, history.saturated, gates=False)
    texts = "Saturated units", "share of saturated units", "no activation recorded"
    return _draw_shares(ax, rows, line_kwargs, *texts)


def plot_gates(history: Any, *, ax: Any = None, **line_kwargs: Any) -> Axes:
    """Draw the mean of each gate over time.

    A gate near 0 is closed, near 1 open. A forget (or update) gate that averages f shrinks what the
    cell carries by about f at each step: 0.5 leaves a thousandth after ten steps. In a stacked cell
    a color is a gate and a line style is a layer.

    **Arguments:**

    - `history`: an `ActivationHistory`.
    - `ax`: axes to draw on; None makes a figure.
    - `line_kwargs`: passed on to `Axes.plot`.

    **Returns:** the axes; it says so on the axes when the cell has no gates.
    """
    rows = _rows(history, history.mean, gates=True)
    texts = "Gates", "mean gate value", "this cell has no gates"
    ax = _draw_shares(ax, rows, line_kwargs, *texts)
    if rows:
        style.reference_line(ax, 0.5)
    return ax


def height_for(num_lines: int) -> float:
    """Return the height in inches at which a legend of so many lines fits beside the axes."""
    return max(3.9, 1.2 + 0.19 * num_lines)


def _rows(history: Any, series: Any, *, gates: bool) -> list[tuple[str, str, np.ndarray]]:
    """Return name, kind and finite values of the activations that are gates, or that are not."""
    rows = zip(history.names, history.kinds, series, history.is_gate, strict=True)
    return [
        (name, kind, np.where(np.isfinite(one), one, np.nan))
        for name, kind, one, gate in rows
        if gate == gates
    ]


def _draw_shares(
    ax: Any,
    rows: list[tuple[str, str, np.ndarray]],
    line_kwargs: dict[str, Any],
    title: str,
    ylabel: str,
    nothing: str,
) -> Axes:
    """Draw series between 0 and 1 against time, labeled by their name and kind."""
    ax = style.new_axes(ax, (5.6, height_for(len(rows))))
    kinds = {kind for _, kind, _ in rows}
    if len(kinds) == 1:  # said once, on the axis
        ylabel = f"{ylabel} ({next(iter(kinds))})"
    looks = _looks([name for name, _, _ in rows])
    for index, (name, kind, values) in enumerate(rows):
        said = kind in name or len(kinds) == 1
        label = style.plain(name) if said else f"{style.plain(name)} ({kind})"
        marker = {"marker": "o", "markersize": 4} if values.size == 1 else {}
        look = {**looks[index], **marker, "label": label}
        steps = np.arange(1, values.size + 1)
        ax.plot(steps, values, **style.line_options(index, line_kwargs, **look))
    drawn = [values for _, _, values in rows]
    if rows:
        style.write_if_nothing(ax, *drawn)
    else:
        style.write_on_axes(ax, nothing)
    ax.set_ylim(-0.03, 1.03)
    notes = style.count_notes(0, sum(int(np.isnan(values).sum()) for values in drawn))
    xlabel = "time $t$ (steps)"
    style.finish(ax, title=title, xlabel=xlabel, ylabel=ylabel, notes=notes, integers="x")
    style.add_legend_beside(ax)
    ax.spines[["left", "bottom"]].set_color(style.GRAY)
    return ax


def _looks(names: list[str]) -> list[dict[str, Any]]:
    """Return the looks of lines called "layer.part": color and marker per part, style per layer.

    Without layers, or with more of them than styles, the lines keep their default looks.
    """
    places = [tuple(name.rpartition(".")[::2]) for name in names]
    layers = list(dict.fromkeys(layer for layer, _ in places))
    parts = list(dict.fromkeys(part for _, part in places))
    is_grid = len(set(places)) == len(places) and 1 < len(layers) <= len(style.LINE_STYLES)
    if not is_grid or len(parts) > len(style.COLORS):
        return [{} for _ in names]
    return [
        {
            "color": style.COLORS[parts.index(part)],
            "linestyle": style.LINE_STYLES[layers.index(layer)],
            **style.spaced_markers(parts.index(part)),
        }
        for layer, part in places
    ]
