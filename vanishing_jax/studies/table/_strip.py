"""Numbers of all seeds on one line, as a small SVG."""

import html
import math
from collections.abc import Sequence

WIDTH, HEIGHT, _MARGIN = 150, 22, 7
_LINEAR = 1.0  # decades around 0 that are drawn to scale; beyond, as a logarithm
_LARGEST = 100.0


def strip(decades: Sequence[float], name: str) -> str:
    """Return SVG with a dot per seed on an axis of decades, 0 in the middle, and its text.

    What is not finite lies at the ends: a state that overflows at the right, a gradient that is
    exactly 0 at the left.
    """
    shown = ", ".join(f"{x:.1f}" for x in decades)
    text = html.escape(f"{name}: gain of each seed, log10: {shown}")
    middle = WIDTH / 2
    dots = "".join(f'<circle cx="{position(x):.1f}" cy="{HEIGHT / 2}" r="4"/>' for x in decades)
    ticks = "".join(
        f'<line class="tick" x1="{position(x):.1f}" x2="{position(x):.1f}" '
        f'y1="{HEIGHT / 2 - 3}" y2="{HEIGHT / 2 + 3}"/>'
        for x in (-_LARGEST, -10.0, -1.0, 1.0, 10.0, _LARGEST)
    )
    return (
        f'<svg class="strip" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-label="{text}"><title>{text}</title>'
        f'<line class="axis" x1="0" x2="{WIDTH}" y1="{HEIGHT / 2}" y2="{HEIGHT / 2}"/>{ticks}'
        f'<line class="zero" x1="{middle}" x2="{middle}" y1="1" y2="{HEIGHT - 1}"/>{dots}</svg>'
    )


def position(decades: float) -> float:
    """Return the horizontal position of a number of decades: linear near 0, logarithmic beyond."""
    if math.isnan(decades):
        decades = math.inf
    size = min(abs(decades), _LARGEST)
    far = 1 + math.log10(size / _LINEAR) if size > _LINEAR else size / _LINEAR
    share = far / (1 + math.log10(_LARGEST / _LINEAR))
    return WIDTH / 2 + math.copysign(share * (WIDTH / 2 - _MARGIN), decades)
