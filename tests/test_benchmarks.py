"""The benchmarks run at toy size, and what they compare with is right."""

import importlib
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from . import helpers

FOLDER = pathlib.Path(__file__).parent.parent / "benchmarks"
STUDIES = {"choosing", "depth", "mean_field", "phase", "remedies"}


def read(path):
    return json.loads(path.read_text())


@pytest.fixture
def load(monkeypatch):
    """Import one of the benchmark scripts, which are no package."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


@pytest.fixture
def run(load, tmp_path):
    """Return a function that runs a script at toy size and returns what it wrote."""

    def run(script, *arguments):
        out = tmp_path / "results" / "out.json"
        assert load(script).BENCHMARK.main(["--quick", *arguments, "--out", str(out)]) == 0
        return read(out)

    return run


@pytest.fixture
def study_page(load, tmp_path):
    """Return a function that makes the page of a study and draws its figures."""

    def page(name, result):
        module = load(f"studies.{name}.page")
        module.draw(result, tmp_path)
        figures = list(tmp_path.glob("*.png"))
        assert figures and all(path.stat().st_size > 1000 for path in figures)
        text = load("studies.build").text(name, result)
        assert "Toy sizes" in text
        return text

    return page


# --- exact references -------------------------------------------------------------------------


@pytest.fixture
def exact(load):
    pytest.importorskip("flint")
    return load("_exact")


def test_exact_reference_on_closed_forms(exact):
    # Rotations by quarter turns are exact in floats: the product is 2^-60 times a known diagonal.
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    stretch = np.diag([2.0**-1, 2.0**-1023])
    logs = exact.exact_log_singular_values(np.stack([stretch, turn] * 4))
    np.testing.assert_allclose(logs, np.log(2) * np.full(2, -2 * 1024), rtol=1e-15)
    logs = exact.exact_log_singular_values(np.stack([stretch] * 4))
    np.testing.assert_allclose(logs, np.log(2) * np.array([-4, -4 * 1023]), rtol=1e-15)


@pytest.mark.parametrize("family", ["tanh, gain 12", "relu", "relu first", "jordan", "orthogonal"])
def test_exact_reference_agrees_with_high_precision(exact, family):
    jacobians = helpers.FAMILIES[family](np.random.default_rng(0), 4, 12)
    expected = helpers.exact_log_singular_values(jacobians, 900)
    found = exact.exact_log_singular_values(jacobians)
    assert np.array_equal(np.isneginf(found), np.isneginf(expected))
    finite = np.isfinite(expected)
    np.testing.assert_allclose(found[finite], expected[finite], rtol=1e-15, atol=1e-15)


def test_exact_lags_share_their_factors(exact):
    jacobians = helpers.ginibre_chain(np.random.default_rng(1), 3, 9)
    at = list(exact.exact_log_singular_values_at(jacobians, [0, 4, 9]))
    assert np.array_equal(at[0], np.zeros(3))
    for lag, logs in zip([4, 9], at[1:], strict=True):
        assert np.array_equal(logs, exact.exact_log_singular_values(jacobians[:lag]))


def test_exact_growth_is_that_of_a_qr_loop(exact):
    jacobians = helpers.ginibre_chain(np.random.default_rng(2), 4, 15)
    start = np.linalg.qr(np.random.default_rng(3).standard_normal((4, 4)))[0]
    Q, total = start, np.zeros(4)
    for J in jacobians:
        Q, R = np.linalg.qr(J @ Q)
        total += np.log(np.abs(np.diagonal(R)))
    np.testing.assert_allclose(exact.exact_log_growth(jacobians, start), total, atol=1e-12)
    jacobians[3, :, 1] = jacobians[3, :, 0]  # one more dependent column: rank 3
    growth = exact.exact_log_growth(jacobians, start)
    assert np.isneginf(growth).tolist() == [False, False, False, True]


def test_exact_determinants(exact):
    jacobians = np.stack([[[0.0, 3.0], [5.0, 1e-300]], np.ones((2, 2)), 1e-200 * np.eye(2)])
    expected = [np.log(15), -np.inf, 2 * np.log(1e-200)]
    np.testing.assert_allclose(exact.exact_log_determinants(jacobians), expected, rtol=1e-15)


# --- chains -----------------------------------------------------------------------------------


def test_every_family_gives_a_chain(load):
    chains = load("_chains")
    for name, family in chains.FAMILIES.items():
        chain = family(np.random.default_rng(0), 4, 5)
        assert chain.shape == (5, 4, 4) and np.isfinite(chain).all(), name
    assert set(chains.FAMILIES) > chains.ILL_CONDITIONED
    with pytest.raises(ValueError, match="even state size"):
        chains.lstm_network(np.random.default_rng(0), 5, 2)


def test_jacobians_written_by_hand_are_derivatives(load):
    chains, rng = load("_chains"), np.random.default_rng(4)
    h = 3
    W, drive = rng.standard_normal((4, h, h)), rng.standard_normal((4, h))

    def lstm(state):
        return chains.lstm_step(W, W @ state[:h] + drive, state[h:])

    def gru(state):
        return chains.gru_step(W[:3], drive[:3], state)

    for step, n in ((lstm, 2 * h), (gru, h)):
        state = rng.standard_normal(n)
        shifts = 1e-6 * np.eye(n)
        ends = [np.concatenate([np.ravel(x) for x in step(state + s)[1:]]) for s in shifts]
        starts = [np.concatenate([np.ravel(x) for x in step(state - s)[1:]]) for s in shifts]
        derivative = (np.array(ends) - np.array(starts)).T / 2e-6
        np.testing.assert_allclose(step(state)[0], derivative, atol=1e-8)


# --- timing -----------------------------------------------------------------------------------


def test_alternatives_are_timed_in_turn(load):
    timing, now, calls = load("_timing"), [0.0], []

    def alternative(name, seconds):
        def call():
            calls.append(name)
            now[0] += seconds

        return call

    functions = {"slow": alternative("slow", 3.0), "fast": alternative("fast", 1.0)}
    found = timing.measure(functions, rounds=4, read=lambda: now[0])
    assert calls[4:] == ["slow", "fast", "fast", "slow"] * 2
    ratio = timing.ratio(found["slow"], found["fast"])
    assert ratio == {"median": 3.0, "quartiles": [3.0, 3.0]}
    assert found["slow"].summary()["seconds_median"] == 3.0


def test_record_names_no_path_and_is_plain_json(load, tmp_path, monkeypatch):
    record = load("_record")
    script = str(tmp_path / "somewhere" / "bench_spectrum.py")
    monkeypatch.setattr(
        "sys.argv", [script, "--out", str(tmp_path / "x.json"), "--quick", f"--cache={tmp_path}"]
    )
    rows = [{"value": np.float64(np.inf), "list": np.arange(2), "nothing": None}]
    record.write(tmp_path / "x.json", "spectrum", {}, rows=rows)
    text = (tmp_path / "x.json").read_text()
    written = json.loads(text)
    assert written["command"] == "python benchmarks/bench_spectrum.py --quick"
    assert written["rows"] == [{"value": "inf", "list": [0, 1], "nothing": None}]
    assert str(tmp_path) not in text


# --- scripts ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_speed_and_accuracy_run_at_toy_size_and_make_a_page(load, run, tmp_path):
    pytest.importorskip("flint")
    page = load("make_readme").page
    groups = ["--only", "top exponent,every lag", "--sizes", "4", "--top-size", "4"]
    result = run("bench_spectrum", *groups)
    checked = [row["check"] for row in result["rows"] if row["role"] == "ours"]
    assert len(checked) == 2 and all(check["passed"] for check in checked)
    assert "**spectrum at every lag**" in page("spectrum", result)
    few = "--sizes 4 --families Ginibre;ReLU --chains 4 --lags 10 --long 10".split()
    result = run("bench_accuracy", *few)
    assert max(row["max_error"] for row in result["grid"]) < 1e-6
    assert all(row["zeros_right"] and not row["violations"] for row in result["grid"])
    assert "Ginibre" in page("accuracy", result)
    load("pages.accuracy").draw(result, tmp_path)
    assert (tmp_path / "error_and_bound.png").stat().st_size > 1000


def test_a_first_call_is_timed_in_a_fresh_process(load, monkeypatch):
    pytest.importorskip("flint")
    speed, commands = load("bench_spectrum"), []

    def instead(command):
        commands.append(command)
        return json.dumps({"seconds": 3.0 if "recipe" in command[-1] else 2.0}), 1.0

    monkeypatch.setattr(speed._timing, "in_a_process", instead)
    case = speed.Case("first call", "lstm", 16, 1, 64)
    rows = {row["method"]: row for row in speed.first_calls(case, 2, 0.25)}
    assert rows["spectrum"]["ratios"][speed.RECIPES[0].name]["median"] == 1.5
    assert [command[-1] for command in commands] == [*rows, *reversed(rows)]
    options = speed.BENCHMARK.parse(commands[2][1:])
    assert (options.first_call, options.cells, options.sizes) == ("spectrum", ["lstm"], [16])


def test_targets_say_how_many_cases_meet_them(load):
    targets = load("pages.spectrum")

    def row(method, seconds, **ratios):
        ratios = {name: {"median": x} for name, x in ratios.items()}
        case = {"group": "one trajectory", "cell": "lstm", "n": 16, "batch": 1}
        return case | {"method": method, "seconds_median": seconds, "ratios": ratios}

    fast, slow = targets.RECIPES
    rows = [row(fast, 1.0), row(slow, 2.0), row("spectrum", 0.5, **{fast: 2.0, slow: 4.0})]
    rows.append(row("exponents", 1.25, **{fast: 0.8, slow: 1.6}))
    text = targets.found({"rows": rows})
    assert (
        "| 16 | times faster, ≥ 0.9 | faster QR recipe | 2.00 (lstm, n = 16) | 2.00 | yes |" in text
    )
    assert "| 0.80 (lstm, n = 16) | 0.80 | 0 of 1 |" in text
    assert "| all singular values | 64 | times faster, ≥ 1.6 | not measured |" in text


@pytest.mark.slow
def test_first_answers_are_measured_in_fresh_processes(load, run):
    result = run("bench_first_answer")
    network, command = result["rows"]
    assert 0 < network["warm_gradient_seconds"] < network["first_gradient_seconds"]
    assert network["first_ratio"]["median"] > 1 and network["peak_gb"] > 0.05
    assert command["case"].startswith("vanishing-jax") and command["second_call_seconds"] > 0
    page = load("make_readme").page("first_answer", result)
    assert "Toy sizes" in page and "`vanishing-jax diagnose`, LSTM" in page


def test_what_first_answers_compare_is_one_network(load):
    """The gradient written in JAX, and the package's rollout of the cell that is diagnosed."""
    import vanishing_jax as vj

    module = load("_first_answer")
    case = module.Case("lstm", 3, 2, 5)
    (weights,), data = module._weights(case), module._data(case)
    value, gradients = module.gradient(case)()
    cell = vj.FunctionCell(module._step(case.kind), weights)
    runs = [vj.rollout(cell, module._state0(case), x).states for x in data]
    expected = np.mean([states[0][-1] for states in runs])
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert jax.tree.map(np.shape, gradients) == [tuple(w.shape for w in weights)]


