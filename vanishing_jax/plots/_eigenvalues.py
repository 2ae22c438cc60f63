"""One-step eigenvalues in the complex plane."""

from typing import Any

import numpy as np

from . import _style as style
from ._style import Axes


def plot_eigenvalues(eigenvalues: Any, *, ax: Any = None, **scatter_kwargs: Any) -> Axes:
    r"""Draw the eigenvalues of the one-step Jacobians $J_t$ with the unit circle.

    Points well inside the circle forget within a few steps, points near 1 are slow memory, points
    outside grow. For cells that are not normal matrices the eigenvalues bound nothing over a finite
    time: the singular values of the product do (`plot_spectrum`).

    **Arguments:**

    - `eigenvalues`: a `StepEigenvalues`.
    - `ax`: axes to draw on; None makes a figure.
    - `scatter_kwargs`: passed on to `Axes.scatter`.

    **Returns:** the axes, of equal aspect.
    """
    ax = style.new_axes(ax, (5.2, 4.3))
    values = np.asarray(eigenvalues.eigenvalues).reshape(
        len(eigenvalues.times), -1 if len(eigenvalues.times) else 0
    )
    times = np.broadcast_to(np.asarray(eigenvalues.times)[:, None], values.shape)
    finite = np.isfinite(values)
    angle = np.linspace(0.0, 2 * np.pi, 361)
    ax.plot(np.cos(angle), np.sin(angle), color=style.GRAY, linewidth=1.0, label="unit circle")
    options: dict[str, Any] = {"s": 12, "alpha": 0.8, "linewidths": 0, "cmap": style.SEQUENTIAL}
    options |= {"c": times[finite], "zorder": 3, **scatter_kwargs}
    if not style.write_if_nothing(ax, np.where(finite, 0.0, np.nan)):
        points = ax.scatter(np.real(values[finite]), np.imag(values[finite]), **options)
        if len(eigenvalues.times) > 1 and "c" not in scatter_kwargs:
            bar = style.colorbar(ax, points, "time $t$ (steps)", shrink=0.9)
            bar.solids.set(alpha=1) if bar.solids is not None else None
    ax.set_aspect("equal")
    style.finish(
        ax,
        title="Eigenvalues of the one-step Jacobians",
        xlabel=r"$\mathrm{Re}\,\lambda$",
        ylabel=r"$\mathrm{Im}\,\lambda$",
        notes=style.count_notes(0, int((~finite).sum())),
    )
    ax.locator_params(nbins=6)
    return ax
