"""docs/findings/claims.md and docs/findings/index.md say what the committed results say."""

import json
import pathlib

import pytest

from vanishing_jax.studies import claims
from vanishing_jax.studies.claims._pages import claims_markdown, claims_table
from vanishing_jax.studies.claims._result import from_json

ROOT = pathlib.Path(__file__).parents[3]
HIGHLIGHTS = ("C1", "C2", "C4", "C7", "C19", "C21", "C31")


@pytest.fixture(scope="module")
def committed():
    data = json.loads((ROOT / "benchmarks" / "results" / "claims.json").read_text())
    return claims.Settings(**data["settings"]), data["claims"]


def test_committed_results_are_of_the_claims_as_they_are(committed):
    _, found = committed
    assert [one["id"] for one in found] == list(claims.CLAIMS)
    for one in found:
        assert one["statement"] == claims.CLAIMS[one["id"]].statement
        assert one["verdict"] == from_json(one).verdict and one["why"] == from_json(one).why


def test_pages_are_made_from_the_committed_results(committed):
    settings, found = committed
    results = [from_json(one) for one in found]
    page = (ROOT / "docs" / "findings" / "claims.md").read_text()
    assert page == claims_markdown(results, settings=settings)
    short = (ROOT / "docs" / "findings" / "index.md").read_text()
    assert claims_table(results, highlights=HIGHLIGHTS) in short
    assert ("vanishing-jax claims --quick" in short) == settings.quick


def test_figures_of_the_page_are_there(committed):
    for one in committed[1]:
        figure = ROOT / "docs" / "findings" / "claims" / f"{one['id']}.png"
        assert figure.exists() == bool(one["findings"]), figure
