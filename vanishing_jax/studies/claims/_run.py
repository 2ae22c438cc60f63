"""Claims put to the test: one, or many of which the finished ones are kept in files."""

import functools as ft
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...comparison._result import versions
from .._json import found_or_made
from ._catalogue import CLAIMS, chosen
from ._claim import Claim
from ._figure import Figure
from ._networks import FULL, Settings
from ._result import ClaimResult, from_json, to_json


def check_claim(claim: Claim | str, settings: Settings = FULL) -> ClaimResult:
    """Return what an experiment says about one claim.

    **Arguments:**

    - `claim`: a claim of one's own, or an id out of `vj.claims.CLAIMS`, such as "C4".
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
    (one,) = chosen([claim])
    found = one.experiment(settings)
    has_figure = len(found) == 2 and isinstance(found[1], Figure)
    findings, figure = found if has_figure else (found, Figure())
    return ClaimResult(one.id, one.statement, one.where, tuple(findings), figure, one.note)


def run_claims(
    claims: Sequence[Claim | str] | None = None,
    *,
    settings: Settings = FULL,
    out: str | Path | None = None,
    progress: bool = True,
) -> list[ClaimResult]:
    """Return the results of all claims, or of some.

    With `out`, each finished claim is a file, `out/results/C4.json`, written whole or not at all.
    The same call again loads those that were made with the same settings, the same versions and
    the same experiment's rule, and measures the rest.

    **Arguments:**

    - `claims`: ids out of `vj.claims.CLAIMS`, or claims of one's own; None is all of the article.
    - `settings`: sizes and seed.
    - `out`: folder for the finished claims.
    - `progress`: show a bar.

    **Returns:** one `ClaimResult` per claim, in the order of their numbers.

    **Raises:** `ValueError` for an unknown id.

    **Cost:** minutes; see docs/findings/claims.md.
    """
    from tqdm import tqdm

    wanted = chosen(list(CLAIMS if claims is None else claims))
    ordered = sorted(wanted, key=lambda one: (one.number, one.id))
    results = []
    with tqdm(ordered, disable=None if progress else True, leave=False) as bar:
        for one in bar:
            bar.set_description(f"{one.id}: {one.statement[:50]}")
            path = None if out is None else Path(out, "results", f"{one.id}.json")
            made = ft.partial(_checked, one, settings)
            result = from_json(found_or_made(path, describe(one, settings), made))
            # A note is no result: it may have been rewritten since.
            results.append(result._replace(note=one.note))
    return results


def _checked(claim: Claim, settings: Settings) -> dict[str, Any]:
    return to_json(check_claim(claim, settings))


def describe(claim: Claim, settings: Settings) -> dict[str, Any]:
    """Return what a result depends on."""
    return {
        **settings._asdict(),
        "statement": claim.statement,
        "rule": claim.rule,
        "versions": versions(),
    }
