"""The list of claims: what the article says, where, and the experiment that tests it."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ._networks import FULL, Settings
from ._result import ClaimResult, Figure, Finding

ARTICLE = "Gradient Vanishing in Unnormalized RNN Architectures"

Experiment = Callable[[Settings], Any]


class Claim(NamedTuple):
    """One claim.

    - `id`: such as "C4"; "C35..." are what the article leaves out.
    - `statement`: the article's sentence in our words.
    - `where`: the part of the article.
    - `rule`: what decides, in words.
    - `experiment`: `experiment(settings) -> (findings, figure)`.
    - `note`: for the page.
    """

    id: str
    statement: str
    where: str
    rule: str
    experiment: Experiment
    note: str = ""


_FOUND: dict[str, Claim] = {}


def claim(
    id: str, statement: str, *, where: str, rule: str, note: str = ""
) -> Callable[[Experiment], Experiment]:
    """Return the decorator that makes an experiment a claim that `check_claim` can test.

    The experiment is a function of `Settings`, and returns its findings, or `(findings, figure)`.
    It never says what the verdict is: that follows from the findings by `RULE`.

    **Arguments:**

    - `id`: a name with a number in it, such as "M1", that no other claim has. The same function
      defined anew, as by a cell of a notebook that runs again, takes the place of the old one.
    - `statement`: the claim, one sentence.
    - `where`: who says so.
    - `rule`: what has to be measured for it to be true, in words.
    - `note`: what a reader must know beside.

    **Returns:** the decorator.

    **Raises:** `ValueError` for an id without a number, or that another experiment has.

    **Example:**

    >>> import vanishing_jax as vj
    >>> @vj.claims.claim(
    ...     "E1", "A million factors below 1 are nothing.", where="folklore",
    ...     rule="0.999999 to the power of a million is below 0.001.",
    ... )
    ... def million(settings):
    ...     return [vj.claims.exact("0.999999", "its power", 0.999999**1_000_000, below=1e-3)]
    >>> vj.claims.check_claim("E1")
    ClaimResult(E1: refuted. It fails for 0.999999 (its power 0.368, needed below 0.001).)
    """
    if not any(map(str.isdigit, id)):
        raise ValueError(f"expected an id with a number in it, such as 'M1'; got {id!r}.")

    def register(experiment: Experiment) -> Experiment:
        if id in _FOUND and _place_of(_FOUND[id].experiment) != _place_of(experiment):
            raise ValueError(f"expected one experiment per claim; {id} has two.")
        _FOUND[id] = Claim(id, statement, where, rule, experiment, note)
        return experiment

    return register


def _place_of(experiment: Experiment) -> tuple[str | None, str]:
    return getattr(experiment, "__module__", None), getattr(experiment, "__qualname__", "")


def registered() -> dict[str, Claim]:
    """Return all claims by id, in the order of their numbers."""
    return dict(sorted(_FOUND.items(), key=lambda item: (_number_of(item[0]), item[0])))


def _number_of(id: str) -> int:
    return int("".join(filter(str.isdigit, id)))


def check_claim(id: str, settings: Settings = FULL) -> ClaimResult:
    """Return what an experiment says about one claim of the article.

    **Arguments:**

    - `id`: out of `vj.claims.CLAIMS`, such as "C4".
    - `settings`: sizes and seed; the full ones by default.

    **Returns:** a `ClaimResult`, whose verdict follows from its findings by `vj.claims.RULE`.

    **Raises:** `ValueError` for an id that is not there.

    **Cost:** seconds to a minute; experiments share their networks within one process.

    **Example:**

    >>> import vanishing_jax as vj
    >>> result = vj.claims.check_claim("C35d", vj.claims.Settings(quick=True))
    >>> result.verdict
    'confirmed'
    """
    found = registered()
    if id not in found:
        raise ValueError(f"expected one of {', '.join(found)}; got {id!r}.")
    chosen = found[id]
    findings, figure = _outcome(chosen.experiment(settings))
    return ClaimResult(id, chosen.statement, chosen.where, findings, figure, chosen.note)


def _outcome(result: tuple[Sequence[Finding], Figure] | Sequence[Finding]) -> Any:
    if len(result) == 2 and isinstance(result[1], Figure):
        return tuple(result[0]), result[1]
    return tuple(result), Figure()
