"""A comparison as one HTML file and as PNG files."""

import functools as ft
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import plots
from .._files import write_atomically
from ..comparison._table import comparison_rows, comparison_title
from ..plots._activations import height_for
from ..plots._comparison import quantile
from ..plots._gradient_history import decades
from ._content import figure_content, flatten
from ._figures import FigureSpec, save_figure, slugs
from ._html import load_template

if TYPE_CHECKING:
    import xarray as xr

_WIDE = 7.2  # inches; names stand beside the axes
_MOST_DECADES = 6.0  # what is below one millionth is gone, however far; the scale stays readable
_CURVES = FigureSpec(
    "learning_curves",
    "Learning curves",
    "A recipe that stays at the memoryless baseline has learned nothing from early inputs; the "
    "earlier and the steeper a curve leaves it, the better. Crosses are seeds that diverged.",
    lambda ds, ax: plots.plot_comparison(ds, ax=ax),
    height=lambda ds: height_for(ds.sizes["recipe"] + 2),
    width=_WIDE,
)
_SCORES = FigureSpec(
    "test_scores",
    "Final loss of each seed",
    "Every seed is a dot. Dots far apart in one row are a recipe whose success hangs on the seed.",
    lambda ds, ax: plots.plot_test_scores(ds, ax=ax),
    height=lambda ds: height_for(2 * ds.sizes["recipe"]) - 0.4,
    width=_WIDE,
)


def write_comparison(
    path: str | Path, comparison: "xr.Dataset", *, command: str | None = None
) -> Path:
    """Write a comparison as one self-contained HTML file; return its path.

    It holds the table of `vj.comparison_table`, the figures of `save_comparison_figures`, all
    settings, and how to repeat it. As in `write_report`, nothing is loaded or run, and an earlier
    file is replaced at once or not at all.

    **Arguments:**

    - `path`: the file to write; its folder is made when missing.
    - `comparison`: what `vj.compare` returns.
    - `command`: the shell command that made it, if one did.

    **Returns:** the path.
    """
    heads, *rows = comparison_rows(comparison)
    specs = _figures_of(comparison)
    content = {
        "title": f"Compared on {comparison.attrs['task']}, T = {comparison.attrs['length']}",
        "summary": comparison_title(comparison),
        "heads": heads,
        "rows": rows,
        "wide": [figure_content(spec, comparison) for spec in specs[:2]],
        "gradients": [figure_content(spec, comparison) for spec in specs[2:]],
        "command": command,
        "configuration": flatten(json.loads(comparison.attrs["settings"])),
        "versions": flatten(json.loads(comparison.attrs["versions"])),
        "has_target": bool(comparison.attrs["target"]),
        "interrupted": bool(comparison.attrs.get("interrupted")),
    }
    html = load_template("comparison.html.j2").render(content)
    return write_atomically(Path(path), html.encode("utf-8"))


def save_comparison_figures(folder: str | Path, comparison: "xr.Dataset") -> list[Path]:
    """Write the figures of a comparison as PNG files; return their paths.

    They are `learning_curves.png`, `test_scores.png` and, where gradient profiles were recorded, a
    `gradient_history_RECIPE.png` of each recipe: of the seed whose final loss is the median, with
    one color scale for all recipes whose seed lived. Each file is replaced at once or not at all.

    **Arguments:**

    - `folder`: where to write; made when missing.
    - `comparison`: what `vj.compare` returns.

    **Returns:** the paths.
    """
    return [save_figure(folder, spec, comparison) for spec in _figures_of(comparison)]


def _figures_of(comparison: "xr.Dataset") -> list[FigureSpec]:
    """Return the figures that this comparison has data for."""
    if "gradient_profile" not in comparison:
        return [_CURVES, _SCORES]
    seeds = _median_seeds(comparison)
    reach = _reach(comparison, seeds)
    return [_CURVES, _SCORES, *_gradient_figures(comparison, seeds, reach)]


def _gradient_figures(
    comparison: "xr.Dataset", seeds: list[int], reach: list[float | None]
) -> list[FigureSpec]:
    recipes = [str(name) for name in comparison.recipe.values]
    return [
        FigureSpec(
            f"gradient_history_{slug}",
            f"Gradient while training: {recipe}, seed {seed}",
            f"{recipe}: seed {seed}, the one with the median final loss.",
            ft.partial(_draw_gradients, recipe=recipe, seed=seed, reach=one),
        )
        for recipe, slug, seed, one in zip(recipes, slugs(recipes), seeds, reach, strict=True)
    ]


def _draw_gradients(
    comparison: Any, ax: Any, *, recipe: str, seed: int, reach: float | None
) -> None:
    from matplotlib.colors import CenteredNorm

    options: dict[str, Any] = {} if reach is None else {"norm": CenteredNorm(0.0, reach)}
    plots.plot_gradient_history(comparison, recipe=recipe, seed=seed, ax=ax, **options)


def _median_seeds(comparison: "xr.Dataset") -> list[int]:
    """Return the seed of each recipe with the median final loss; one that diverged is the worst."""
    losses = np.array(comparison.test_loss.values, float)
    losses[~np.isfinite(losses)] = np.inf
    medians = quantile(losses.T, 0.5)
    places = (losses == medians[:, None]).argmax(axis=1)
    return [int(comparison.seed.values[place]) for place in places]


def _reach(comparison: "xr.Dataset", seeds: list[int]) -> list[float | None]:
    """Return the end of the color scale in decades; None, its own, for a seed that diverged."""
    lived, largest = [], 1.0
    for i, seed in enumerate(seeds):
        run = comparison.isel(recipe=i).sel(seed=seed)
        lived.append(not np.isfinite(run.nonfinite_step.item()))
        if lived[-1]:
            values = decades(run.gradient_profile.transpose("record", "time").values)
            largest = max(largest, np.abs(values[np.isfinite(values)]).max(initial=0.0))
    return [min(largest, _MOST_DECADES) if alive else None for alive in lived]
