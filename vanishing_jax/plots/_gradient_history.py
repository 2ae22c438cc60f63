"""The gradient at every step of the sequence, as training goes on."""

from typing import Any, NamedTuple

import numpy as np

from ._influence import _UNDEFINED_COLOR, _ZERO_COLOR, _notes, _paint
from ._style import (
    HORIZON_LEVEL,
    SEQUENTIAL,
    SIGNED,
    Axes,
    cell_edges,
    finish,
    integer_ticks,
    new_axes,
    plain,
    to_log10,
    write_if_nothing,
)

_AFTER_END = "#e4e6ea"
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
    relative: bool = True,
    ax: Any = None,
    **mesh_kwargs: Any,
) -> Axes:
    r"""Draw log10 of $\|\partial L/\partial s_t\|$ over training updates (across) and t (upwards).

    A column is the gradient of one update: how strongly the loss depends on the state at each time
    step. Relative to the last step, white is neutral, blue has vanished on its way back, red has
    exploded. A blue lower part that never brightens is a network that does not learn from early
    inputs; one that brightens has learned to carry them. The dashed line is the earliest step from
    which on more than a thousandth is left. In absolute terms (`relative=False`) a whole column
    that darkens is a loss that has become small.

    **Arguments:**

    - `training`: what `vj.compare` returns, or the `History` of `vj.train`; with the recorder
      "gradient_profile".
    - `recipe`, `seed`: which run of a comparison; needed where there are several.
    - `relative`: to the gradient at the last step of the same update (True), or absolute.
    - `ax`: axes to draw on; None makes a figure.
    - `mesh_kwargs`: passed on to `Axes.pcolormesh`; the same `norm` makes several runs comparable.

    **Returns:** the axes. Exact zeros are black, values that are not finite gray, and updates after
    the end of a run light gray.

    **Raises:** `ValueError` when no gradient profile was recorded, or the run is not there.
    """
    records = _records(training, recipe, seed)
    ax = new_axes(ax, (6.4, 4.0))
    values = decades(records.log_norm, relative).T
    made = np.asarray(~np.isnan(records.log_norm).all(axis=1))  # False after the run's end
    known = np.broadcast_to(made, values.shape)
    shown = known & np.isfinite(values)
    zeros, undefined = known & np.isneginf(values), known & (np.isnan(values) | (values == np.inf))
    notes = _notes(int(zeros.sum()), int(undefined.sum()))
    if not write_if_nothing(ax, values[known]):
        ax.set_facecolor(_AFTER_END)
        edges = cell_edges(records.step), cell_edges(np.arange(len(values)))
        options = {**_colors(values[shown], relative), "rasterized": True, **mesh_kwargs}
        mesh = ax.pcolormesh(*edges, np.ma.masked_where(~shown, values), **options)
        _paint(ax, *edges, zeros, _ZERO_COLOR)
        _paint(ax, *edges, undefined, _UNDEFINED_COLOR)
        if relative:
            notes += _draw_reach(ax, records.step, values, made)
        _colorbar(ax, mesh, relative)
    finish(
        ax,
        title=records.title,
        xlabel="training updates",
        ylabel="time $t$ (steps)",
        notes=[*([records.ending] if records.ending else []), *notes],
    )
    integer_ticks(ax, "x")
    integer_ticks(ax, "y")
    return ax


def decades(log_norm: np.ndarray, relative: bool = True) -> np.ndarray:
    """Return log10 of gradient norms, relative to the last step of each or absolute."""
    values = to_log10(log_norm)
    if not relative or values.shape[-1] == 0:
        return values
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
    title = f"Gradient while training: {plain(recipe)}, seed {seed}"
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


def _colors(values: np.ndarray, relative: bool) -> dict[str, Any]:
    """Return color map and scale: about 0 where that is neutral, over two decades at least."""
    from matplotlib.colors import CenteredNorm, Normalize

    if relative:
        return {
            "cmap": SIGNED,
            "norm": CenteredNorm(0.0, max(np.abs(values).max(initial=0.0), 1.0)),
        }
    low, high = values.min(initial=np.inf), values.max(initial=-np.inf)
    if low > high:  # nothing but exact zeros
        low, high = -1.0, 1.0
    missing = max(0.0, 2.0 - (high - low)) / 2
    return {"cmap": SEQUENTIAL, "norm": Normalize(low - missing, high + missing)}


def _draw_reach(ax: Axes, step: np.ndarray, values: np.ndarray, made: np.ndarray) -> list[str]:
    """Draw from which step on a thousandth of the gradient is left; return what to say of it."""
    from matplotlib.patheffects import withStroke

    below = ~(values >= HORIZON_LEVEL)  # (time, record)
    reach = np.where(below.any(axis=0), len(values) - np.argmax(below[::-1], axis=0), 0.0)
    if not (below & made).any():
        return []
    halo = [withStroke(linewidth=2.6, foreground="white")]  # black on dark blue is hard to see
    line: dict[str, Any] = {"linestyle": "--", "linewidth": 1.3, "path_effects": halo}
    ax.plot(step, np.where(made, reach, np.nan), color="black", **line)
    return [f"dashed: from here on at least $10^{{{HORIZON_LEVEL:.0f}}}$ is left"]


def _colorbar(ax: Axes, mesh: Any, relative: bool) -> None:
    values, (low, high) = mesh.get_array().compressed(), mesh.get_clim()
    beyond = bool((values < low).any()), bool((values > high).any())
    extend = {(True, True): "both", (True, False): "min", (False, True): "max"}.get(beyond)
    bar = ax.figure.colorbar(mesh, ax=ax, pad=0.02, extend=extend or "neither")
    norm = r"\|\partial L/\partial s_t\|"
    of = rf"{norm}\,/\,\|\partial L/\partial s_T\|" if relative else norm
    bar.set_label(rf"$\log_{{10}}\,{of}$ (decades)", fontsize="small")
    bar.ax.tick_params(labelsize="small")
