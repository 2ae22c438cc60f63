"""`vanishing-jax claims`: the article's claims, put to the test."""

from typing import TYPE_CHECKING

from ..studies.claims import Settings, run_claims
from ..studies.claims._pages import claims_table, write_claims

if TYPE_CHECKING:
    from ._main import Claims


def run(command: "Claims") -> int:
    """Test the claims, write the pages and print the summary; return the exit code."""
    settings = Settings(quick=command.quick, seed=command.seed)
    only = command.only
    ids = None if only is None else [id.strip() for id in only.split(",") if id.strip()]
    results = run_claims(ids, settings=settings, out=command.out)
    paths = write_claims(command.out, results, settings=settings)
    for result in results:
        print(f"{result.id}: {result.verdict}. {result.why}")
    print(f"\n{claims_table(results)}")
    print(*paths, sep="\n")
    return 0
