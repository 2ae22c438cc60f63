"""One logic for verdicts on causes, remedies and claims: outcomes, and what they decide."""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import numpy as np

VERDICTS = ("confirmed", "confirmed under a condition", "refuted", "not testable")


class Share(NamedTuple):
    """m of k seeds, or of k pairs of seeds."""

    good: int
    of: int

    @property
    def value(self) -> float:
        """The share as a number."""
        return self.good / self.of

    def __str__(self) -> str:
        """Return "m of k"."""
        return f"{self.good} of {self.of}"


def decide(outcomes: Iterable[str], mixed: str = VERDICTS[1]) -> str:
    """Return the verdict that follows from outcomes "holds", "fails" and "open".

    **Arguments:**

    - `outcomes`: of findings, of seeds, or of the halves of a claim.
    - `mixed`: what it is called where some hold and others fail.

    **Returns:** one of `VERDICTS`, or `mixed`.

    **Example:**

    >>> decide(["holds", "fails"]), decide(["holds", "open"]), decide([])
    ('confirmed under a condition', 'not testable', 'not testable')
    """
    kinds = set(outcomes)
    if not kinds or ("open" in kinds and kinds != {"open", "holds", "fails"}):
        return "not testable"
    if kinds == {"holds"}:
        return "confirmed"
    return "refuted" if kinds == {"fails"} else mixed


def outcomes(seen: Any) -> list[str]:
    """Return the outcome of each seed that shows something, or does not."""
    return ["holds" if one else "fails" for one in np.ravel(seen)]


def wins(mine: Any, theirs: Any, *, best: Literal["low", "high"] = "low") -> Share:
    """Return in how many pairs of a seed of mine and one of theirs mine is better; NaN is worst."""
    sign = 1.0 if best == "low" else -1.0
    own, other = (np.nan_to_num(sign * np.asarray(x, float), nan=np.inf) for x in (mine, theirs))
    return Share(int((own[:, None] < other).sum()), own.size * other.size)


def compared(mine: Any, theirs: Any) -> str:
    """Return "better" if each of mine is below each of theirs, "worse" if above, else "same"."""
    if wins(mine, theirs).value == 1:
        return "better"
    return "worse" if wins(theirs, mine).value == 1 else "same"
