"""What became of a claim: findings with intervals, and the verdict that follows from them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .._json import from_plain, to_plain
from .._verdicts import decide
from ._figure import Curve, Figure
from ._finding import Finding, number

RULE = (
    "A claim is cut into findings: one number each, with a 95 % interval over seeds, and the range "
    "in which it lies if the claim is true there. The claim holds in a finding whose interval lies "
    "inside the range, fails in one whose interval lies outside, and is open where the interval "
    "crosses the edge. Confirmed: it holds in all. Refuted: it fails in all. Confirmed under a "
    "condition: none is open, it holds in some and fails in others. Not testable: there is no "
    "finding, or an open one on which the verdict depends."
)


class ClaimResult(NamedTuple):
    """A claim of the article, put to the test; made by `vj.claims.check_claim`.

    - `id`, `statement`, `where`: the claim in our words, and where the article makes it.
    - `findings`: what was measured.
    - `figure`: data for `vj.plots.plot_claim`.
    - `note`: what a reader must know about the experiment, or why there is none.
    """

    id: str
    statement: str
    where: str
    findings: tuple[Finding, ...]
    figure: Figure = Figure()
    note: str = ""

    @property
    def verdict(self) -> str:
        """One of `VERDICTS`, by the rule `RULE` from the findings alone."""
        return decide(finding.outcome for finding in self.findings)

    @property
    def why(self) -> str:
        """One sentence with the numbers that made the verdict."""
        return explain(self.findings, self.verdict) or self.note

    def __repr__(self) -> str:
        return f"ClaimResult({self.id}: {self.verdict}. {self.why})"


def explain(findings: Sequence[Finding], verdict: str) -> str:
    """Return the sentence: where the claim holds, where not, each with its number."""
    parts = {
        outcome: [_clause(one) for one in findings if one.outcome == outcome]
        for outcome in ("holds", "fails", "open")
    }
    words = {"holds": "it holds for ", "fails": "it fails for ", "open": "seeds leave open "}
    order = ("fails", "holds", "open") if verdict == "refuted" else ("holds", "fails", "open")
    clauses = [words[name] + "; ".join(parts[name]) for name in order if parts[name]]
    text = ". ".join(clause[:1].upper() + clause[1:] for clause in clauses)
    return f"{text}." if text else ""


def _clause(finding: Finding) -> str:
    quantity = finding.quantity.split(" [")[0]
    return f"{finding.case} ({quantity} {number(finding.value)}, needed {finding.required})"


def to_json(result: ClaimResult) -> dict[str, Any]:
    """Return a result as plain data, verdict and sentence included; inverse of `from_json`."""
    curves = [curve._asdict() for curve in result.figure.curves]
    return to_plain(
        {
            **result._asdict(),
            "verdict": result.verdict,
            "why": result.why,
            "findings": [{**one._asdict(), "outcome": one.outcome} for one in result.findings],
            "figure": {**result.figure._asdict(), "curves": curves},
        }
    )


def from_json(data: Mapping[str, Any]) -> ClaimResult:
    """Return the result that `to_json` wrote; its verdict is computed anew from the findings."""
    data = from_plain(data)
    findings = (_made(Finding, one) for one in data["findings"])
    curves = (_made(Curve, one) for one in data["figure"]["curves"])
    numbers = [one._replace(x=tuple(one.x), y=tuple(one.y)) for one in curves]
    figure = Figure(**{**data["figure"], "curves": tuple(numbers)})
    return _made(ClaimResult, data)._replace(findings=tuple(findings), figure=figure)


def _made(kind: Any, data: Mapping[str, Any]) -> Any:
    """Return the record of which `data` has the fields, among others."""
    return kind(**{name: data[name] for name in kind._fields})
