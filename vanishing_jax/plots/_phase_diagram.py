"""The phase diagram of random networks: exponents, horizons and the critical line."""

from typing import Any

import numpy as np

from ._influence import _UNDEFINED_COLOR, _paint
from ._style import (
    SEQUENTIAL,
    SIGNED,
    Axes,
    Figure,
    add_legend,
    cell_edges,
    finish,
    new_axes,
    write_if_nothing,
)

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
    if figure is None:
        import matplotlib.pyplot as plt

        figure = plt.figure(figsize=(10.5, 7.4), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    kinds = ("exponent", "predicted_exponent", "horizon", "predicted_horizon")
    for ax, of in zip(panels.flat, kinds, strict=True):
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

    **Raises:** `ValueError` for another `of`.
    """
    if of not in _TITLES:
        raise ValueError(f"expected `of` as one of {', '.join(map(repr, _TITLES))}; got {of!r}.")
    ax = new_axes(ax, (5.4, 4.0))
    axis = next(name for name in _AXES if name in phase.dims)
    values = phase[of]
    values = values.median("seed", skipna=False) if "seed" in values.dims else values
    values = np.asarray(values.transpose(axis, "gain").values, float)
    gains, rows = phase.gain.values, np.arange(phase.sizes[axis])
    if not write_if_nothing(ax, np.where(np.isposinf(values), 0.0, values)):
        edges = cell_edges(gains), cell_edges(rows)
        ax.set_facecolor(_BEYOND_COLOR)
        options = {**_colors(phase, of), "rasterized": True, **mesh_kwargs}
        mesh = ax.pcolormesh(*edges, np.ma.masked_where(~np.isfinite(values), values), **options)
        undefined = np.isnan(values) | np.isneginf(values)
        _paint(ax, *edges, undefined, _UNDEFINED_COLOR)
        _colorbar(ax, mesh, of)
        _draw_critical_line(ax, phase, rows, measured=not of.startswith("predicted"))
    finish(
        ax,
        title=_TITLES[of],
        xlabel="gain $g$ of the recurrent weights",
        ylabel=_AXES[axis],
    )
    ax.set_yticks(rows, [f"{value:.3g}" for value in phase[axis].values])
    return ax


def _colors(phase: Any, of: str) -> dict[str, Any]:
    """Return color map and scale: the same for what was measured and what was predicted."""
    from matplotlib import colormaps
    from matplotlib.colors import CenteredNorm, LogNorm

    if of.endswith("horizon"):
        steps = float(phase.attrs["steps"])
        shown = np.concatenate([phase[n].values.ravel() for n in ("horizon", "predicted_horizon")])
        shown = shown[np.isfinite(shown) & (shown > 0)]
        low = min(float(shown.min(initial=steps)), steps / 10)
        colors = colormaps[SEQUENTIAL].with_extremes(over=_BEYOND_COLOR)
        return {"cmap": colors, "norm": LogNorm(low, steps)}
    shown = np.concatenate([phase[n].values.ravel() for n in ("exponent", "predicted_exponent")])
    reach = np.abs(shown[np.isfinite(shown)]).max(initial=1e-3)
    return {"cmap": SIGNED, "norm": CenteredNorm(0.0, reach)}


def _colorbar(ax: Axes, mesh: Any, of: str) -> None:
    horizon = of.endswith("horizon")
    bar = ax.figure.colorbar(mesh, ax=ax, pad=0.02, extend="max" if horizon else "neither")
    bar.set_label("steps to $10^{-3}$" if horizon else "nats per step", fontsize="small")
    bar.ax.tick_params(labelsize="small")


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
    add_legend(ax, "lower right")
