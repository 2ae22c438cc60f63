"""The gradient at every step of the sequence, as training goes on."""

from typing import Any, NamedTuple

import numpy as np

from . import _style as style
from ._heat_map import draw_cells, signed_colors
from ._style import Axes

_WHAT_TO_RECORD = 'record it by record=["gradient_profile"] in vj.compare or vj.train'


class Records(NamedTuple):
    """What is drawn: natural logs (record, time), where they were taken, and how it ended."""

    step: np.ndarray
    log_norm: np.ndarray
    title: str
    ending: str


def plot_gradient_history(
    training: Any,
    *,
    recipe: str | None = None,
    seed: int | None = None,
    ax: Any = None,
    **mesh_kwargs: Any,
) -> Axes:
    r"""Draw log10 of $\|\partial L/\partial s_t\|$ over training updates (across) and t (upwards).

    A column is the gradient of one update: how strongly the loss depends on the state at each time
    step, relative to the last one. White is neutral, blue has vanished on its way back, red has
    exploded. A blue lower part that never brightens is a network that does not learn from early
    inputs; one that brightens has learned to carry them. The dashed line is the earliest step from
    which on more than a thousandth is left.

    **Arguments:**

    - `training`: what `vj.compare` returns, or the `History` of `vj.train`; with the recorder
      "gradient_profile".
    - `recipe`, `seed`: which run of a comparison; needed where there are several.
    - `ax`: axes to draw on; None makes a figure.
    - `mesh_kwargs`: passed on to `Axes.pcolormesh`; the same `norm` makes several runs comparable.

    **Returns:** the axes. Exact zeros are black, values that are not finite gray, and updates after
    the end of a run light gray.

    **Raises:** `ValueError` when no gradient profile was recorded, or the run is not there.
    """
    records = _records(training, recipe, seed)
    ax = style.new_axes(ax, (6.4, 4.0))
    values = decades(records.log_norm).T
    made = np.asarray(~np.isnan(records.log_norm).all(axis=1))  # False after the run's end
    known, notes = np.broadcast_to(made, values.shape), []
    if not style.write_if_nothing(ax, values[known]):
        edges = style.cell_edges(records.step), style.cell_edges(np.arange(len(values)))
        colors = signed_colors(values[known])
        mesh, notes = draw_cells(ax, edges, values, mesh_kwargs, known=known, **colors)
        notes += _draw_reach(ax, records.step, values, made)
        _colorbar(ax, mesh)
    style.finish(
        ax,
        title=records.title,
        xlabel="training updates",
        ylabel="time $t$ (steps)",
        notes=[records.ending, *notes] if records.ending else notes,
        integers="xy",
        grid="",
    )
    return ax


def decades(log_norm: np.ndarray) -> np.ndarray:
    """Return log10 of gradient norms, relative to the last step of each."""
    values = style.to_log10(log_norm)
    with np.errstate(invalid="ignore"):  # 0 relative to 0 is not a number
        return values - values[..., -1:]


def _records(training: Any, recipe: str | None, seed: int | None) -> Records:
    """Return the records of one run, whichever object holds it."""
    if hasattr(training, "data_vars"):
        return _records_of_run(training, recipe, seed)
    if recipe is not None or seed is not None:
        raise ValueError("`recipe` and `seed` choose a run of a comparison; a History is one run.")
    if "gradient_profile" not in training.records:
        raise ValueError(f"this history holds no gradient profile: {_WHAT_TO_RECORD}.")
    log_norm = np.asarray(training.records["gradient_profile"], float)
    ending = _ending(training.target_step, training.nonfinite_step)
    return Records(np.asarray(training.step), log_norm, "Gradient while training", ending)


def _records_of_run(comparison: Any, recipe: str | None, seed: int | None) -> Records:
    if "gradient_profile" not in comparison:
        raise ValueError(f"this comparison holds no gradient profile: {_WHAT_TO_RECORD}.")
    recipe = _chosen("recipe", recipe, [str(name) for name in comparison.recipe.values])
    seed = _chosen("seed", seed, [int(k) for k in comparison.seed.values])
    run = comparison.sel(recipe=recipe, seed=seed)
    steps = (float(run[name]) for name in ("steps_to_target", "nonfinite_step"))
    ending = _ending(*(None if np.isnan(step) else int(step) for step in steps))
    title = f"Gradient while training: {style.plain(recipe)}, seed {seed}"
    log_norm = np.asarray(run.gradient_profile.transpose("record", "time").values, float)
    return Records(run.record.values, log_norm, title, ending)


def _chosen(what: str, value: Any, there: list[Any]) -> Any:
    if value is None and len(there) == 1:
        return there[0]
    if value not in there:
        listed = ", ".join(map(repr, there))
        raise ValueError(f"expected `{what}` as one of {listed}; got {value!r}.")
    return value


def _ending(target_step: int | None, nonfinite_step: int | None) -> str:
    if nonfinite_step is not None:
        return f"diverged (NaN) at update {nonfinite_step}"
    return "" if target_step is None else f"reached the target at update {target_step}"


def _draw_reach(ax: Axes, step: np.ndarray, values: np.ndarray, made: np.ndarray) -> list[str]:
    """Draw from which step on a thousandth of the gradient is left; return what to say of it."""
    below = ~(values >= style.HORIZON_LEVEL)  # (time, record)
    if not (below & made).any():
        return []
    reach = np.where(below.any(axis=0), len(values) - np.argmax(below[::-1], axis=0), 0.0)
    look = {"color": "black", "linestyle": "--", "linewidth": 1.3}
    # Black on dark blue is hard to see.
    ax.plot(step, np.where(made, reach, np.nan), path_effects=style.halo(2.6), **look)
    return [f"dashed: from here on at least $10^{{{style.HORIZON_LEVEL:.0f}}}$ is left"]


def _colorbar(ax: Axes, mesh: Any) -> None:
    values, (low, high) = mesh.get_array().compressed(), mesh.get_clim()
    beyond = bool((values < low).any()), bool((values > high).any())
    extend = {(True, True): "both", (True, False): "min", (False, True): "max"}.get(beyond)
    of = r"\|\partial L/\partial s_t\|\,/\,\|\partial L/\partial s_T\|"
    style.colorbar(ax, mesh, rf"$\log_{{10}}\,{of}$ (decades)", extend=extend or "neither")
