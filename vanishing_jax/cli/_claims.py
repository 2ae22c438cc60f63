"""`vanishing-jax claims`: the article's claims, put to the test."""

import pathlib

from ..studies.claims import Settings, run_claims
from ..studies.claims._pages import claims_table, write_claims


def run_claims_command(out: pathlib.Path, *, quick: bool, seed: int, only: str | None) -> int:
    """Test the claims, write the pages and print the summary; return the exit code."""
    settings = Settings(quick=quick, seed=seed)
    ids = None if only is None else [id.strip() for id in only.split(",") if id.strip()]
    results = run_claims(ids, settings=settings, out=out)
    paths = write_claims(out, results, settings=settings)
    for result in results:
        print(f"{result.id}: {result.verdict}. {result.why}")
    print(f"\n{claims_table(results)}")
    for path in paths:
        print(path)
    return 0
