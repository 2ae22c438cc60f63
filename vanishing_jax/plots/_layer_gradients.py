"""The gradient in each layer against the distance from the step that the loss reads."""

from typing import Any

import numpy as np

from . import _style as style
from ._style import Axes


def plot_layer_gradients(gradients: Any, *, ax: Any = None, **line_kwargs: Any) -> Axes:
    r"""Draw $\|\partial L/\partial s^l\|$ of each layer against the lag, the mean over sequences.

    The layer whose line falls first has the smallest gradient: what it read further away hardly
    reaches the loss through it. Lines that fall side by side share the cause; a lower layer that
    falls more steeply than the one above loses the gradient in its own recurrence.

    **Arguments:**

    - `gradients`: a `LayerGradients`.
    - `ax`: axes to draw on; None makes a figure.
    - `line_kwargs`: passed on to `Axes.plot`.

    **Returns:** the axes. The y coordinate is log10 of the norm, labeled by powers of ten.
    """
    ax = style.new_axes(ax)
    lags = np.arange(gradients.log_norm.shape[2])
    lines, silent = [], []
    for index, (name, rows) in enumerate(zip(gradients.names, gradients.log_norm, strict=True)):
        if np.isnan(gradients.gone_at[index]):
            silent.append(style.plain(name))
            continue
        options = style.line_options(index, line_kwargs, label=style.plain(name))
        lines.append((lags, _mean(style.to_log10(rows)), options))
    notes = [note for note in style.draw_log_lines(ax, lines) if "not finite" not in note]
    notes += [f"not drawn, no gradient that way: {', '.join(silent)}"] if silent else []
    first = gradients.first_gone()
    if first is not None:
        index = gradients.names.index(first)
        at = float(gradients.gone_at[index])
        color = style.line_options(index, {})["color"]
        ax.axvline(at, color=color, linewidth=1.2, linestyle=(0, (4, 2)), zorder=1)
        gone = f"smallest in {style.plain(first)}: below 0.001 of its largest at lag {at:.0f}"
        notes = [gone, *notes]
    back = gradients.toward == "past"
    style.finish(
        ax,
        title=f"Gradient in each layer, into the {style.plain(gradients.toward)}",
        xlabel=f"lag, {'back from last' if back else 'ahead of first'} direct loss gradient",
        ylabel="gradient norm",
        notes=notes,
        integers="x",
    )
    style.set_decades(ax, [y for _, y, _ in lines])
    style.add_legend(ax, "lower left")
    return ax


def _mean(log10: np.ndarray) -> np.ndarray:
    """Return the mean over sequences that have a finite value; -inf where all that are left are."""
    finite = np.isfinite(log10)
    count = finite.sum(axis=0)
    mean = np.where(finite, log10, 0.0).sum(axis=0) / np.maximum(count, 1)
    return np.where(count > 0, mean, np.where(np.isneginf(log10).any(axis=0), -np.inf, np.nan))
