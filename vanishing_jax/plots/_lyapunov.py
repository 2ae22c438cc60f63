"""Lyapunov exponents against their index."""

from typing import Any

import numpy as np

from ._prediction import draw_predicted_exponents
from ._style import (
    GRAY,
    Axes,
    count_notes,
    count_undefined,
    finish,
    floor_of,
    floor_zeros,
    integer_ticks,
    light_grid,
    line_options,
    new_axes,
    reference_line,
    write_if_nothing,
)


def plot_lyapunov(
    lyapunov: Any, *, prediction: Any = None, ax: Any = None, **line_kwargs: Any
) -> Axes:
    r"""Draw the Lyapunov exponents $\lambda_i$, descending, with their standard errors.

    Exponents near 0 are slow directions, along which a gradient lives long; -0.1 loses a factor e
    in ten steps. A first exponent above 0 is chaos: gradients explode along it.

    **Arguments:**

    - `lyapunov`: a `LyapunovExponents`.
    - `prediction`: a `theory.Prediction` to draw beneath: its exponents and the rate of a gradient;
      None draws none.
    - `ax`: axes to draw on; None makes a figure.
    - `line_kwargs`: passed on to `Axes.plot`.

    **Returns:** the axes, in natural log per step.
    """
    ax = new_axes(ax)
    values = np.asarray(lyapunov.exponents, float)
    error = np.broadcast_to(np.asarray(lyapunov.standard_error, float), values.shape)
    index, finite = np.arange(1, values.size + 1), np.isfinite(values)
    options = line_options(0, line_kwargs, marker="o", markersize=4, linewidth=1.0)
    ax.plot(index, np.where(finite, values, np.nan), **options)
    bars = finite & np.isfinite(error)
    if bars.any():
        ax.errorbar(
            index[bars], values[bars], error[bars], fmt="none", ecolor=GRAY, capsize=2, zorder=1
        )
    reference_line(ax, 0.0, linestyle="-")
    zeros = floor_zeros(ax, index, values, floor_of(values), options["color"])
    write_if_nothing(ax, values)
    theory = draw_predicted_exponents(ax, prediction, values.size)
    steps = "1 step" if lyapunov.num_steps == 1 else f"{lyapunov.num_steps} steps"
    finish(
        ax,
        title=f"Lyapunov exponents over {steps}",
        xlabel="index $i$ (descending)",
        ylabel=r"exponent $\lambda_i$ (nats per step)",
        notes=[*theory, *count_notes(zeros, count_undefined(values))],
    )
    integer_ticks(ax)
    light_grid(ax)
    return ax
