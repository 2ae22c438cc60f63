"""All claims, one after the other: finished ones are kept in files and not measured again."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .._files import write_atomically
from ..comparison._result import versions
from ._networks import FULL, Settings
from ._registry import check_claim, registered
from ._result import ClaimResult, from_json, to_json


def run_claims(
    ids: Sequence[str] | None = None,
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

    - `ids`: out of `vj.claims.CLAIMS`; None is all of them.
    - `settings`: sizes and seed.
    - `out`: folder for the finished claims.
    - `progress`: show a bar.

    **Returns:** one `ClaimResult` per claim, in the order of their numbers.

    **Raises:** `ValueError` for an unknown id.

    **Cost:** minutes; see docs/findings/claims.md.
    """
    from tqdm import tqdm

    known = registered()
    unknown = [id for id in ids or () if id not in known]
    if unknown:
        raise ValueError(f"expected ids out of {', '.join(known)}; got {', '.join(unknown)}.")
    chosen = [id for id in known if ids is None or id in ids]
    results = []
    with tqdm(chosen, disable=None if progress else True, leave=False) as bar:
        for id in bar:
            bar.set_description(f"{id}: {known[id].experiment.__name__.replace('_', ' ')}")
            results.append(_found_or_made(id, settings, None if out is None else Path(out)))
    return results


def _found_or_made(id: str, settings: Settings, out: Path | None) -> ClaimResult:
    if out is None:
        return check_claim(id, settings)
    path, made_with = out / "results" / f"{id}.json", describe(id, settings)
    try:
        there = json.loads(path.read_text())
        if there["made with"] == made_with:
            # A note is no result: it may have been rewritten since.
            return from_json(there["result"])._replace(note=registered()[id].note)
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not there, or cut off: measured again
    result = check_claim(id, settings)
    text = json.dumps({"made with": made_with, "result": to_json(result)}, indent=1)
    write_atomically(path, f"{text}\n".encode())
    return result


def describe(id: str, settings: Settings) -> dict[str, Any]:
    """Return what a result depends on."""
    chosen = registered()[id]
    return {
        **settings._asdict(),
        "statement": chosen.statement,
        "rule": chosen.rule,
        "versions": versions(),
    }
