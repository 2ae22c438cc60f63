"""The table as plain data: what table.json holds, and what pages are made of."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._json import from_plain

if TYPE_CHECKING:
    import xarray as xr

_SETTINGS = (
    "task", "length", "baseline", "hidden_size", "steps", "batch_size", "num_sequences",
    "solved_below", "improved_below",
)  # fmt: skip
_TEXTS = (
    "cause", "effect", "rule", "context", "role", "claim", "recipe", "length", "verdict",
    "gradient", "training",
)  # fmt: skip


def table_data(table: "xr.Dataset") -> dict[str, Any]:
    """Return the table that `vj.mitigation_table` made as the data of `write_mitigation_table`."""
    quantities = {
        str(name): table[name].attrs["long_name"]
        for name in table.data_vars
        if "long_name" in table[name].attrs
    }
    settings = {name: np.asarray(table.attrs[name]).item() for name in _SETTINGS}
    texts = {name: table[name].values.tolist() for name in _TEXTS}
    outcomes = table.outcome.values.tolist()
    rows = [
        {
            **{name: values[i] for name, values in texts.items()},
            "solved": outcomes[i].count("solved"),
            "outcome": outcomes[i],
            "numbers": {name: _number(table[name].values[i]) for name in quantities},
        }
        for i in range(table.sizes["row"])
    ]
    noted = {name: json.loads(table.attrs[name]) for name in ("rules", "effects", "versions")}
    return {
        "settings": settings | {"seeds": table.sizes["seed"]},
        **noted,
        "quantities": quantities,
        "rows": rows,
    }


def _number(values: np.ndarray) -> dict[str, Any]:
    """Return one quantity of all seeds; without a mean where some seed has none."""
    mean = error = math.nan
    if np.isfinite(values).all():
        mean = float(np.mean(values))
        error = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else error
    return {"by_seed": values.tolist(), "mean": mean, "standard_error": error}


def read_table(path: str | Path) -> dict[str, Any]:
    """Return the data of a table.json."""
    return from_plain(json.loads(Path(path).read_text("utf-8")))
