"""The table that is shown says what the committed results say."""

import pathlib

import pytest

from vanishing_jax.studies.table._content import table_content
from vanishing_jax.studies.table._data import read_table
from vanishing_jax.studies.table._grid import CAUSES, EFFECTS, rows_of
from vanishing_jax.studies.table._pages import _compact
from vanishing_jax.studies.table._rules import rules

ROOT = pathlib.Path(__file__).parents[3]
SHOWN = ROOT / "docs/findings/table.md"


@pytest.fixture(scope="module")
def committed():
    return read_table(ROOT / "benchmarks" / "results" / "table.json")


def test_committed_results_are_of_the_table_as_it_is(committed):
    settings = committed["settings"]
    rows = [(r.cause.name, r.role, r.recipe, r.length) for r in rows_of(CAUSES, settings["length"])]
    names = ("cause", "role", "recipe", "length")
    assert [tuple(row[name] for name in names) for row in committed["rows"]] == rows
    assert committed["rules"] == rules(settings["seeds"]) and committed["effects"] == EFFECTS


def test_table_that_is_shown_is_made_from_them(committed):
    content = table_content(committed)
    shown = SHOWN.read_text()
    assert "\n".join(_compact(content)) in shown
    mitigations = content["score"].partition("Mitigations")[2]
    assert mitigations in " ".join(shown.split())
