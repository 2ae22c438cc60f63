"""`vanishing-jax table`: the summary table of causes and mitigations, executed."""

import pathlib
from typing import Any

import jax.random as jr

from ..studies.table import CAUSES, mitigation_table, write_mitigation_table
from ..studies.table._data import table_data
from ..studies.table._grid import shortened
from ..studies.table._pages import mitigation_markdown

_QUICK: dict[str, Any] = {"length": 20, "hidden_size": 16, "steps": 1000, "seeds": 3}


def run_table(out: pathlib.Path, *, quick: bool, seed: int, sizes: dict[str, int | None]) -> int:
    """Measure the table, write and print it; return the exit code. Sizes of None are default."""
    chosen: dict[str, Any] = {name: size for name, size in sizes.items() if size is not None}
    ds = mitigation_table(
        shortened(CAUSES) if quick else CAUSES,
        **{**(_QUICK if quick else {}), **chosen},
        out=out / "runs",
        key=jr.key(seed),
    )
    paths = write_mitigation_table(out, ds)
    print(mitigation_markdown(table_data(ds), compact=True))
    for path in paths:
        print(path)
    return 0