def test_imports_are_timed_in_fresh_processes(run):
    jax_alone, equinox, package = run("bench_import")["rows"]
    assert jax_alone["ratio"] == {"median": 1.0, "quartiles": [1.0, 1.0]}
    # The package by itself is as good as an empty process; Equinox imports JAX.
    assert package["ratio"]["median"] < 0.5 < equinox["ratio"]["median"]
    assert package["rounds"] == equinox["rounds"] == 1


@pytest.mark.slow
def test_training_runs_at_toy_size_and_makes_a_page(load, run):
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        result = run("bench_training", "--cells", "tanh")
    rows = {row["method"]: row for row in result["rows"]}
    for name in ("vanishing_jax", "plain scan"):
        assert rows[name]["difference"] < 1e-5 and rows[name]["seconds_median"] > 0
    page = load("make_readme").page("training", result)
    assert "**vanishing_jax**" in page and "against the plain scan, median" in page


@pytest.mark.slow
def test_parallel_scan_runs_at_toy_size(run):
    result = run("bench_associative", "--rounds", "2", "--cells", "LRUCell")
    assert [row["quantity"] for row in result["rows"]] == ["states", "gradient"]
    for row in result["rows"]:
        assert 0 <= row["difference"] < 1e-5 and row["ratio"]["median"] > 0
    assert result["versions"] and result["machine"]["cpu"]


