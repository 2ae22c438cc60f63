"""When to stop early, and which model to keep."""

import re
from typing import NamedTuple

from ._history import Record

_PATTERN = re.compile(r"\s*(loss|metric)\s*([<>])\s*(\S+)\s*")

_KEEP = {
    "last": None,
    "best": ("loss", 1.0),
    "lowest metric": ("metric", 1.0),
    "highest metric": ("metric", -1.0),
}


class Goal(NamedTuple):
    """A bound that a recorded curve is to cross."""

    curve: str
    below: bool
    bound: float

    def reached(self, record: Record) -> bool:
        """Return whether a record is beyond the bound; never for NaN."""
        value = getattr(record, self.curve)
        return value < self.bound if self.below else value > self.bound


def parse_target(target: str | float | None) -> Goal | None:
    """Return the goal that "loss < 0.01" or "metric > 0.9" spells; a number bounds the loss."""
    if target is None:
        return None
    if isinstance(target, int | float) and not isinstance(target, bool):
        return Goal("loss", True, float(target))
    if not isinstance(target, str):
        raise TypeError(
            f"expected `target` as 'loss < 0.01', 'metric > 0.9' or a number for the loss; got "
            f"{type(target).__name__}."
        )
    found = _PATTERN.fullmatch(target)
    try:
        if found is None:
            raise ValueError
        return Goal(found[1], found[2] == "<", float(found[3]))
    except ValueError:
        raise ValueError(
            f"expected `target` as 'loss < 0.01' or 'metric > 0.9'; got {target!r}."
        ) from None


def check_keep(keep: str) -> None:
    """Raise ValueError unless `keep` is known."""
    if keep not in _KEEP:
        raise ValueError(f"expected `keep` as one of {', '.join(map(repr, _KEEP))}; got {keep!r}.")


def cost(record: Record, keep: str) -> float | None:
    """Return what the kept record has least of, or None to keep the last one."""
    choice = _KEEP[keep]
    return None if choice is None else choice[1] * getattr(record, choice[0])
