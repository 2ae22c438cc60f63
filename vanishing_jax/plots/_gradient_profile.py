"""The gradient of the loss with respect to every state, against time."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from . import _style as style
from ._axis import Words, words_of_all
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

    - `profile`: a `GradientProfile`, or a dict from label to `GradientProfile` for an overlay. A
      batch of profiles is drawn as thin lines with their mean.
    - `prediction`: a `theory.Prediction` to draw beneath: its decay from the last step, where the
      first profile has its mean; None draws none.
    - `ax`: axes to draw on; None makes a figure.
    - `line_kwargs`: passed on to `Axes.plot` for the state gradients.

    **Returns:** the axes. The y coordinate is log10 of the norm, labeled by powers of ten.
    """
    ax = style.new_axes(ax)
    lines, labeled = [], style.as_labeled(profile)
    words = words_of_all(labeled.values())
    share = f"parameter gradient of {words.unit} ${words.index}$ alone"
    for index, (label, one) in enumerate(labeled.items()):
        if one is not None:  # a diagnosis without a loss has no profile
            lines += _lines_of(index, style.plain(label), one, words, share, line_kwargs)
    notes = style.draw_log_lines(ax, lines)
    notes = notes + _predicted(ax, profile, prediction)
    if isinstance(profile, Mapping) and lines:
        notes = [f"dotted: {share}", *notes]
    style.finish(
        ax,
        title=f"Gradient of the loss at each {words.unit}",
        xlabel=words.axis,
        ylabel="gradient norm (units of the loss)",
        notes=notes,
        integers="x",
    )
    style.set_decades(ax, [y for _, y, _ in lines])
    style.add_legend(ax, "lower right" if _rises(lines) else "lower left")
    return ax


def _lines_of(
    index: int, name: str, profile: Any, words: Words, share: str, line_kwargs: dict[str, Any]
) -> list:
    """Return the lines of both norms against t; one per sequence and their mean for a batch."""
    states, shares = style.to_log10(profile.log_norm), style.to_log10(profile.log_parameter_norm)
    what = "state" if words.unit == "step" else "activation"
    own = rf"{what} gradient $\|\partial L/\partial {words.state}_{words.index}\|$"
    thick = style.line_options(index, line_kwargs, label=name or own, zorder=4)
    thin = {
        "color": thick["color"] if name else style.line_options(1, {})["color"],
        "linestyle": ":" if name else "--",
        "linewidth": 1.1,
        "label": "" if name else share,
    }
    num_steps = shares.shape[-1]
    return [
        *style.sequence_lines(np.arange(num_steps + 1), states.reshape(-1, num_steps + 1), thick),
        *style.sequence_lines(np.arange(1, num_steps + 1), shares.reshape(-1, num_steps), thin),
    ]


def _predicted(ax: Axes, profile: Any, prediction: Any) -> list[str]:
    first = next(iter(style.as_labeled(profile).values()), None)
    if first is None:
        return []
    norms = style.to_log10(first.log_norm).reshape(-1, np.shape(first.log_norm)[-1])
    ends = norms[np.isfinite(norms[:, -1]), -1]
    if ends.size == 0:  # the loss does not read the last state
        return []
    last = norms.shape[1] - 1
    lags = np.arange(last + 1)
    return draw_predicted_decay(ax, prediction, lags, x=last - lags, start=float(ends.mean()))


def _rises(lines: list) -> bool:
    """Return whether the first line ends higher than it starts (a vanishing gradient's shape)."""
    finite = lines[0][1][np.isfinite(lines[0][1])] if lines else np.zeros(0)
    return bool(finite.size == 0 or finite[-1] >= finite[0])