def test_alternatives_of_other_weights_are_found_out(load):
    bench = load("bench_training")
    gradient = {"weight_hh": np.ones((2, 2))}
    right = bench.Step(None, 1.0, gradient, None)
    wrong = bench.Step(None, 1.0, {"weight_hh": np.array([[1.0, 1.0], [1.0, 1.5]])}, None)
    assert bench.difference(right, right) == 0 and bench.difference(wrong, right) == 0.5


def test_a_tool_is_compared_with_its_own_exact_sums(load):
    pytest.importorskip("flint")
    peers, p = load("bench_peers"), load("_forced").network("tanh 12", 4, 8)
    (tool,) = (tool for tool in peers.TOOLS if tool.name == "NumPy QR loop")
    truth, log_det = load("_exact").exact_log_singular_values(p.jacobians), 0.0
    row = peers.errors(tool, p, p.num_steps * tool.make(p)(), truth, log_det)
    assert row["own_error"] < 1e-9 and row["zeros"] == row["zeros_found"] == 0
    assert row["off_from_singular_values"] > 0.1  # another quantity


def test_a_missing_package_is_a_row_that_says_so(load):
    row = {}
    assert load("_main").attempt(row, lambda: importlib.import_module("no_such_package")) is None
    assert row["error"].startswith("not installed")


