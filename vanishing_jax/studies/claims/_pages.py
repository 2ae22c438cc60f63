"""The claims of the article with their verdicts, as Markdown, HTML, JSON and figures."""

import base64
import io
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..._files import write_atomically
from ...comparison._result import versions
from ...report._html import load_template
from ._catalogue import CLAIMS
from ._networks import Settings
from ._plot import plot_claim, shown_findings
from ._result import RULE, ClaimResult, Finding, number, to_json

SYMBOLS = {
    "confirmed": "✔",
    "confirmed under a condition": "◐",
    "refuted": "✘",
    "not testable": "?",
}
_CLASSES = dict(zip(SYMBOLS, ("confirmed", "half", "refuted", "untestable"), strict=True))
_OUTCOMES = {"holds": "✔ holds", "fails": "✘ fails", "open": "? open"}
_DPI = 110
_TITLE = "The claims of “Gradient Vanishing in Unnormalized RNN Architectures”, tested"


def write_claims(
    folder: str | Path, results: Sequence[ClaimResult], *, settings: Settings
) -> list[Path]:
    """Write results as claims.md, claims.html and claims.json, with figures in `claims/`.

    **Arguments:**

    - `folder`: made when missing; earlier files are replaced, each at once or not at all.
    - `results`: of `vj.claims.run_claims`.
    - `settings`: with which they were made.

    **Returns:** the paths of the three pages.
    """
    folder = Path(folder)
    for result in results:
        if result.findings:
            write_atomically(folder / "claims" / f"{result.id}.png", _png(result)[0])
    data = {
        "settings": settings._asdict(),
        "versions": versions(),
        "claims": [to_json(result) for result in results],
    }
    contents = {
        "claims.md": claims_markdown(results, settings=settings),
        "claims.html": claims_html(results, settings=settings),
        "claims.json": json.dumps(data, indent=1, ensure_ascii=False) + "\n",
    }
    return [write_atomically(folder / name, text.encode()) for name, text in contents.items()]


def claims_table(results: Sequence[ClaimResult], *, highlights: Sequence[str] = ()) -> str:
    """Return how many claims came out how, and some of them with their numbers, as Markdown.

    **Arguments:**

    - `results`: of `vj.claims.run_claims`.
    - `highlights`: ids of the claims for a second table.

    **Returns:** one Markdown table, or two.
    """
    count = Counter(result.verdict for result in results)
    lines = ["| verdict | claims | which |", "|---|---|---|"]
    for verdict, symbol in SYMBOLS.items():
        which = ", ".join(result.id for result in results if result.verdict == verdict)
        lines.append(f"| {symbol} {verdict} | {count[verdict]} | {which} |")
    if highlights:
        lines += ["", _line(("the article says", "verdict", "why")), "|---|---|---|"]
    by_id = {result.id: result for result in results}
    for one in map(by_id.__getitem__, highlights):
        verdict = f"{SYMBOLS[one.verdict]} {one.verdict}"
        lines.append(_line((f"{one.id}: {one.statement}", verdict, one.why)))
    return "\n".join(lines) + "\n"


def claims_markdown(
    results: Sequence[ClaimResult], *, settings: Settings, figures: str = "claims"
) -> str:
    """Return results as a Markdown page, with figures beside it.

    **Arguments:**

    - `results`: of `vj.claims.run_claims`.
    - `settings`: with which they were made.
    - `figures`: folder of the figures, relative to the page.

    **Returns:** Markdown.
    """
    lines = [f"# {_TITLE}", "", _introduction(settings), "", RULE, "", claims_table(results)]
    for section in _sections(results):
        lines += [f"## {section['id']}: {section['symbol']} {section['verdict']}", ""]
        lines += [f"> {section['statement']} (*{section['where']}*)", "", section["why"], ""]
        if section["rows"]:
            lines += [f"True if: {section['rule']}", "", _line(_HEADS)]
            lines += [_line(["---"] * len(_HEADS)), *map(_line, section["rows"]), ""]
        lines += [section["note"], ""] if section["note"] != section["why"] else []
        if section["rows"]:
            lines += [f"![{section['alt']}]({figures}/{section['id']}.png)", ""]
    return "\n".join([*lines, _made(settings)]).replace("\n\n\n", "\n\n") + "\n"


def claims_html(results: Sequence[ClaimResult], *, settings: Settings) -> str:
    """Return results as one self-contained HTML page.

    **Arguments:**

    - `results`: of `vj.claims.run_claims`.
    - `settings`: with which they were made.

    **Returns:** HTML without scripts, that loads nothing.
    """
    sections = _sections(results)
    for section, result in zip(sections, results, strict=True):
        section["figure"] = None
        if result.findings:
            png, width, height = _png(result)
            source = "data:image/png;base64," + base64.b64encode(png).decode("ascii")
            section["figure"] = {"source": source, "width": width, "height": height}
    count = Counter(result.verdict for result in results)
    return load_template("claims.html.j2", __file__).render(
        title=_TITLE,
        introduction=_introduction(settings),
        rule=RULE,
        counts=[(_CLASSES[v], SYMBOLS[v], v, count[v]) for v in SYMBOLS],
        heads=_HEADS,
        sections=sections,
        made=_made(settings),
        versions=list(versions().items()),
    )


_HEADS = ("where", "quantity", "measured [95 %]", "theory", "needed", "")


def _introduction(settings: Settings) -> str:
    size = "small sizes of a quick run" if settings.quick else "full sizes"
    return (
        "What the article says, sentence by sentence, held against measurements and theory, at the "
        f"{size}. Rates are the natural log by which a gradient changes per step back in time: "
        "−0.69 halves it, 0 keeps it. Claims C35 are what the article leaves out."
    )


def _made(settings: Settings) -> str:
    quick = " --quick" if settings.quick else ""
    return f"Made by `vanishing-jax claims{quick} --seed {settings.seed}`."


def _sections(results: Sequence[ClaimResult]) -> list[dict[str, Any]]:
    return [
        {
            "id": result.id,
            "statement": result.statement,
            "where": result.where,
            "verdict": result.verdict,
            "symbol": SYMBOLS[result.verdict],
            "style": _CLASSES[result.verdict],
            "why": result.why,
            "note": result.note,
            "rule": CLAIMS[result.id].rule if result.id in CLAIMS else "",
            "rows": [_row(one) for one in result.findings],
            "alt": f"{result.id}: {result.figure.title or result.verdict}",
        }
        for result in results
    ]


def _row(finding: Finding) -> list[str]:
    interval = ""
    if finding.low != finding.high:
        interval = f" [{number(finding.low)}, {number(finding.high)}]"
    law = "–" if finding.prediction is None else number(finding.prediction)
    measured = f"{number(finding.value)}{interval}"
    outcome = _OUTCOMES[finding.outcome]
    quantity = finding.quantity.replace("[", "(").replace("]", ")")
    return [finding.case, quantity, measured, law, finding.required, outcome]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '∣') for cell in cells)} |"


def _png(result: ClaimResult) -> tuple[bytes, int, int]:
    """Return the figure of a claim, and its width and height in CSS pixels."""
    # Not pyplot: a page written from a thread or a server must not touch its list of figures.
    from matplotlib.figure import Figure

    rows = len(shown_findings(result))
    width, height = 6.4, 3.4 if result.figure.curves else max(2.2, 1.3 + 0.55 * rows)
    figure = Figure(figsize=(width, height), layout="constrained")
    plot_claim(result, ax=figure.subplots())
    buffer = io.BytesIO()
    # Without the software's version the same figure gives the same bytes.
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue(), round(width * 100), round(height * 100)
