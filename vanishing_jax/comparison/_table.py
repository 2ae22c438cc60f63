"""A comparison as a table of text."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray as xr


def comparison_table(comparison: "xr.Dataset") -> str:
    """Return a comparison as a Markdown table, one row per recipe.

    Loss and metric are medians over seeds of the final scores, with the quartiles in brackets. No
    seed is left out: one that diverged (NaN) counts as the worst loss. A metric may be better high
    or low, so it is shown for the other seeds, and `diverged` says how many those leave out.

    **Arguments:**

    - `comparison`: what `vj.compare` returns.

    **Returns:** Markdown. With a target, `solved` is how many seeds reached it and `steps` the
    median number of updates, infinite when fewer than half of them did.

    **Example:**

    >>> import jax, vanishing_jax as vj
    >>> ds = vj.compare(
    ...     "tanh", "adding", length=5, hidden_size=3, steps=2, seeds=2, record_every=1,
    ...     num_test=10, target="loss < 99", progress=False, key=jax.random.key(0),
    ... )
    >>> print(vj.comparison_table(ds))
    adding, T = 5, 2 seeds, 2 updates; memoryless baseline: loss 0.1389; target: loss < 99.0
    <BLANKLINE>
    | recipe | loss: median [quartiles] | share within 0.04 | solved | steps | diverged |
    | --- | --- | --- | --- | --- | --- |
    | tanh | ... | 2/2 | 1 [1, 1] | 0/2 |
    """
    rows = comparison_rows(comparison)
    rows.insert(1, ["---"] * len(rows[0]))
    return "\n".join(
        [comparison_title(comparison), "", *(f"| {' | '.join(cells)} |" for cells in rows)]
    )


def comparison_rows(comparison: "xr.Dataset") -> list[list[str]]:
    """Return the table's cells, the heads first."""
    seeds, target = comparison.sizes["seed"], comparison.attrs["target"]
    heads = ["recipe", "loss: median [quartiles]", comparison.attrs["metric"]]
    heads += ["solved", "steps", "diverged"] if target else ["diverged"]
    rows = [heads]
    for recipe in comparison.recipe.values:
        of_one = comparison.sel(recipe=recipe)
        reached = of_one.steps_to_target.values
        diverged = np.isfinite(of_one.nonfinite_step.values)
        metrics = of_one.test_metric.values
        cells = [
            str(recipe),
            _spread(np.where(diverged, np.inf, of_one.test_loss.values)),
            _spread(metrics[~diverged]) if not diverged.all() else "-",
        ]
        if target:
            solved = np.isfinite(reached)
            cells += [f"{solved.sum()}/{seeds}", _spread(np.where(solved, reached, np.inf))]
        rows.append([*cells, f"{diverged.sum()}/{seeds}"])
    return rows


def comparison_title(comparison: "xr.Dataset") -> str:
    """Return what was compared, in one line."""
    seeds, target = comparison.sizes["seed"], comparison.attrs["target"]
    title = (
        f"{comparison.attrs['task']}, T = {comparison.attrs['length']}, "
        f"{seeds} {'seed' if seeds == 1 else 'seeds'}, "
        f"{comparison.record.values[-1]} updates; memoryless baseline: loss "
        f"{comparison.attrs['baseline']:.4g}"
    )
    title += f"; target: {target}" if target else ""
    return title + ("; interrupted" if comparison.attrs.get("interrupted") else "")


def _spread(values: np.ndarray) -> str:
    """Return the median and the quartiles, each one of the values, for infinity has no mean."""
    low, middle, high = (np.quantile(values, q, method="inverted_cdf") for q in (0.25, 0.5, 0.75))
    return f"{middle:.4g} [{low:.4g}, {high:.4g}]"
