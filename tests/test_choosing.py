"""The page "How to choose a remedy" says what the results say."""

import copy
import importlib
import json
import pathlib
import re
from typing import Any

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parent.parent
PAGE = ROOT / "docs/guides/choosing.md"


@pytest.fixture
def load(monkeypatch):
    """Import one of the benchmark scripts, which are no package."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module


@pytest.fixture
def results(load):
    result = ROOT / "benchmarks/studies/choosing/result.json"
    return load("studies.choosing.evidence").loaded(json.loads(result.read_text()))


def text(load, results):
    page, build = load("studies.choosing.page"), load("studies.build")
    names = page.names_of(load("studies.choosing.evidence").Evidence(results))
    return build.render(ROOT / "benchmarks/studies/choosing/page.md.jinja", vars(page) | names)


def test_page_refuses_what_the_results_do_not_support(load, results):
    others = copy.deepcopy(results)
    for row in others["remedies"]["final"]:
        if (row["experiment"], row["recipe"]) == ("adding 100", "gru+clip"):
            row["steps_to_target"] = "nan"
    with pytest.raises(ValueError, match="do not support this line.*gru"):
        text(load, others)
    others = copy.deepcopy(results)
    for row in others["table"]["rows"]:
        if row["recipe"] == "tanh+layernorm":
            row["solved"] = 4
    with pytest.raises(ValueError, match="do not support"):
        text(load, others)


def test_networks_measured_anew_have_the_gradients_that_the_table_says(load, results):
    evidence = load("studies.choosing.evidence").Evidence(results)
    assert set(evidence.networks) == set(evidence._solved)
    assert str(evidence.solved("irnn+layernorm")) == "3 of 4"
    baselines = [row for row in results["table"]["rows"] if row["role"] == "baseline"]
    assert len(baselines) == 7
    for row in baselines:
        said, found = row["numbers"]["log10_gain"], evidence.decades(row["recipe"])[0]
        # Chaos makes another machine's rounding another trajectory.
        assert abs(found - said["mean"]) < max(0.06, said["standard_error"]), row["recipe"]


def test_recipes_and_causes_on_the_page_exist():
    import vanishing_jax as vj
    from vanishing_jax.diagnostics._interventions import INTERVENTIONS

    text = PAGE.read_text()
    bases = "tanh|relu|irnn|lstm|gru|sigmoid"
    spelled = re.findall(rf"`((?:{bases})(?:\+[^`]+)?)`", text)
    spelled += [f"tanh{parts}" for parts in re.findall(r"`(\+[^`]+)`", text)]
    assert len(set(spelled)) > 15
    for recipe in spelled:
        vj.recipes.parse(recipe)
    for part in re.findall(r"`(forget-bias=\d)`", text):
        vj.recipes.parse(f"lstm+{part}")
    (lines,) = re.findall(r"\| `vj.diagnose` says .*?\n\n", text, re.DOTALL)
    named = re.findall(r"(?<!\*)\*([a-z][^*]+)\*", lines)
    kinds: tuple[Any, ...] = (vj.cells.LSTMCell, vj.cells.GRUCell)
    gates = [gate for kind in kinds for gate in kind.gate_names]
    blamed = {one.blames for one in INTERVENTIONS} | {f"{gate} gate too closed" for gate in gates}
    assert len(named) == 7 and set(named) <= blamed


def test_figure_ranks_by_training_and_shows_every_network(load, results):
    from matplotlib.figure import Figure

    drawing, figure = load("studies.choosing.page"), Figure()
    evidence = load("studies.choosing.evidence").Evidence(results)
    names = drawing.ranked(evidence)
    assert sorted(names) == sorted(evidence.networks)
    shares = [evidence.solved(name).good for name in names]
    assert shares == sorted(shares, reverse=True) and shares[0] == 4
    left, right = figure.subplots(1, 2)
    drawing.draw_gradients(left, evidence, names)
    drawing.draw_solved(right, [evidence.solved(name) for name in names])
    assert [bar.get_width() for bar in right.patches] == shares
    far = [name for name in names if abs(evidence.decades(name)[0]) > drawing.REACH]
    assert len(left.texts) == len(far) and len(left.containers) == len(names) - len(far)
    (first, *_) = left.containers[0].lines[0].get_xdata()
    assert first == pytest.approx(evidence.decades(names[0])[0])


def test_initial_gradients_are_kept_seed_by_seed(load, tmp_path, monkeypatch):
    bench, asked = load("studies.choosing.run"), []

    def measured(plan, recipes, length, folder, progress):
        asked.append((length, len(recipes)))
        return {name: {"log10_gain": [0.5, np.inf]} for name in recipes}

    monkeypatch.setattr(bench, "_measured", measured)
    assert bench.BENCHMARK.main(["--quick", "--out", str(tmp_path / "x.json")]) == 0
    record = json.loads((tmp_path / "x.json").read_text())
    assert asked == [(3, 1), (6, 1)] and record["settings"]["quick"]
    assert record["rows"][1]["log10_gain"] == [0.5, "inf"]
