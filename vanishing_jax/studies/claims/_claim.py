"""A claim: what is said, where, what would make it true, and the experiment that tests it."""

from collections.abc import Callable
from typing import Any, NamedTuple

from ._networks import Settings

Experiment = Callable[[Settings], Any]


class Claim(NamedTuple):
    """One claim.

    - `id`: such as "C4"; "C35..." are what the article leaves out.
    - `statement`: the article's sentence in our words.
    - `where`: the part of the article.
    - `rule`: what decides, in words.
    - `experiment`: `experiment(settings) -> findings` or `(findings, figure)`.
    - `note`: for the page.
    """

    id: str
    statement: str
    where: str
    rule: str
    experiment: Experiment
    note: str = ""

    @property
    def number(self) -> int:
        """The number in the id, by which claims are ordered."""
        return int("".join(filter(str.isdigit, self.id)))


def claim(
    id: str, statement: str, *, where: str, rule: str, note: str = ""
) -> Callable[[Experiment], Claim]:
    """Return the decorator that makes an experiment a claim, which `check_claim` tests.

    The experiment is a function of `Settings`, and returns its findings, or `(findings, figure)`:
    what `over_seeds`, `all_seeds` and `exact` make of numbers, and a `Figure` of `Curve`s. It never
    says what the verdict is: that follows from the findings by `RULE`.

    **Arguments:**

    - `id`: a name with a number in it, such as "M1".
    - `statement`: the claim, one sentence.
    - `where`: who says so.
    - `rule`: what has to be measured for it to be true, in words.
    - `note`: what a reader must know beside.

    **Returns:** the decorator; what it returns is a `Claim`.

    **Raises:** `ValueError` for an id without a number.

    **Example:**

    >>> import vanishing_jax as vj
    >>> @vj.claims.claim(
    ...     "E1", "A million factors below 1 are nothing.", where="folklore",
    ...     rule="0.999999 to the power of a million is below 0.001.",
    ... )
    ... def million(settings):
    ...     return [vj.claims.exact("0.999999", "its power", 0.999999**1_000_000, below=1e-3)]
    >>> vj.claims.check_claim(million)
    ClaimResult(E1: refuted. It fails for 0.999999 (its power 0.368, needed below 0.001).)
    """
    if not any(map(str.isdigit, id)):
        raise ValueError(f"expected an id with a number in it, such as 'M1'; got {id!r}.")
    return lambda experiment: Claim(id, statement, where, rule, experiment, note)
