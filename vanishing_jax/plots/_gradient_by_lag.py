"""Norm of the back-propagated gradient by lag, relative to where it started."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..diagnostics._words import horizon_text, zero_share_text
from ._axis import words_of, words_of_all
from ._prediction import draw_predicted_decay
from ._style import (
    GRAY,
    HORIZON_LEVEL,
    Axes,
    add_legend,
    as_labeled,
    draw_log_lines,
    finish,
    line_options,
    new_axes,
    plain,
    reference_line,
    sequence_lines,
    set_decades,
    to_log10,
)


def plot_gradient_by_lag(diagnosis: Any, *, ax: Any = None, **line_kwargs: Any) -> Axes:
    """Draw the norm of the back-propagated gradient by lag, each sequence and their mean.

    A straight fall is vanishing at a fixed rate, a straight rise is exploding, a line that stays
    near 1 is healthy. The horizon is the lag at which the median sequence reaches 0.001. Wide
    scatter between the sequences says that the data decide, not the weights alone. Where theory has
    a prediction, it is the black dashed line with its band of two standard deviations.

    **Arguments:**

    - `diagnosis`: a `Diagnosis`, or a dict from label to `Diagnosis` for a before/after overlay.
    - `ax`: axes to draw on; None makes a figure.
    - `line_kwargs`: passed on to `Axes.plot` for the means.

    **Returns:** the axes. The y coordinate is log10 of the norm, labeled by powers of ten.
    """
    ax = new_axes(ax)
    labeled = as_labeled(diagnosis)
    words = words_of_all(labeled.values())
    lines: list = []
    for index, (label, one) in enumerate(labeled.items()):
        lines += _lines_of(index, plain(label), one, line_kwargs)
    notes = draw_log_lines(ax, lines)
    reference_line(ax, 0.0, linestyle="-")
    reference_line(ax, HORIZON_LEVEL)
    for index, one in enumerate(labeled.values()):
        _mark_horizon(ax, index, one)
    if not isinstance(diagnosis, Mapping):
        notes = [*_own_notes(diagnosis), *notes]
        notes += draw_predicted_decay(ax, getattr(diagnosis, "prediction", None), diagnosis.lags)
    elif any(_horizon_is_drawn(one) for one in labeled.values()):
        notes = ["dashed: horizon of that color, at 0.001 (dotted)", *notes]
    finish(
        ax,
        title=f"Gradient carried {words.through}",
        xlabel=f"lag $t - s$ ({words.units})",
        ylabel="gradient relative to lag 0",
        notes=notes,
        integers="x",
    )
    set_decades(ax, [y for _, y, _ in lines])
    if len(labeled) > 6:  # more than a corner holds
        add_legend(ax, "upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2, frameon=False)
        return ax
    falls = _falls(lines)
    # A little above the floor, where exact zeros and, in mild cases, the dotted line lie.
    place: dict[str, Any] = {"bbox_to_anchor": (0.0, 0.07)} if falls else {}
    add_legend(ax, "lower left" if falls else "upper left", **place)
    return ax


def _lines_of(index: int, name: str, diagnosis: Any, line_kwargs: dict[str, Any]) -> list:
    lags = np.asarray(diagnosis.lags)
    log10 = to_log10(diagnosis.log_gradient_by_lag).reshape(-1, lags.size)
    partial = ", where not exactly 0" if np.isneginf(log10).any() else ""
    one, many = _samples(diagnosis)
    own = one if len(log10) == 1 else f"{_mean_of(log10)} {many}{partial}"
    options = line_options(index, line_kwargs, linewidth=2.2, zorder=4, label=name or own)
    return sequence_lines(lags, log10, options, None if name else one)


def _samples(diagnosis: Any) -> tuple[str, str]:
    if words_of(diagnosis).unit == "step":
        return "one sequence", "sequences"
    return "one sample", "samples"


def _mean_of(log10: np.ndarray) -> str:
    total, measured = len(log10), int(np.isfinite(log10).any(axis=1).sum())
    if measured == total:
        return f"mean of {total}"
    return f"one of {total}" if measured == 1 else f"mean of {measured} of {total}"


def _horizon_is_drawn(diagnosis: Any) -> bool:
    last = max((int(lag) for lag in diagnosis.lags), default=0)
    return 0 <= diagnosis.horizon <= last and not diagnosis.horizon_is_extrapolated


def _mark_horizon(ax: Axes, index: int, diagnosis: Any) -> None:
    if _horizon_is_drawn(diagnosis):
        options = line_options(
            index, {}, linewidth=1.2, alpha=0.9, linestyle=(0, (4, 2)), marker=""
        )
        ax.axvline(diagnosis.horizon, zorder=1, **options)
        ax.plot([diagnosis.horizon], [HORIZON_LEVEL], marker="D", color=GRAY, ms=5, zorder=5)


def _own_notes(diagnosis: Any) -> list[str]:
    unit = words_of(diagnosis).unit
    text = horizon_text(diagnosis.horizon, diagnosis.horizon_is_extrapolated, unit)
    notes = [f"horizon (at 0.001, dotted): {text}"]
    return [*notes, zero_share_text(diagnosis.zero_share)] if diagnosis.zero_share > 0 else notes


def _falls(lines: list) -> bool:
    finite = lines[-1][1][np.isfinite(lines[-1][1])] if lines else np.zeros(0)
    return bool(finite.size == 0 or finite[-1] <= 1.0)
