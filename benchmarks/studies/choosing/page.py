"""What the page "How to choose a remedy" says, from what all studies stored, and its figure."""

import math
from typing import Any

import numpy as np
from _pages import minus
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.stats import spearmanr
from studies.choosing.evidence import Evidence, loaded

from vanishing_jax import theory as theory
from vanishing_jax.plots._style import COLORS, GRAY
from vanishing_jax.studies._verdicts import Share, wins

NEAR = 3.0  # decades that count as kept
REACH = 14.0  # decades shown; what is beyond is an arrow with its number


def names(result: dict[str, Any]) -> dict[str, Any]:
    """Return what the template names, from this study's result and the others."""
    return names_of(Evidence(loaded(result)))


def names_of(e: Evidence) -> dict[str, Any]:
    """Return what the template names beside this module: the evidence, and sums of it."""
    evidence = {name: getattr(e, name) for name in dir(e) if not name.startswith("_")}
    size = [e.distance(name) for name in e.networks]
    solved = [e.solved(name).good for name in e.networks]
    experiments = [e.table, *e.results["remedies"]["experiments"]]
    few, many = sorted({one["seeds"] for one in experiments})
    return evidence | {
        "better": lambda mine, theirs: wins(mine, theirs, best="high"),
        "near": [good for x, good in zip(size, solved, strict=True) if x <= NEAR],
        "far": [good for x, good in zip(size, solved, strict=True) if x > NEAR],
        "rank_correlation": spearmanr(size, solved).statistic,
        "updates": e.results["table"]["settings"]["steps"],
        "most_units": max(one["hidden_size"] for one in experiments),
        "most_steps": max(one["length"] for one in experiments),
        "few": few,
        "many": many,
        "processors": len({r["machine"]["cpu"] for r in e.results.values() if "machine" in r}),
    }


def need(line: str, holds: bool) -> str:
    """Return nothing; raise ValueError where the results do not support a line of the page."""
    if not holds:
        raise ValueError(f"the results do not support this line of the page any more: {line}.")
    return ""


def rate(x: float) -> str:
    """Return "−0.196"."""
    return minus(f"{x:+.3f}")


def span(values: np.ndarray) -> str:
    """Return the lowest and the highest."""
    return f"{values.min():.2f} to {values.max():.2f}"


def power(decades: tuple[float, float]) -> str:
    """Return "10^(−1.2 ± 0.7)"."""
    mean, error = decades
    return minus(f"10^({mean:+.1f} ± {error:.1f})")


def ten(decades: float) -> str:
    """Return "10^−4.8"."""
    return minus(f"10^{decades:.1f}").replace("−0.0", "0.0")


# --- the figure -------------------------------------------------------------------------------


def draw(result: dict[str, Any], folder) -> None:
    """Draw one row per network: decades of the gradient, and seeds that solved the task."""
    e = Evidence(loaded(result))
    ordered = ranked(e)
    figure = Figure(figsize=(9.4, 1.1 + 0.23 * len(ordered)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[2.4, 1])
    draw_gradients(left, e, ordered)
    draw_solved(right, [e.solved(name) for name in ordered])
    left.set_yticks(range(len(ordered)), ordered, fontsize=8)
    left.set_ylim(len(ordered) - 0.4, -0.6)
    figure.savefig(folder / "choosing.png", dpi=100)


def ranked(e: Evidence) -> list[str]:
    """Return the networks, those that most seeds solved with first, then the steadier gradient."""
    return sorted(e.networks, key=lambda name: (-e.solved(name).good, e.distance(name)))


def _color(share: Share) -> str:
    return COLORS[2] if share.good else COLORS[1]


def draw_gradients(ax, e: Evidence, ordered: list[str]) -> None:
    """Draw by how many decades each gradient changes."""
    ax.axvspan(-NEAR, NEAR, color=GRAY, alpha=0.13, linewidth=0)
    ax.axvline(0, color=GRAY, linewidth=0.8)
    for y, name in enumerate(ordered):
        mean, error = e.decades(name)
        style = {"color": _color(e.solved(name)), "markersize": 5}
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


def draw_solved(ax, shares: list[Share]) -> None:
    """Draw how many seeds solved the task."""
    ax.barh(range(len(shares)), [s.good for s in shares], 0.62, color=[*map(_color, shares)])
    for y, share in enumerate(shares):
        ax.text(share.good + 0.08, y, f"{share.good}/{share.of}", va="center", fontsize=7)
    ax.set_xlim(0, max(share.of for share in shares) + 0.7)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("seeds")
    ax.set_title("Training: solved the task", fontsize=10)
    ax.tick_params(axis="y", length=0)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
