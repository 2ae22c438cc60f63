"""What was measured to test a claim."""

import textwrap
from collections import Counter
from typing import Any

import numpy as np

from ...plots._style import (
    COLORS,
    GRAY,
    Axes,
    finish,
    light_grid,
    line_options,
    new_axes,
    plain,
    write_on_axes,
)

_OUTCOMES = {"holds": (COLORS[2], "o"), "fails": (COLORS[1], "X"), "open": (GRAY, "s")}
_DOTTED = 15  # measured curves of more points are lines


def plot_claim(result: Any, *, ax: Any = None, **line_kwargs: Any) -> Axes:
    """Draw the figure of one claim: its curves, or else its findings with their intervals.

    Of curves, dots were measured and plain lines are theory; the gray line is neutral. Of findings,
    each row is one number with its 95 % interval, the shaded stretch is where it has to lie if the
    claim is true, and the diamond is what theory predicts: a green dot in the shade speaks for the
    claim, a red cross beside it against. It is the findings of the most common quantity that are
    drawn; a note counts the others.

    **Arguments:**

    - `result`: a `vj.claims.ClaimResult`.
    - `ax`: axes to draw on; None makes a figure.
    - `line_kwargs`: passed on to `Axes.plot` for the curves.

    **Returns:** the axes.
    """
    if result.figure.curves:
        return _plot_curves(result.figure, new_axes(ax), line_kwargs)
    shown = shown_findings(result)
    return _plot_findings(result, shown, new_axes(ax, (5.6, height_of(shown))))


def shown_findings(result: Any) -> list[Any]:
    """Return the findings that share an axis: of the most common quantity, the first of them."""
    counts = Counter(one.quantity for one in result.findings)
    return [one for one in result.findings if one.quantity == counts.most_common(1)[0][0]]


def height_of(shown: list[Any]) -> float:
    """Return how high the figure of some findings is, in inches."""
    return max(2.2, 1.3 + 0.55 * len(shown))


def _plot_curves(figure: Any, ax: Axes, line_kwargs: dict[str, Any]) -> Axes:
    before = None
    for index, curve in enumerate(figure.curves):
        dots = {"marker": "o", "markersize": 5} if len(curve.x) <= _DOTTED else {}
        style: dict[str, Any] = dots if curve.measured else {"linewidth": 1.2}
        if before is not None and before.measured and curve.label == f"{before.label}, theory":
            style |= {"color": COLORS[(index - 1) % len(COLORS)], "linestyle": "--"}
        options = line_options(index, line_kwargs, label=plain(curve.label), **style)
        ax.plot(curve.x, curve.y, **options)
        before = curve
    if figure.neutral is not None:
        ax.axhline(figure.neutral, color=GRAY, linewidth=1.0, zorder=1)
    x = np.concatenate([np.asarray(curve.x, float) for curve in figure.curves])
    if x.min() > 0 and x.max() / x.min() > 30 and x.min() < 1:
        ax.set_xscale("log")
    ax.legend(fontsize="small", frameon=False)
    finish(ax, title=figure.title, xlabel=figure.x_label, ylabel=figure.y_label)
    light_grid(ax)
    return ax


def _plot_findings(result: Any, shown: list[Any], ax: Axes) -> Axes:
    num_more = len(result.findings) - len(shown)
    ends = [(one.value, one.low, one.high, one.above, one.below) for one in shown]
    laws = [one.prediction for one in shown if one.prediction is not None]
    finite = np.array([*np.ravel(ends), *laws], float)
    finite = finite[np.isfinite(finite)]
    margin = 0.12 * (np.ptp(finite) or 1.0) if len(finite) else 1.0
    limits = (finite.min() - margin, finite.max() + margin) if len(finite) else (-1.0, 1.0)
    for row, one in enumerate(shown):
        color, marker = _OUTCOMES[one.outcome]
        left, right = np.clip([one.above, one.below], *limits)
        ax.barh(row, right - left, left=left, height=0.62, color=COLORS[2], alpha=0.13, zorder=0)
        error = np.array([[one.value - one.low], [one.high - one.value]])
        if np.isfinite(error).all() and np.isfinite(one.value):
            ax.errorbar([one.value], [row], xerr=error, fmt=marker, color=color, capsize=3)
        if one.prediction is not None:
            ax.plot([one.prediction], [row], "D", mfc="none", mec="#000000", markersize=8)
    if not shown:
        write_on_axes(ax, "nothing to measure")
    names = ["\n".join(textwrap.wrap(plain(one.case, 90), 30)) for one in shown]
    ax.set_yticks(range(len(shown)), names)
    ax.set_ylim(max(len(shown), 1) - 0.4, -0.6)
    ax.set_xlim(*limits)
    notes = ["shaded: where the claim holds"] if shown else []
    notes += ["diamond: theory"] if any(one.prediction is not None for one in shown) else []
    notes += [f"{num_more} more in other units"] if num_more else []
    quantity = shown[0].quantity if shown else "no quantity"
    title = plain(f"{result.id}: {result.verdict}")
    finish(ax, title=title, xlabel=plain(quantity, 80), ylabel="", notes=notes, note_width=50)
    light_grid(ax)
    return ax