# --- studies ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_mean_field_is_measured_at_toy_size_and_makes_a_page(load, run, study_page, monkeypatch):
    bench = load("studies.mean_field.run")

    def quick(*arguments):  # the normalized cells take 10 s to compile, and have their own tests
        return float(np.sin(np.sum(jax.random.key_data(arguments[-1]) % 1000)))

    for name in ("layer_norm_growth", "batch_norm_growth"):
        monkeypatch.setattr(bench, name, quick)
    result = run("studies.mean_field.run")
    assert [len(result[part]) for part in bench.PARTS[:3]] == [4, 4, 2]
    assert len(result["wide"]) == sum(
        abs(row["full"]["measured"] - row["predicted"]) > bench.TARGET for row in result["plain"]
    )
    assert all(np.isfinite(row["measured"]) for row in result["short"] + result["normalized"])
    study_page("mean_field", result)


def test_growth_of_the_mean_field_benchmark_is_that_of_the_jacobians(load):
    import vanishing_jax as vj

    bench = load("studies.mean_field.run")
    W, v = np.array([[0.5, 1.0], [-0.2, 0.1]]), np.array([0.6, 0.8])
    inputs = np.array([[0.3, 0.1], [-0.2, 0.4], [0.1, 0.9]])
    with jax.enable_x64(True):
        cell = vj.FunctionCell(lambda W, h, u: jnp.tanh(W @ h + u), jnp.asarray(W))
        found = bench.growth(cell, jnp.zeros(2), jnp.asarray(inputs), jnp.asarray(5 * v), 1)
    h = np.zeros(2)
    for t, u in enumerate(inputs):
        h = np.tanh(W @ h + u)
        v = v if t == 0 else (1 - h**2) * (W @ v)
    np.testing.assert_allclose(found, np.log(np.linalg.norm(v)) / 2, rtol=1e-12)


