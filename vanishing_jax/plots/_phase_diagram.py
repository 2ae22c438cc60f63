"""The phase diagram of random networks: exponents, horizons and the critical line."""

from typing import Any

import numpy as np

from . import _style as style
from ._heat_map import draw_cells, signed_colors
from ._style import Axes, Figure

_TITLES = {
    "exponent": "Measured exponent",
    "predicted_exponent": "Predicted exponent",
    "horizon": "Measured horizon",
    "predicted_horizon": "Predicted horizon",
}
_BEYOND_COLOR = "#f4f1e8"
_AXES = {
    "input_variance": r"variance of the input $s^2$",
    "bias_variance": r"variance of the biases $s_b^2$",
}


def plot_phase_diagram(phase: Any, *, figure: Any = None) -> Figure:
    """Draw a phase diagram: measured and predicted exponents and horizons side by side.

    Blue vanishes, red explodes, white is critical. The two upper panels should look the same, and
    so should the lower ones: then theory may choose the gain. The line is the predicted critical
    gain, the circles are where the measured exponent is 0, with two standard errors.

    **Arguments:**

    - `phase`: what `vj.phase_diagram` returns.
    - `figure`: an empty figure to draw on; None makes one.

    **Returns:** the figure, of 2 x 2 panels.
    """
    figure = style.new_figure(figure, (10.5, 7.4))
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    for ax, of in zip(panels.flat, _TITLES, strict=True):
        plot_phase(phase, of=of, ax=ax)
        ax.label_outer()
    biases = "" if "input_variance" in phase.dims else f", input {phase.attrs['input_variance']:g}"
    size = f"{phase.attrs['hidden_size']} units, {phase.sizes['seed']} networks per point"
    what = f"{phase.attrs['activation']}, {phase.attrs['weights']} weights{biases}: {size}"
    figure.suptitle(what, x=0.01, ha="left", fontweight="bold")
    return figure


def plot_phase(phase: Any, *, of: str = "exponent", ax: Any = None, **mesh_kwargs: Any) -> Axes:
    """Draw one map of a phase diagram: gain across, variance of the input (or biases) upwards.

    An exponent is in nats per step: blue gradients vanish, red ones explode. A horizon is in steps,
    on a logarithmic scale; where a thousandth of the gradient is left after all steps, it is pale.

    **Arguments:**

    - `phase`: what `vj.phase_diagram` returns.
    - `of`: "exponent", "predicted_exponent", "horizon" or "predicted_horizon"; what was measured is
      the median over seeds.
    - `ax`: axes to draw on; None makes a figure.
    - `mesh_kwargs`: passed on to `Axes.pcolormesh`.

    **Returns:** the axes. Rows are equally high whatever their variances, which the ticks name.
    """
    ax = style.new_axes(ax, (5.4, 4.0))
    axis = next(name for name in _AXES if name in phase.dims)
    values = phase[of]
    values = values.median("seed", skipna=False) if "seed" in values.dims else values
    values = np.asarray(values.transpose(axis, "gain").values, float)
    rows = np.arange(phase.sizes[axis])
    beyond, notes = np.isposinf(values), []  # what reaches beyond all steps is pale
    if not style.write_if_nothing(ax, np.where(beyond, 0.0, values)):
        edges = style.cell_edges(phase.gain.values), style.cell_edges(rows)
        looks = {"empty_color": _BEYOND_COLOR, **_colors(phase, of)}
        mesh, notes = draw_cells(ax, edges, values, mesh_kwargs, known=~beyond, **looks)
        horizon = of.endswith("horizon")
        label = "steps to $10^{-3}$" if horizon else "nats per step"
        style.colorbar(ax, mesh, label, extend="max" if horizon else "neither")
        _draw_critical_line(ax, phase, rows, measured=not of.startswith("predicted"))
    style.finish(
        ax,
        title=_TITLES[of],
        xlabel="gain $g$ of the recurrent weights",
        ylabel=_AXES[axis],
        notes=notes,
        grid="",
    )
    ax.set_yticks(rows, [f"{value:.3g}" for value in phase[axis].values])
    return ax


def _colors(phase: Any, of: str) -> dict[str, Any]:
    """Return color map and scale: the same for what was measured and what was predicted."""
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm

    kind = of.removeprefix("predicted_")
    shown = np.concatenate([phase[name].values.ravel() for name in (kind, f"predicted_{kind}")])
    if kind == "exponent":
        return signed_colors(shown, 1e-3)
    shown, steps = shown[np.isfinite(shown) & (shown > 0)], float(phase.attrs["steps"])
    low = min(float(shown.min(initial=steps)), steps / 10)
    colors = colormaps[style.SEQUENTIAL].with_extremes(over=_BEYOND_COLOR)
    return {"cmap": colors, "norm": LogNorm(low, steps)}


def _draw_critical_line(ax: Axes, phase: Any, rows: np.ndarray, *, measured: bool) -> None:
    """Draw the predicted critical gain, and where the measured exponent is 0."""
    low, high = ax.get_xlim()
    inside = lambda x: np.where((x >= low) & (x <= high), x, np.nan)  # noqa: E731
    critical = inside(phase.critical_gain.values)
    if np.isfinite(critical).any():
        ax.plot(critical, rows, color="black", linewidth=1.6, label="predicted critical gain")
    crossing = phase.measured_critical_gain.values
    if measured and np.isfinite(crossing).any():
        error = 2 * np.nan_to_num(phase.critical_gain_error.values)
        look: dict[str, Any] = {"markerfacecolor": "white", "markersize": 5, "color": "black"}
        ax.errorbar(crossing, rows, xerr=error, fmt="o", elinewidth=1.2, label="measured", **look)
    ax.set_xlim(low, high)
    style.add_legend(ax, "lower right")
