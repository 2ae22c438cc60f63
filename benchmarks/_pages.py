"""Pages: Jinja templates of Markdown, with numbers and tables as text."""

import pathlib
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jinja2
import numpy as np

Row = Mapping[str, Any]
Cell = str | Callable[[Any], Any]
Cells = Mapping[str, Cell]

BEGIN = "<!-- From here to the next mark written by benchmarks/make_readme.py. -->"
END = "<!-- The end of what is written. -->"


def render(template: pathlib.Path, names: Mapping[str, Any]) -> str:
    """Return the text of a template; functions among the names, and those here, are filters."""
    environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined)
    names = {name: x for name, x in (globals() | dict(names)).items() if name[0] != "_"}
    environment.filters |= {name: x for name, x in names.items() if callable(x)} | {"log": np.log}
    return environment.from_string(template.read_text()).render(names).strip() + "\n"


def between_marks(text: str, section: str) -> str:
    """Return a page with the section between its marks replaced."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{section.strip()}\n\n{END}{after}"


# --- tables -----------------------------------------------------------------------------------


def table(headings: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Return a Markdown table."""
    headings = list(headings)
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    escaped = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in escaped])


def table_of(rows: Iterable[Any], cells: Cells | Iterable[tuple[str, Cell]]) -> str:
    """Return a table from its columns: under each heading a key of the rows, or a function."""
    pairs = list(cells.items() if isinstance(cells, Mapping) else cells)

    def text(cell, row):
        return short(row.get(cell)) if isinstance(cell, str) else cell(row)

    headings = [heading for heading, _ in pairs]
    return table(headings, [[text(cell, row) for _, cell in pairs] for row in rows])


# --- numbers ----------------------------------------------------------------------------------


def short(value: Any) -> str:
    """Return a number as text of about three digits, and text as it is."""
    if value is None:
        return "–"
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return value
    if isinstance(value, bool) or (isinstance(value, int) and abs(value) < 10**6):
        return str(value)
    if not np.isfinite(value):
        return {"inf": "∞", "-inf": "−∞"}.get(repr(float(value)), "NaN")
    if value and not 1e-2 <= abs(value) < 1e5:
        return f"{value:.1e}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def with_quartiles(ratio: Row | None) -> str:
    """Return "2.10 (2.05–2.14)"."""
    if not ratio:
        return "–"
    low, high = ratio["quartiles"]
    return f"{ratio['median']:.2f} ({low:.2f}–{high:.2f})"


def minus(text: str) -> str:
    """Return numbers with a minus sign, not a hyphen."""
    return re.sub(r"-(?=\d)", "−", text)


def filled(text: str) -> str:
    """Return a paragraph in lines of a hundred characters."""
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def first_of_each(rows: Iterable[Row], key: str) -> list[Any]:
    """Return the values of a key, each once, in the order in which they come."""
    return list(dict.fromkeys(row[key] for row in rows))


# --- provenance -------------------------------------------------------------------------------


def provenance(result: Row) -> str:
    """Return where, when and with what a result was measured."""
    machine, versions = result["machine"], result["versions"]
    caches = ", ".join(f"{k} {v}" for k, v in machine["caches"].items())
    names = ", ".join(f"{k} {v}" for k, v in versions.items() if v != "not installed")
    return (
        f"{toy(result)}`{result['command']}` at commit {result['commit']}, {result['utc']}."
        f"{' ' + result['remark'] if 'remark' in result else ''}\n"
        f"Processor: {machine['cpu']}; {machine['cores']} cores; {caches}. {machine['system']}, "
        f"backend {machine['backend']} ({', '.join(machine['devices'])}).\n{names}."
    )


def cpu_minutes(result: Row) -> int:
    """Return how long the parts of a result took together."""
    return max(1, round(sum(result["settings"]["cpu_seconds"].values()) / 60))


def toy(result: Row) -> str:
    """Return a warning above what was measured at toy sizes."""
    if not result["settings"].get("quick"):
        return ""
    return "**Toy sizes (`--quick`): these numbers say nothing.**\n\n"
