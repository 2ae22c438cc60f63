"""The article's claims, out of the files of their themes."""

from types import ModuleType

from . import (
    _learning,
    _left_out,
    _mathematics,
    _normalization,
    _remedies,
    _summary_table,
    _what_vanishes,
)
from ._claim import Claim

_THEMES = (
    _learning, _left_out, _mathematics, _normalization, _remedies, _summary_table, _what_vanishes,
)  # fmt: skip


def claims_of(themes: tuple[ModuleType, ...]) -> dict[str, Claim]:
    """Return the claims of some modules by id, in the order of their numbers."""
    found = [one for theme in themes for one in vars(theme).values() if isinstance(one, Claim)]
    ordered = sorted(found, key=lambda one: (one.number, one.id))
    by_id = {one.id: one for one in ordered}
    if len(by_id) < len(ordered):
        raise ValueError(f"expected one claim per id; got {[one.id for one in ordered]}.")
    return by_id


CLAIMS = claims_of(_THEMES)
"""All claims of the article by id, such as "C4", and what it leaves out, "C35a" to "C35e"."""


def chosen(claims: list[Claim | str]) -> list[Claim]:
    """Return the claims of which some are given by their ids."""
    unknown = [one for one in claims if isinstance(one, str) and one not in CLAIMS]
    if unknown:
        raise ValueError(f"expected ids out of {', '.join(CLAIMS)}; got {', '.join(unknown)}.")
    return [CLAIMS[one] if isinstance(one, str) else one for one in claims]
