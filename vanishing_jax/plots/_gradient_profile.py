"""The gradient of the loss with respect to every state, against time."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ._axis import Words, words_of_all
from ._style import (
    Axes,
    add_legend,
    as_labeled,
    draw_log_lines,
    finish,
    integer_ticks,
    light_grid,
    line_options,
    new_axes,
    plain,
    sequence_lines,
    set_decades,
    to_log10,
)


def plot_gradient_profile(profile: Any, *, ax: Any = None, **line_kwargs: Any) -> Axes:
    r"""Draw $\|\partial L/\partial s_t\|$ and the parameter gradient of each step against t.

    A line that falls toward small t says that early states hardly change the loss: the gradient
    vanishes on its way back. The second, thin line is the norm of what step t alone adds to
    $\partial L/\partial\theta$; where it is many decades below the last steps, training does not
    hear the early inputs.

    **Arguments:**

    - `profile`: a `GradientProfile`, or a dict from label to `GradientProfile` for an overlay. A
      batch of profiles is drawn as thin lines with their mean.
    - `ax`: axes to draw on; None makes a figure.
    - `line_kwargs`: passed on to `Axes.plot` for the state gradients.

    **Returns:** the axes. The y coordinate is log10 of the norm, labeled by powers of ten.
    """
    ax = new_axes(ax)
    lines, labeled = [], as_labeled(profile)
    words = words_of_all(labeled.values())
    share = f"parameter gradient of {words.unit} ${words.index}$ alone"
    for index, (label, one) in enumerate(labeled.items()):
        if one is not None:  # a diagnosis without a loss has no profile
            lines += _lines_of(index, plain(label), one, words, share, line_kwargs)
    notes = draw_log_lines(ax, lines)
    if isinstance(profile, Mapping) and lines:
        notes = [f"dotted: {share}", *notes]
    finish(
        ax,
        title=f"Gradient of the loss at each {words.unit}",
        xlabel=words.axis,
        ylabel="gradient norm (units of the loss)",
        notes=notes,
    )
    set_decades(ax, [y for _, y, _ in lines])
    integer_ticks(ax)
    light_grid(ax)
    add_legend(ax, "lower right" if _rises(lines) else "lower left")
    return ax


def _lines_of(
    index: int, name: str, profile: Any, words: Words, share: str, line_kwargs: dict[str, Any]
) -> list:
    """Return the lines of both norms against t; one per sequence and their mean for a batch."""
    states, shares = to_log10(profile.log_norm), to_log10(profile.log_parameter_norm)
    what = "state" if words.unit == "step" else "activation"
    own = rf"{what} gradient $\|\partial L/\partial {words.state}_{words.index}\|$"
    thick = line_options(index, line_kwargs, label=name or own, zorder=4)
    thin = {
        "color": thick["color"] if name else line_options(1, {})["color"],
        "linestyle": ":" if name else "--",
        "linewidth": 1.1,
        "label": "" if name else share,
    }
    num_steps = shares.shape[-1]
    return [
        *sequence_lines(np.arange(num_steps + 1), states.reshape(-1, num_steps + 1), thick),
        *sequence_lines(np.arange(1, num_steps + 1), shares.reshape(-1, num_steps), thin),
    ]


def _rises(lines: list) -> bool:
    """Return whether the first line ends higher than it starts (a vanishing gradient's shape)."""
    finite = lines[0][1][np.isfinite(lines[0][1])] if lines else np.zeros(0)
    return bool(finite.size == 0 or finite[-1] >= finite[0])
