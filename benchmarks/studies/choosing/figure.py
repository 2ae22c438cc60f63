"""The figure of the page "How to choose a remedy": gradient at first, training in the end."""

import math

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from studies.choosing.evidence import Evidence

from vanishing_jax.plots._style import COLORS, GRAY

NEAR = 3.0  # decades that count as kept
REACH = 14.0  # decades shown; what is beyond is an arrow with its number


def draw(results, path) -> None:
    """Draw one row per network: decades of the gradient, and seeds that solved the task."""
    e = Evidence(results)
    names = ranked(e)
    figure = Figure(figsize=(9.4, 1.1 + 0.23 * len(names)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[2.4, 1])
    _draw_gradients(left, e, names)
    _draw_solved(right, e, names)
    left.set_yticks(range(len(names)), names, fontsize=8)
    left.set_ylim(len(names) - 0.4, -0.6)
    figure.savefig(path, dpi=100)


def ranked(e: Evidence) -> list[str]:
    """Return the networks, those that most seeds solved with first, then the steadier gradient."""

    def place(name):
        mean = e.decades(name)[0]
        return -e.solved(name).good, math.inf if math.isnan(mean) else abs(mean)

    return sorted(e.networks, key=place)


def _color(e: Evidence, name: str) -> str:
    return COLORS[2] if e.solved(name).good else COLORS[1]


def _draw_gradients(ax, e, names) -> None:
    ax.axvspan(-NEAR, NEAR, color=GRAY, alpha=0.13, linewidth=0)
    ax.axvline(0, color=GRAY, linewidth=0.8)
    for y, name in enumerate(names):
        mean, error = e.decades(name)
        style = {"color": _color(e, name), "markersize": 5}
        if math.isnan(mean):
            ax.text(0, y, "states overflow", va="center", ha="center", fontsize=7, color=GRAY)
        elif abs(mean) > REACH:
            side = math.copysign(1.0, mean)
            ax.plot(side * REACH, y, marker=">" if side > 0 else "<", **style)
            align = {"ha": "right" if side > 0 else "left", "va": "center", "fontsize": 7}
            ax.text(side * (REACH - 0.5), y, f"10^{mean:.0f}".replace("-", "−"), **align)
        else:
            ax.errorbar(mean, y, xerr=error, marker="o", capsize=2, linestyle="none", **style)
    ax.set_xlim(-REACH - 1, REACH + 1)
    ax.set_xlabel("log10 of the largest singular value of ds_T/ds_1, as initialized (decades)")
    ax.set_title("Gradient: ← vanishes    kept    explodes →", fontsize=10)
    ax.grid(axis="y", color=GRAY, alpha=0.2, linewidth=0.6)
    ax.set_axisbelow(True)


def _draw_solved(ax, e, names) -> None:
    shares = [e.solved(name) for name in names]
    ax.barh(range(len(names)), [s.good for s in shares], 0.62, color=[_color(e, n) for n in names])
    for y, share in enumerate(shares):
        ax.text(share.good + 0.08, y, f"{share.good}/{share.of}", va="center", fontsize=7)
    ax.set_xlim(0, max(share.of for share in shares) + 0.7)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("seeds")
    ax.set_title("Training: solved the task", fontsize=10)
    ax.tick_params(axis="y", length=0)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
