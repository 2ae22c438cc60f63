"""The claims of the article with their verdicts, as Markdown, HTML, JSON and figures."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..._files import write_atomically
from ...comparison._result import versions
from ...report._content import figure_content
from ...report._figures import FigureSpec, draw_png, drawn_once
from ...report._html import load_template
from .._json import json_bytes
from ._catalogue import CLAIMS
from ._finding import Finding, number
from ._networks import Settings
from ._plot import height_of, plot_claim, shown_findings
from ._result import RULE, ClaimResult, to_json

SYMBOLS = {
    "confirmed": "✔",
    "confirmed under a condition": "◐",
    "refuted": "✘",
    "not testable": "?",
}
_CLASSES = dict(zip(SYMBOLS, ("confirmed", "half", "refuted", "untestable"), strict=True))
_OUTCOMES = {"holds": "✔ holds", "fails": "✘ fails", "open": "? open"}
_HEADS = ("where", "quantity", "measured [95 %]", "theory", "needed", "")
_FIGURE = FigureSpec(
    "claim", "", "", lambda result, ax: plot_claim(result, ax=ax),
    height=lambda result: 3.4 if result.figure.curves else height_of(shown_findings(result)),
    width=6.4, dpi=110,
)  # fmt: skip
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
    data = {
        "settings": settings._asdict(),
        "versions": versions(),
        "claims": [to_json(result) for result in results],
    }
    with drawn_once():
        for result in results:
            if result.findings:
                path = Path(folder, "claims", f"{result.id}.png")
                write_atomically(path, draw_png(_FIGURE, result)[0])
        contents = {
            "claims.md": claims_markdown(results, settings=settings).encode(),
            "claims.html": claims_html(results, settings=settings).encode(),
            "claims.json": json_bytes(data),
        }
    return [write_atomically(Path(folder, name), text) for name, text in contents.items()]


def claims_table(results: Sequence[ClaimResult], *, highlights: Sequence[str] = ()) -> str:
    """Return in Markdown how many claims came out how, and those of some ids with their numbers."""
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


def claims_markdown(results: Sequence[ClaimResult], *, settings: Settings) -> str:
    """Return results as a Markdown page, whose figures are in a folder `claims` beside it."""
    lines = [f"# {_TITLE}", "", _introduction(settings), "", RULE, "", claims_table(results)]
    for section in _sections(results):
        lines += [f"## {section['id']}: {section['symbol']} {section['verdict']}", ""]
        lines += [f"> {section['statement']} (*{section['where']}*)", "", section["why"], ""]
        if section["rows"]:
            lines += [f"True if: {section['rule']}", "", _line(_HEADS)]
            lines += [_line(["---"] * len(_HEADS)), *map(_line, section["rows"]), ""]
        lines += [section["note"], ""] if section["note"] != section["why"] else []
        if section["rows"]:
            lines += [f"![{section['alt']}](claims/{section['id']}.png)", ""]
    return "\n".join([*lines, _made(settings)]).replace("\n\n\n", "\n\n") + "\n"


def claims_html(results: Sequence[ClaimResult], *, settings: Settings) -> str:
    """Return results as one self-contained HTML page, without scripts, that loads nothing."""
    sections = _sections(results)
    for section, result in zip(sections, results, strict=True):
        section["figure"] = figure_content(_FIGURE, result) if result.findings else None
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
            **result._asdict(),
            "verdict": result.verdict,
            "symbol": SYMBOLS[result.verdict],
            "style": _CLASSES[result.verdict],
            "why": result.why,
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
