"""Names of lines beside the axes, each as near to its line's end as the others allow."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ._style import Axes, Number

_GAP = 13.0  # points from one label to the next
_KEY, _TEXT = (1.025, 1.075), 1.09  # in widths of the axes


class End(NamedTuple):
    """A line's end: its height in data coordinates, its name, and the keywords it is drawn with.

    A height above or below the axes, infinity too, is moved to their edge.
    """

    y: Number
    text: str
    options: Mapping[str, Any]


def label_ends(ax: Axes, ends: Sequence[End]) -> None:
    """Write the names in a column right of the axes, each behind a piece of its line.

    No label covers a curve or another label; one that had to give way is tied to its line. Limits
    and scale of the axes must be final.
    """
    if not ends:
        return
    heights = np.array([_fraction(ax, end.y) for end in ends])
    points = ax.get_window_extent().height * 72 / ax.figure.dpi
    options: dict[str, Any] = {"transform": ax.transAxes, "clip_on": False}
    for end, height, place in zip(ends, heights, spread(heights, _GAP / points), strict=True):
        ax.plot(_KEY, (place, place), **{**end.options, **options, "label": "_key"})
        color = end.options["color"]
        tie = {"color": color, "linewidth": 0.7, "label": "_tie", **options}
        ax.plot((1.0, _KEY[0]), (height, place), **tie)
        ax.text(_TEXT, place, end.text, fontsize="small", va="center", transform=ax.transAxes)


def spread(wanted: np.ndarray, gap: Number) -> np.ndarray:
    """Return the places in [0, 1] nearest to `wanted` (least squares) that keep a gap.

    More labels than fit continue below 0.
    """
    order = np.argsort(wanted, kind="stable")
    ladder = gap * np.arange(len(wanted))
    blocks: list[list[float]] = []  # pool adjacent violators: [mean, size], ascending
    for value in np.asarray(wanted, float)[order] - ladder:
        blocks.append([value, 1])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            (a, m), (b, n) = blocks[-2:]
            blocks[-2:] = [[(m * a + n * b) / (m + n), m + n]]
    flat = np.repeat([mean for mean, _ in blocks], [int(size) for _, size in blocks])
    highest = 1.0 - ladder[-1]
    places = np.empty(len(wanted))
    places[order] = np.clip(flat, min(0.0, highest), highest) + ladder
    return places


def _fraction(ax: Axes, y: Number) -> float:
    """Return a height as a share of the axes'."""
    low, high = ax.get_ylim()
    inside = float(np.clip(y, low, high))
    at = ax.transAxes.inverted().transform(ax.transData.transform((ax.get_xlim()[0], inside)))
    return float(at[1])
