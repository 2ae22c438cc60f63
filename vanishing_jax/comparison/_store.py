"""The folder of a comparison: one netCDF file per finished seed of a recipe, written whole or not.

`settings.json` says what all of them share, `RECIPE/seed_K.nc` holds one run.
"""

import json
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._files import write_atomically
from .._hashing import differences

if TYPE_CHECKING:
    import xarray as xr


def check_folder(out: Path, settings: Mapping[str, Any]) -> None:
    """Raise ValueError unless the folder is new or was made with the same settings."""
    path = out / "settings.json"
    if path.exists():
        _check(out, json.loads(path.read_text()), settings)
        return
    write_atomically(path, (json.dumps(settings, indent=2) + "\n").encode())


def load_runs(
    out: Path, recipe: str, settings_of: Callable[[int], Mapping[str, Any]]
) -> "dict[int, xr.Dataset]":
    """Return the finished runs of a recipe by seed, all that there are.

    A file that cannot be read is not one of them. Raises ValueError when one was made with other
    settings than those of its seed.
    """
    import xarray as xr

    runs = {}
    for path in sorted((out / recipe).glob("seed_*.nc")):
        try:
            # Remembered, the lengths of this file's strings would cut those of the others when all
            # are written to one file.
            run = xr.load_dataset(path, engine="h5netcdf").drop_encoding()
            there = json.loads(run.attrs["settings"])
            seed = int(run.seed.item())
        except Exception as error:
            warnings.warn(
                f"{path} cannot be read and does not count as finished: {error}",
                UserWarning,
                stacklevel=4,
            )
            continue
        _check(path, there, settings_of(seed))
        runs[seed] = run
    return runs


def save_run(out: Path, run: "xr.Dataset") -> None:
    """Write one run, of one recipe and one seed, to its file."""
    write_dataset(_path(out, str(run.recipe.item()), int(run.seed.item())), run)


def write_dataset(path: Path, dataset: "xr.Dataset") -> Path:
    """Write a netCDF file, whole or not at all; return its path."""
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder, "dataset.nc")
        dataset.to_netcdf(written, engine="h5netcdf")
        return write_atomically(path, written.read_bytes())


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
