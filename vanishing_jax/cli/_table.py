"""`vanishing-jax table`: the summary table of causes and mitigations, executed."""

from typing import TYPE_CHECKING, Any

import jax.random as jr

from ..studies.table import CAUSES, mitigation_table, write_mitigation_table
from ..studies.table._data import table_data
from ..studies.table._grid import shortened
from ..studies.table._pages import mitigation_markdown

if TYPE_CHECKING:
    from ._main import Table

_QUICK: dict[str, Any] = {"length": 20, "hidden_size": 16, "steps": 1000, "seeds": 3}


def run(command: "Table") -> int:
    """Measure the table, write and print it; return the exit code. Sizes of None are default."""
    asked = {name: getattr(command, name) for name in _QUICK}
    sizes = _QUICK if command.quick else {}
    sizes = sizes | {name: size for name, size in asked.items() if size is not None}
    causes = shortened(CAUSES) if command.quick else CAUSES
    ds = mitigation_table(causes, **sizes, out=command.out / "runs", key=jr.key(command.seed))
    paths = write_mitigation_table(command.out, ds)
    print(mitigation_markdown(table_data(ds), compact=True))
    print(*paths, sep="\n")
    return 0
