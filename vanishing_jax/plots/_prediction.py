"""What theory predicts, drawn under a measurement: one line and its band of two deviations."""

from typing import Any

import numpy as np

from . import _style as style
from ._style import Axes, Number

_COLOR, _ALPHA, _DEVIATIONS = "#000000", 0.13, 2.0


def draw_predicted_decay(
    ax: Axes, prediction: Any, lags: Any, *, x: Any = None, start: Number = 0.0
) -> list[str]:
    """Draw exp(rate * lag) with its band on an axis of log10, and return a note.

    **Arguments:**

    - `prediction`: a `theory.Prediction`, or None: nothing is drawn.
    - `lags`: steps behind the start; `x`: where they are drawn, at the lags by default.
    - `start`: log10 of the value at lag 0.
    """
    if prediction is None or prediction.theory is None:
        return []
    lags, rate = np.asarray(lags, float), prediction.best_rate
    x = lags if x is None else np.asarray(x, float)
    middle = start + style.to_log10(rate * lags)
    ax.plot(x, middle, color=_COLOR, linestyle="--", linewidth=1.4, zorder=3)
    note = f"black dashed: theory, {rate:+.3f}".replace("-", "−")
    half = _DEVIATIONS * prediction.standard_deviation
    if not np.isfinite(half):
        return [f"{note} nats per step"]
    width = style.to_log10(half * lags)
    ax.fill_between(
        x, middle - width, middle + width, color=_COLOR, alpha=_ALPHA, linewidth=0, zorder=1
    )
    return [f"{note} ± {half:.3f} nats per step (2 sd at this size)"]


def draw_predicted_exponents(
    ax: Axes, prediction: Any, n: int, *, scale: Number = 1.0
) -> list[str]:
    """Draw the n predicted exponents, times `scale`, against their index, and return a note."""
    if prediction is None or prediction.theory is None:
        return []
    notes, half = [], _DEVIATIONS * prediction.standard_deviation
    known = prediction.exponents
    if known is not None and len(known) == n:
        index, values = np.arange(1, n + 1), np.asarray(known, float) * scale
        shown = np.isfinite(values)
        ax.plot(index[shown], values[shown], color=_COLOR, linestyle="--", linewidth=1.4, zorder=3)
        notes.append("black dashed: theory for n → ∞")
    if np.isfinite(half):
        ax.errorbar(
            [1], [prediction.expected_rate * scale], [half * scale], fmt="_", color=_COLOR,
            capsize=4, linewidth=1.4, zorder=5,
        )  # fmt: skip
        notes.append("black bar: a gradient's rate at this size ± 2 sd")
    return notes