def test_phase_study_makes_its_section_and_figures(load, run, study_page, monkeypatch):
    from .plots import fakes

    bench, page, seen = load("studies.phase.run"), load("studies.phase.page"), []

    def instead(make):  # the maps have their own tests; compiling them takes 8 s
        return lambda **given: seen.append(given) or make()

    monkeypatch.setattr(bench.vj, "phase_diagram", instead(fakes.phase), raising=False)
    monkeypatch.setattr(bench.vj, "trainability_map", instead(fakes.trainability), raising=False)
    monkeypatch.setattr(page, "_DPI", 20)
    result = run("studies.phase.run")
    assert [len(given["gains"]) for given in seen] == [3, 2, 2]
    text = study_page("phase", result)
    assert "| 0.1 | 1.105 |" in text  # e^0.1: the fakes' critical gain
    assert "| 1.2 | > 32 |" in text and "| 2 | < 2 |" in text
    again, expected = page.dataset(result["phase"]), fakes.phase()
    np.testing.assert_allclose(again.exponent, expected.exponent, rtol=1e-5)
    np.testing.assert_array_equal(np.isinf(again.horizon), np.isinf(expected.horizon))


def test_rate_is_the_best_of_all_seeds_and_one_that_diverged_rules_it_out(load):
    losses = {1e-3: (0.4, 0.2), 3e-3: (0.1, float("nan")), 1e-2: (0.1, 0.3), 3e-2: (0.5, 0.0)}
    rows = [{"learning_rate": r, "test_loss": x} for r, pair in losses.items() for x in pair]
    assert load("studies.remedies.run").best_rate(rows) == 1e-2


def test_rates_of_digits_are_chosen_without_the_reported_images(load):
    one = next(x for x in load("studies.remedies.experiments").EXPERIMENTS if x.task == "digits")
    task, tuning = one.build_task(), one.build_tuning_task()
    assert len(tuning.train_targets) + len(tuning.test_targets) == len(task.train_targets)
    both = np.concatenate([tuning.train_inputs, tuning.test_inputs])
    assert np.array_equal(both, task.train_inputs)


def test_verdicts_count_seeds(load):
    plan, page = load("studies.remedies.experiments"), load("studies.remedies.page")

    def verdict(expected, **scores):
        score = getattr(expected, "score", "test_metric")
        rows = [
            {"experiment": "x", "recipe": recipe, score: value}
            for recipe, values in scores.items()
            for value in values
        ]
        return page.verdict(expected, "x", {"final": rows})

    low = plan.Claim("low", "gru", "test_loss", "<", 0.1, share=0.8)
    four, three = [0.01, 0.02, 0.03, 0.04, 0.5], [0.01, 0.02, 0.03, "nan", 0.5]
    assert verdict(low, gru=four) == ("yes", "4 of 5 seeds; 0.01 to 0.5")
    assert verdict(low, gru=three) == ("no", "3 of 5 seeds; 0.01 to 0.5; 1 without a value")
    assert verdict(low._replace(fails=True), gru=three)[0] == "yes"
    assert verdict(low._replace(sign=">"), gru=[0.2, "nan"])[0] == "no"
    assert verdict(low, lstm=four)[0] == "not run yet"
    assert verdict(low, gru=[1.7e34, 0.5])[1] == "0 of 2 seeds; 0.5 to 1.7e+34"
    assert page._cell(1.7e34) == "1.7e+34" and page._cell(1450.0) == "1450"
    order = plan.Order("gru first", "gru", "lstm")
    assert verdict(order, gru=[0.5, 0.6], lstm=[0.4, 0.3])[0] == "yes"
    assert verdict(order, gru=[0.5, 0.6], lstm=[0.4, 0.5])[1].startswith("3 of 4 pairs")


