"""The command, its pages, and going on after an interruption."""

import json
import re

import pytest

from vanishing_jax.cli._main import main
from vanishing_jax.studies import claims


def run(tmp_path, *words):
    with pytest.raises(SystemExit) as stopped:
        main(["claims", "--quick", "--out", str(tmp_path), *words])
    return stopped.value.code


def test_command_writes_pages_and_keeps_finished_claims(tmp_path, capsys, monkeypatch):
    assert run(tmp_path, "--only", "C35d,C34") == 0
    printed = capsys.readouterr().out
    assert "C35d: confirmed. It holds for memory of 100" in printed
    assert "| ? not testable | 1 | C34 |" in printed
    html = (tmp_path / "claims.html").read_text()
    assert "<script" not in html and "http" not in html.split("</style>")[1]
    assert html.count("data:image/png") == 1  # C34 has nothing to draw
    linked, there = (set(re.findall(f'{how}"([^"]+)"', html)) for how in ("href=", " id="))
    assert {"#C34", "#C35d", "#overview"} <= linked
    assert linked - {"data:,"} == {f"#{id}" for id in there}
    markdown = (tmp_path / "claims.md").read_text()
    assert "![C35d: " in markdown and (tmp_path / "claims" / "C35d.png").stat().st_size > 1000
    data = json.loads((tmp_path / "claims.json").read_text())
    assert [one["verdict"] for one in data["claims"]] == ["not testable", "confirmed"]
    assert data["settings"] == {"quick": True, "seed": 0}

    def refuse(claim, settings):
        raise AssertionError(f"{claim.id} was there already")

    monkeypatch.setattr("vanishing_jax.studies.claims._run.check_claim", refuse)
    assert run(tmp_path, "--only", "C35d") == 0  # loaded
    with pytest.raises(AssertionError, match="C35d was there"):
        run(tmp_path, "--only", "C35d", "--seed", "1")  # other settings are measured anew
    (tmp_path / "results" / "C35d.json").write_text("{")
    with pytest.raises(AssertionError, match="C35d was there"):
        run(tmp_path, "--only", "C35d")  # cut off is not finished


def test_unknown_claim_is_refused(tmp_path, capsys):
    assert run(tmp_path, "--only", "C99") == 2
    assert "expected ids out of C1, C2" in capsys.readouterr().err


def test_another_rule_or_statement_is_another_result():
    from vanishing_jax.studies.claims._run import describe

    settings = claims.Settings(quick=True)
    one, other = claims.CLAIMS["C4"], claims.CLAIMS["C5"]
    before = describe(one, settings)
    assert before["rule"] == one.rule
    assert before != describe(other, settings) and before == describe(one, settings)
