"""Numbers and tables as Markdown, and where a result was measured."""

import numpy as np


def table(headings, rows) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    escaped = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in escaped])


def short(value) -> str:
    """Return a number as text of about three digits."""
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


def with_quartiles(ratio) -> str:
    """Return "2.10 (2.05–2.14)"."""
    if not ratio:
        return "–"
    low, high = ratio["quartiles"]
    return f"{ratio['median']:.2f} ({low:.2f}–{high:.2f})"


def provenance(result) -> str:
    """Return where, when and with what a result was measured."""
    machine, versions = result["machine"], result["versions"]
    caches = ", ".join(f"{k} {v}" for k, v in machine["caches"].items())
    names = ", ".join(f"{k} {v}" for k, v in versions.items() if v != "not installed")
    quick = result["settings"].get("quick")
    return (
        ("**Toy sizes (`--quick`): these numbers say nothing.**\n\n" if quick else "")
        + f"`{result['command']}` at commit {result['commit']}, {result['utc']}.\n"
        f"Processor: {machine['cpu']}; {machine['cores']} cores; {caches}. {machine['system']}, "
        f"backend {machine['backend']} ({', '.join(machine['devices'])}).\n{names}."
    )


BEGIN = "<!-- From here to the next mark written by benchmarks/make_readme.py. -->"
END = "<!-- The end of what is written. -->"


def between_marks(text: str, section: str) -> str:
    """Return a page with the section between its marks replaced."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{section}\n\n{END}{after}"
