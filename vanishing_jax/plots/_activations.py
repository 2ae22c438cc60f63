"""What the activations do over time: histogram, saturation, gates."""

from typing import Any

import numpy as np

from ._style import (
    COLORS,
    GRAY,
    LINE_STYLES,
    SEQUENTIAL,
    Axes,
    add_legend,
    cell_edges,
    count_notes,
    count_undefined,
    finish,
    integer_ticks,
    light_grid,
    line_options,
    new_axes,
    plain,
    reference_line,
    spaced_markers,
    write_if_nothing,
    write_on_axes,
)


def plot_activations(
    history: Any, name: str | None = None, *, ax: Any = None, **mesh_kwargs: Any
) -> Axes:
    """Draw the histogram of one activation's values over time as a heat map.

    Mass at the ends of a tanh or a sigmoid is saturation, where the derivative is near 0; mass at 0
    of a ReLU is units that are off. A band that drifts says that the hidden state has not settled.

    **Arguments:**

    - `history`: an `ActivationHistory`.
    - `name`: one of `history.names`. Default: the first one that is not a gate, else the first.
    - `ax`: axes to draw on; None makes a figure.
    - `mesh_kwargs`: passed on to `Axes.pcolormesh`.

    **Returns:** the axes.

    **Raises:** `ValueError` when the history has no activation called `name`.
    """
    from matplotlib.colors import PowerNorm

    ax = new_axes(ax)
    index = _index_of(history, name)
    label = plain(history.names[index]) if history.names else "activation"
    kind = history.kinds[index] if history.names else ""
    shares = np.asarray(history.histogram[index], float) if history.names else np.zeros((0, 0))
    if not write_if_nothing(ax, shares):
        top = max(float(np.nanmax(shares)), 1e-12)
        # Saturation piles up in one bin: a linear scale would show that bin and nothing else.
        options = {"cmap": SEQUENTIAL, "norm": PowerNorm(0.5, 0.0, top), "rasterized": True}
        times = cell_edges(np.arange(1, len(shares) + 1))
        edges = np.asarray(history.bin_edges[index], float)
        mesh = ax.pcolormesh(times, edges, shares.T, **{**options, **mesh_kwargs})
        bar = ax.figure.colorbar(mesh, ax=ax, pad=0.02)
        bar.set_label("share of values (square-root scale)", fontsize="small")
        bar.ax.tick_params(labelsize="small")
    finish(
        ax,
        title=f"Values of {label} over time",
        xlabel="time $t$ (steps)",
        ylabel=f"value of {kind}".strip(),
        notes=count_notes(0, count_undefined(shares)),
    )
    integer_ticks(ax)
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
    rows = [(n, k, s) for n, k, s, gate in _rows(history, history.saturated) if not gate]
    return _draw_shares(
        new_axes(ax, (5.6, height_for(len(rows)))),
        rows,
        line_kwargs,
        title="Saturated units",
        ylabel="share of saturated units",
        nothing="no activation recorded",
    )


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
    rows = [(n, k, m) for n, k, m, gate in _rows(history, history.mean) if gate]
    ax = _draw_shares(
        new_axes(ax, (5.6, height_for(len(rows)))),
        rows,
        line_kwargs,
        title="Gates",
        ylabel="mean gate value",
        nothing="this cell has no gates",
    )
    if any(history.is_gate):
        reference_line(ax, 0.5)
    return ax


def height_for(num_lines: int) -> float:
    """Return the height in inches at which a legend of so many lines fits beside the axes."""
    return max(3.9, 1.2 + 0.19 * num_lines)


def _index_of(history: Any, name: str | None) -> int:
    names = tuple(history.names)
    if name is None:
        return next((i for i, is_gate in enumerate(history.is_gate) if not is_gate), 0)
    if name not in names:
        raise ValueError(
            f"expected the name of a recorded activation, one of {list(names)}; got {name!r}."
        )
    return names.index(name)


def _rows(history: Any, series: Any) -> list[tuple[str, str, np.ndarray, bool]]:
    rows = zip(history.names, history.kinds, series, history.is_gate, strict=True)
    return [(name, kind, np.asarray(s, float), bool(gate)) for name, kind, s, gate in rows]


def _draw_shares(
    ax: Axes,
    rows: list[tuple[str, str, np.ndarray]],
    line_kwargs: dict[str, Any],
    *,
    title: str,
    ylabel: str,
    nothing: str,
) -> Axes:
    """Draw series between 0 and 1 against time, directly labeled by their name and kind."""
    undefined = 0
    kinds = {kind for _, kind, _ in rows}
    if len(kinds) == 1:  # said once, on the axis
        ylabel = f"{ylabel} ({next(iter(kinds))})"
    styles = _styles([name for name, _, _ in rows])
    for index, (name, kind, values) in enumerate(rows):
        label = plain(name) if kind in name or len(kinds) == 1 else f"{plain(name)} ({kind})"
        marker = {"marker": "o", "markersize": 4} if values.size == 1 else {}
        options = line_options(index, line_kwargs, **{**styles[index], **marker}, label=label)
        ax.plot(
            np.arange(1, values.size + 1), np.where(np.isfinite(values), values, np.nan), **options
        )
        undefined += int((~np.isfinite(values)).sum())
    if rows:
        write_if_nothing(ax, *[np.where(np.isfinite(v), v, np.nan) for _, _, v in rows])
    else:
        write_on_axes(ax, nothing)
    ax.set_ylim(-0.03, 1.03)
    finish(
        ax,
        title=title,
        xlabel="time $t$ (steps)",
        ylabel=ylabel,
        notes=count_notes(0, undefined),
    )
    integer_ticks(ax)
    light_grid(ax)
    # Lines between 0 and 1 may lie anywhere: the legend goes beside them.
    add_legend(ax, "upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2, frameon=False)
    ax.spines[["left", "bottom"]].set_color(GRAY)
    return ax


def _styles(names: list[str]) -> list[dict[str, Any]]:
    """Return the looks of lines called "layer.part": color and marker per part, style per layer.

    Without layers, or with more of them than styles, the lines keep their default looks.
    """
    places = [tuple(name.rpartition(".")[::2]) for name in names]
    layers = list(dict.fromkeys(layer for layer, _ in places))
    parts = list(dict.fromkeys(part for _, part in places))
    is_grid = len(set(places)) == len(places) and 1 < len(layers) <= len(LINE_STYLES)
    if not is_grid or len(parts) > len(COLORS):
        return [{} for _ in names]
    return [
        {
            "color": COLORS[parts.index(part)],
            "linestyle": LINE_STYLES[layers.index(layer)],
            **spaced_markers(parts.index(part)),
        }
        for layer, part in places
    ]
