"""The gradient of the loss with respect to every state, against time."""

from typing import Any

import numpy as np

from . import _style as style
from ._axis import Words, words_of
from ._prediction import draw_predicted_decay
from ._style import Axes


def plot_gradient_profile(
    profile: Any, *, prediction: Any = None, ax: Any = None, **line_kwargs: Any
) -> Axes:
    r"""Draw $\|\partial L/\partial s_t\|$ and the parameter gradient of each step against t.

    A line that falls toward small t says that early states hardly change the loss: the gradient
    vanishes on its way back. The second, thin line is the norm of what step t alone adds to
    $\partial L/\partial\theta$; where it is many decades below the last steps, training does not
    hear the early inputs.

    **Arguments:**

    - `profile`: a `GradientProfile`; a batch of profiles is drawn as thin lines with their mean.
    - `prediction`: a `theory.Prediction` to draw beneath: its decay from the last step, where the
      profile has its mean; None draws none.
    - `ax`: axes to draw on; None makes a figure.
    - `line_kwargs`: passed on to `Axes.plot` for the state gradients.

    **Returns:** the axes. The y coordinate is log10 of the norm, labeled by powers of ten.
    """
    ax, words = style.new_axes(ax), words_of(profile)
    norms = style.to_log10(profile.log_norm)
    norms = norms.reshape(-1, norms.shape[-1])  # one sequence, or a batch of them
    lines = _lines_of(norms, style.to_log10(profile.log_parameter_norm), words, line_kwargs)
    notes = style.draw_log_lines(ax, lines) + _predicted(ax, norms, prediction)
    style.finish(
        ax,
        title=f"Gradient of the loss at each {words.unit}",
        xlabel=words.axis,
        ylabel="gradient norm (units of the loss)",
        notes=notes,
        integers="x",
    )
    style.set_decades(ax, [y for _, y, _ in lines])
    style.add_legend(ax, "lower right" if _rises(norms[0]) else "lower left")
    return ax


def _lines_of(
    norms: np.ndarray, shares: np.ndarray, words: Words, line_kwargs: dict[str, Any]
) -> list:
    """Return the lines of both norms against t; one per sequence and their mean for a batch."""
    what = "state" if words.unit == "step" else "activation"
    label = rf"{what} gradient $\|\partial L/\partial {words.state}_{words.index}\|$"
    thick = style.line_options(0, line_kwargs, label=label, zorder=4)
    share = f"parameter gradient of {words.unit} ${words.index}$ alone"
    thin = style.line_options(1, {}, linewidth=1.1, label=share)
    steps = np.arange(norms.shape[1])
    return [
        *style.sequence_lines(steps, norms, thick),
        *style.sequence_lines(steps[1:], shares.reshape(-1, len(steps) - 1), thin),
    ]


def _predicted(ax: Axes, norms: np.ndarray, prediction: Any) -> list[str]:
    ends = norms[np.isfinite(norms[:, -1]), -1]
    if ends.size == 0:  # the loss does not read the last state
        return []
    lags = np.arange(norms.shape[1])
    return draw_predicted_decay(ax, prediction, lags, x=lags[::-1], start=float(ends.mean()))


def _rises(norms: np.ndarray) -> bool:
    """Return whether a line ends higher than it starts (a vanishing gradient's shape)."""
    finite = norms[np.isfinite(norms)]
    return bool(finite.size == 0 or finite[-1] >= finite[0])