@pytest.mark.slow
def test_remedies_go_on_and_make_a_page(load, run, study_page, tmp_path, monkeypatch):
    bench = load("studies.remedies.run")
    one = next(one for one in bench.EXPERIMENTS if one.name == "copy 50")
    two = one._replace(recipes=("tanh+clip", "linear+orthogonal+lr=0.1"))
    monkeypatch.setattr(bench, "EXPERIMENTS", [two])
    first = run("studies.remedies.run", "--runs", str(tmp_path / "runs"))
    assert [len(first[key]) for key in ("tuning", "final", "curves")] == [4, 4, 4]
    assert all(np.isfinite(row["test_loss"]) for row in first["final"])
    again = run("studies.remedies.run", "--runs", str(tmp_path / "runs"))  # loads all, the cost too
    for key in ("experiments", "tuning", "final", "curves", "why"):
        assert again[key] == first[key]
    text = study_page("remedies", again)
    assert "`linear+orthogonal+lr=0.1`" in text and "not run yet" in text
    assert "| singular values of W held within 0.01 of 1 |" in text


def test_growth_and_its_limit_in_closed_form(load):
    bench = load("studies.depth.run")
    # log norms that rise by 0.3 and by 0.5 per layer toward the input, transients at both ends
    profiles = -np.array([[0.3], [0.5]]) * np.arange(17.0)
    profiles[:, :4] += 7.0
    profiles[:, 15:] -= 7.0
    found = bench.growth(profiles)
    assert found["nats"] == pytest.approx(0.8) and found["nats_error"] == pytest.approx(0.2)
    x, error = np.array([0.1, 0.2, 0.4]), np.array([0.1, 0.1, 0.2])
    value, spread, chi2 = bench.at_zero([x], 2.0 - 3.0 * x, error)
    assert value == pytest.approx(2.0) and chi2 == pytest.approx(0.0, abs=1e-20)
    lines = np.polynomial.polynomial.polyfit(x, np.eye(3), 1, w=1 / error)
    assert spread == pytest.approx(np.linalg.norm(lines[0] * error))


@pytest.mark.slow
def test_depth_runs_at_toy_size_and_makes_a_page(run, study_page):
    names = "ReLU, batch norm;transformer, pre-norm"
    result = run("studies.depth.run", "--only", names, "--sizes", "")
    rows = {row["network"]: row for row in result["rows"]}
    assert 1.2 < rows["ReLU, batch norm"]["factor"] < 1.8  # 1.47 at any size that says something
    assert rows["transformer, pre-norm"]["factor"] > 0.9
    text = study_page("depth", result)
    assert "| ReLU, batch norm |" in text and "per block" in text


# --- pages ------------------------------------------------------------------------------------


def test_committed_pages_are_made_from_the_committed_results(load):
    build = load("studies.build")
    assert STUDIES == set(build.NAMES) == set(build.TARGETS)
    for path, text in load("make_readme").pages().items():
        assert path.read_text() == text, f"{path.name}: run python benchmarks/make_readme.py"


def test_a_study_is_found_by_its_name(load, capsys):
    study = load("study")
    assert study.main(["no such"]) == 2 and "{choosing,depth," in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        study.main(["depth", "--help"])
    assert ended.value.code == 0 and "--width" in capsys.readouterr().out


def test_every_import_is_measured_and_right(load):
    rows = read(FOLDER / "results" / "imports.json")["rows"]
    assert [row["framework"] for row in rows] == [case[0] for case in load("bench_imports").CASES]
    for row in rows:
        errors = [row[name] for name in ("forward", "inputs", "state", "weights") if name in row]
        assert max(errors) < 1e-6, row
