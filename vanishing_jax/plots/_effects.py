"""What each intervention does to the rate, re-measured on the same data."""

import textwrap
from typing import Any

import numpy as np

from ..diagnostics._words import short_horizon
from . import _style as style
from ._axis import words_of
from ._style import Axes, Number

MOST = 12  # rows that stay readable in one panel of the summary
_STYLE = {"cause": (style.COLORS[1], "s"), "remedy": (style.COLORS[0], "o")}
_KEY = {"cause": "squares: thought experiment", "remedy": "dots: can be built"}


def plot_effects(diagnosis: Any, *, ax: Any = None, **errorbar_kwargs: Any) -> Axes:
    """Draw the rate re-measured after each intervention, with its error bar and horizon.

    Sorted by how close to 0 each one comes: 0 is a gradient carried back unchanged. The dashed line
    is the rate as diagnosed; an intervention whose bar clears it toward 0 matters, one on the line
    does not. Squares are thought experiments that find a cause, dots are changes that one can
    build. On the right, the horizon of each; ≈ is extrapolated beyond the data.

    **Arguments:**

    - `diagnosis`: a `Diagnosis`.
    - `ax`: axes to draw on; None makes a figure as tall as the list.
    - `errorbar_kwargs`: passed on to `Axes.errorbar`.

    **Returns:** the axes, in nats per step.
    """
    effects = sorted(diagnosis.effects, key=_distance)[:MOST]
    num_more = len(diagnosis.effects) - len(effects)
    ax = style.new_axes(ax, (5.6, max(2.6, 1.4 + 0.42 * len(effects))))
    rates = np.array([effect.rate for effect in effects], float)
    floor = _place(rates, diagnosis.rate)
    for row, effect in enumerate(effects):
        _draw_effect(ax, row, effect, floor, errorbar_kwargs)
    ax.axvline(0.0, color=style.GRAY, linewidth=1.0, zorder=1)
    if np.isfinite(diagnosis.rate):
        _mark_baseline(ax, diagnosis)
    kinds = {effect.kind for effect in effects}
    notes = ["dashed: as diagnosed"]
    notes += [note for kind, note in _KEY.items() if kind in kinds]
    notes += [f"{num_more} more measured"] if num_more else []
    if not effects:
        style.write_on_axes(ax, "no intervention was measured")
    ax.set_yticks(range(len(effects)), [_name(e.name, len(effects)) for e in effects])
    ax.set_ylim(max(len(effects), 1) - 0.4, -1.2 if effects else -0.6)
    notes += style.count_notes(int(np.isneginf(rates).sum()), style.count_undefined(rates))
    style.finish(
        ax,
        title="Rate after each intervention",
        xlabel=f"rate (nats per {words_of(diagnosis).unit})",
        ylabel="",
        notes=notes,
        note_width=44,
        grid="x",
    )
    if effects:
        _write_beside(ax, -0.85, f"horizon ({words_of(diagnosis).units})")
    ax.locator_params(axis="x", nbins=6)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return ax


def _distance(effect: Any) -> float:
    """Return how far from a gradient carried back unchanged; what is undefined comes last."""
    return np.inf if np.isnan(effect.rate) else float(abs(effect.rate))


def _place(rates: np.ndarray, baseline: Number) -> float:
    """Return where a rate of -inf is drawn: left of everything, by a gap on the data's scale."""
    finite = np.r_[rates, baseline, 0.0]
    finite = finite[np.isfinite(finite)]
    return float(finite.min() - max(0.15 * np.ptp(finite), 0.05))


def _mark_baseline(ax: Axes, diagnosis: Any) -> None:
    rate, error = diagnosis.rate, diagnosis.rate_error
    ax.axvline(rate, color="#000000", linewidth=1.2, linestyle="--", zorder=1)
    if np.isfinite(error):
        ax.axvspan(rate - error, rate + error, color="#000000", alpha=0.08, linewidth=0, zorder=0)


def _draw_effect(ax: Axes, row: int, effect: Any, floor: Number, kwargs: dict[str, Any]) -> None:
    color, marker = _STYLE.get(effect.kind, (style.GRAY, "o"))
    if np.isneginf(effect.rate):
        ax.scatter([floor], [row], marker="<", s=30, color=color, zorder=3)
    elif np.isfinite(effect.rate):
        error = effect.rate_error if np.isfinite(effect.rate_error) else 0.0
        options = {"fmt": marker, "color": color, "markersize": 6, "capsize": 3, "elinewidth": 1.4}
        ax.plot([0.0, effect.rate], [row, row], color=color, linewidth=1.0, alpha=0.35, zorder=2)
        ax.errorbar([effect.rate], [row], xerr=[error], zorder=3, **{**options, **kwargs})
    _write_beside(ax, row, short_horizon(effect.horizon, effect.horizon_is_extrapolated))


def _write_beside(ax: Axes, row: Number, text: str) -> None:
    place: Any = ("axes fraction", "data")
    ax.annotate(text, (1.02, row), xycoords=place, va="center", fontsize="small", color=style.GRAY)


def _name(name: str, num_rows: int) -> str:
    """Return a row's name: over two lines where rows are tall, else cut to one."""
    if num_rows <= 8:
        return "\n".join(textwrap.wrap(style.plain(name), 24)) or " "
    return style.plain(name, 36) or " "
