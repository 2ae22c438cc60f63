"""The folder of a comparison: one netCDF file per finished seed of a recipe, written whole or not.

`settings.json` says what all of them share, `RECIPE/seed_K.nc` holds one run, and
`RECIPE/metrics.jsonl` the learning curves of all finished seeds, one line per record.
"""

import json
import math
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._files import write_atomically
from ._settings import differences

if TYPE_CHECKING:
    import xarray as xr


def check_folder(out: Path, settings: Mapping[str, Any]) -> None:
    """Raise ValueError unless the folder is new or was made with the same settings."""
    path = out / "settings.json"
    if path.exists():
        _check(out, json.loads(path.read_text()), settings)
        return
    write_atomically(path, (json.dumps(settings, indent=2) + "\n").encode())


def load_run(out: Path, recipe: str, seed: int, settings: Mapping[str, Any]) -> "xr.Dataset | None":
    """Return a finished run, or None if there is none; a file that cannot be read is none.

    Raises ValueError when it was made with other settings.
    """
    import xarray as xr

    path = _path(out, recipe, seed)
    if not path.exists():
        return None
    try:
        run = xr.load_dataset(path, engine="h5netcdf")
        there = json.loads(run.attrs["settings"])
    except Exception as error:
        warnings.warn(
            f"{path} cannot be read ({error}): training this seed again.", UserWarning, stacklevel=4
        )
        return None
    _check(path, there, settings)
    return run


def save_run(out: Path, run: "xr.Dataset") -> None:
    """Write one run, of one recipe and one seed, to its file."""
    path = _path(out, str(run.recipe.item()), int(run.seed.item()))
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder, "run.nc")
        run.to_netcdf(written, engine="h5netcdf")
        write_atomically(path, written.read_bytes())


def write_metrics(out: Path, runs: "Sequence[xr.Dataset]") -> None:
    """Write the learning curves of the finished seeds of one recipe, all of them anew.

    Appended to, the file would have lines twice after a run was killed and repeated.
    """
    recipe, lines = str(runs[0].recipe.item()), []
    for run in runs:
        curves = {name: run[name].values.ravel() for name in ("loss", "metric", "gradient_norm")}
        for i, step in enumerate(run.record.values):
            numbers = {name: _number(curve[i]) for name, curve in curves.items()}
            seed = int(run.seed.item())
            lines.append(json.dumps({"recipe": recipe, "seed": seed, "step": int(step), **numbers}))
    write_atomically(out / recipe / "metrics.jsonl", "".join(f"{x}\n" for x in lines).encode())


def _path(out: Path, recipe: str, seed: int) -> Path:
    return out / recipe / f"seed_{seed}.nc"


def _check(path: Path, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    # Through JSON, as what was read: tuples become lists.
    lines = differences(there, json.loads(json.dumps(here)))
    if lines:
        raise ValueError(
            f"expected the settings with which {path} was made; these differ:\n"
            + "\n".join(lines)
            + "\nWrite to another folder, or remove this one."
        )


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
