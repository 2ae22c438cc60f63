"""Lyapunov exponents against their index."""

from typing import Any

import numpy as np

from ..diagnostics._words import count_text
from . import _style as style
from ._axis import words_of
from ._prediction import draw_predicted_exponents
from ._style import Axes


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
    ax = style.new_axes(ax)
    values = np.asarray(lyapunov.exponents, float)
    error = np.broadcast_to(np.asarray(lyapunov.standard_error, float), values.shape)
    index, finite = np.arange(1, values.size + 1), np.isfinite(values)
    options = style.line_options(0, line_kwargs, marker="o", markersize=4, linewidth=1.0)
    ax.plot(index, np.where(finite, values, np.nan), **options)
    style.error_bars(ax, index, values, error)
    style.reference_line(ax, 0.0, linestyle="-")
    zeros = style.floor_zeros(ax, index, values, style.floor_of(values), options["color"])
    style.write_if_nothing(ax, values)
    words = words_of(lyapunov)
    theory = draw_predicted_exponents(ax, prediction, values.size)
    style.finish(
        ax,
        title=f"Lyapunov exponents over {count_text(lyapunov.num_steps, words.unit)}",
        xlabel="index $i$ (descending)",
        ylabel=rf"exponent $\lambda_i$ (nats per {words.unit})",
        notes=[*theory, *style.count_notes(zeros, style.count_undefined(values))],
        integers="x",
    )
    return ax
