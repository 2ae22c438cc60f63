"""The Dataset of one run, and of all of them."""

import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from ..tasks import AbstractTask
from ..training import History
from ..training._evaluate import Evaluation
from ..training._recorders import RECORDERS

if TYPE_CHECKING:
    import xarray as xr


def run_dataset(
    history: History,
    test: Evaluation | None,
    task: AbstractTask,
    settings: Mapping[str, Any],
    seconds: Mapping[str, float],
) -> "xr.Dataset":
    """Return one run as a Dataset with recipe and seed as dimensions of size 1.

    `test` is None for a seed that met a NaN: its last finite model is not what training led to.
    """
    import xarray as xr

    steps, every = settings["steps"], settings["record_every"]
    record = np.minimum(np.arange(every, steps + every, every), steps)
    coords: dict[str, Any] = {
        "recipe": [settings["recipe"]],
        "seed": [settings["seed"]],
        "record": ("record", record, {"long_name": "number of updates"}),
        "time": ("time", np.arange(task.length + 1), {"long_name": "time step"}),
    }
    variables: dict[str, tuple[tuple[str, ...], Any]] = {
        name: (("record",), _padded(getattr(history, name), len(record)))
        for name in ("loss", "metric", "gradient_norm")
    }
    for name, values in history.records.items():
        dims = [RECORDERS[name].entry] * (values.ndim - 1)
        for dim, size in zip(dims, values.shape[1:], strict=True):
            coords.setdefault(dim, list(history.labels.get(name, range(size))))
        variables[name] = (("record", *dims), _padded(values, len(record)))
    scalars = {
        "test_loss": np.nan if test is None else test.loss,
        "test_metric": np.nan if test is None else test.metric,
        "steps_to_target": _step(history.target_step),
        "nonfinite_step": _step(history.nonfinite_step),
        "nonfinite_leaf": history.nonfinite_leaf or "",
        "learning_rate": settings["learning_rate"],
        **seconds,
    }
    variables |= {name: ((), value) for name, value in scalars.items()}
    data = {
        name: (("recipe", "seed", *dims), np.asarray(values)[None, None])
        for name, (dims, values) in variables.items()
    }
    return xr.Dataset(data, coords, _attributes(task, settings))


def joined(runs: "Sequence[Sequence[xr.Dataset]]") -> "xr.Dataset":
    """Return all runs, given as one list of seeds per recipe, as one Dataset.

    Recipes may differ in what a recorder has an entry for; what a recipe does not have is NaN.
    """
    import xarray as xr

    result = xr.combine_nested(
        [list(seeds) for seeds in runs], ["recipe", "seed"], data_vars="minimal", coords="minimal",
        compat="override", join="outer", combine_attrs="override",
    )  # fmt: skip
    settings = json.loads(result.attrs["settings"])
    for of_one in ("recipe", "seed", "learning_rate"):
        del settings[of_one]
    return result.assign_attrs(settings=json.dumps(settings))


def _attributes(task: AbstractTask, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "task": task.name,
        "length": task.length,
        "baseline": task.baseline,
        "metric": task.metric_name,
        "target": settings["target"] or "",
        "settings": json.dumps(settings),
        "versions": json.dumps(versions()),
    }


def versions() -> dict[str, str]:
    """Return the versions of what computes."""
    found = {name: version(name) for name in ("jax", "equinox", "optax", "numpy")}
    return {**found, "vanishing_jax": __version__, "python": platform.python_version()}


def _padded(values: np.ndarray, length: int) -> np.ndarray:
    """Return the records with NaN for those that an early end left out."""
    full = np.full((length, *values.shape[1:]), np.nan)
    full[: len(values)] = values
    return full


def _step(step: int | None) -> float:
    return np.nan if step is None else float(step)
