"""The table of causes and mitigations, written as Markdown, HTML, JSON and netCDF."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..._files import write_atomically
from ...report._html import load_template
from .._json import json_bytes
from ._content import ROLES, table_content
from ._data import table_data
from ._strip import strip

if TYPE_CHECKING:
    import xarray as xr

_HEADS = (
    "network", "column", "exponent", "gain", "condition", "solved, updates", "gradient", "training",
    "claim",
)  # fmt: skip


def mitigation_markdown(data: dict[str, Any], *, compact: bool = False) -> str:
    """Return a table as Markdown, with its rules as a caption.

    Compact it has one line per baseline network, as in the article's summary table, each mitigation
    with its verdict and how many seeds solved the task.
    """
    content = table_content(data)
    notes, legend = content["notes"], [f"{k}: {v}" for k, v in content["legend"].items()]
    if compact:
        rules = " ".join(notes[name] for name in ("effect", "mitigation", "better"))
        marks = ", ".join(content["legend"])
        below = [f"{marks}; m/n: seeds that solved the task; 10^(...): gain. {rules}"]
        lines = [f"{content['setting']} {content['score']}", "", *_compact(content), "", *below]
    else:
        below = [*legend, *(f"{name}: {text}" for name, text in notes.items())]
        title = [f"# {content['title']}", "", f"{content['setting']} {content['score']}", ""]
        lines = [*title, *_full(content), "", *(f"- {text}" for text in below)]
    return "\n".join(lines) + "\n"


def mitigation_html(data: dict[str, Any]) -> str:
    """Return a table as one self-contained HTML page, without scripts, that loads nothing."""
    content = table_content(data)
    for row in _rows(content):
        row["strip"] = strip(row["gains"], row["name"])
    return load_template("mitigation_table.html.j2", __file__).render(roles=ROLES, **content)


def write_mitigation_table(folder: str | Path, table: "xr.Dataset") -> list[Path]:
    """Write a table of causes and mitigations as table.nc, table.json, table.md and table.html.

    table.json holds cells, verdicts, numbers with their meaning, rules and settings; its keys:

    - `settings`: task, sizes, seeds and thresholds; `versions`: with which it was made.
    - `rules`: what makes an effect and a mitigation confirmed; `effects`: what each has to be.
    - `quantities`: what each number is, with its unit.
    - `rows`, one per network in one place of the table: the claim (`cause`, `effect`, `rule`, which
      is a key of `effects`, `context`, `role`, `claim`), the network (`recipe`, `length`), what
      became of it (`verdict`, and of a mitigation `gradient` and `training`; `solved`, a number of
      seeds, and the `outcome` of each), and `numbers`: of each quantity `by_seed`, `mean` and
      `standard_error`. NaN and infinities are text: "nan", "inf", "-inf".

    **Arguments:**

    - `folder`: made when missing; earlier files are replaced, each at once or not at all.
    - `table`: what `vj.mitigation_table` returns.

    **Returns:** the paths.
    """
    data = table_data(table)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary, "table.nc")
        table.to_netcdf(path, engine="h5netcdf")
        contents = {
            "table.nc": path.read_bytes(),
            "table.json": json_bytes(data),
            "table.md": mitigation_markdown(data).encode(),
            "table.html": mitigation_html(data).encode(),
        }
    return [write_atomically(Path(folder, name), text) for name, text in contents.items()]


def _rows(content: dict[str, Any]) -> list[dict[str, Any]]:
    contexts = [context for cause in content["causes"] for context in cause["contexts"]]
    return [
        row
        for context in contexts
        for row in [context["baseline"], *(r for role in ROLES for r in context[role])]
    ]


def _full(content: dict[str, Any]) -> list[str]:
    lines = []
    for cause in content["causes"]:
        lines += [f"## {cause['name']}", ""]
        lines += [f"Effect: {cause['effect']}. Confirmed if in every seed {cause['rule']}.", ""]
        for context in cause["contexts"]:
            lines += [_line(_HEADS), _line(["---"] * len(_HEADS))]
            lines += [_line(_cells(context["baseline"], "the cause itself"))]
            for role, column in ROLES.items():
                lines += [_line(_cells(row, column)) for row in context[role]]
            lines.append("")
    return lines[:-1]


def _cells(row: dict[str, Any], column: str) -> list[str]:
    claim = f"{row['symbol']} {row['verdict']}"
    numbers = [row[name] for name in ("exponent", "gain", "condition", "outcome")]
    return [f"`{row['name']}`", column, *numbers, row["gradient"], row["training"], claim]


def _compact(content: dict[str, Any]) -> list[str]:
    heads = ["cause", "effect", *ROLES.values()]
    lines = [_line(heads), _line(["---"] * len(heads))]
    for cause in content["causes"]:
        for context in cause["contexts"]:
            row = context["baseline"]
            effect = f"{row['symbol']} {cause['effect']}: 10^({row['gain']})"
            cells = [f"{cause['name']}: `{row['name']}` {row['solved']}", effect]
            for role in ROLES:
                listed = [f"{r['symbol']} `{r['short']}` {r['solved']}" for r in context[role]]
                cells.append(", ".join(listed))
            lines.append(_line(cells))
    return lines


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"
