import json
import os
import subprocess
import sys
import time

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

CALL = "from vanishing_jax.cli import main; main()"


def call(*arguments):
    """Run the command in this process; return its exit code."""
    from vanishing_jax.cli import main

    with pytest.raises(SystemExit) as stopped:
        main([str(a) for a in arguments])
    return stopped.value.code


@pytest.fixture
def saved(tmp_path):
    """Return a function that saves a cell s' = factor s + x and inputs, and gives the paths."""
    import equinox as eqx

    from vanishing_jax import cells

    def save(factor, steps=24):
        cell = cells.VanillaCell(3, 3, activation="identity", key=jr.key(0))
        cell = eqx.tree_at(lambda c: c.weight_hh, cell, factor * jnp.eye(3))
        cells.save_cell(tmp_path / "cell.safetensors", cell)
        np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(5, steps, 3)))
        return tmp_path / "cell.safetensors", tmp_path / "x.npy"

    return save


@pytest.mark.parametrize(("factor", "code"), [(1.0, 0), (0.5, 3), (2.0, 4)])
def test_exit_code_is_the_verdict(saved, capsys, factor, code):
    file, inputs = saved(factor)
    assert call("diagnose", file, "--inputs", inputs) == code
    verdict = {0: "HEALTHY", 3: "VANISHING", 4: "EXPLODING"}[code]
    assert capsys.readouterr().out.startswith(verdict)


def test_short_sequences_exit_with_inconclusive(saved, capsys):
    file, inputs = saved(0.5, steps=5)
    assert call("diagnose", file, "--inputs", inputs) == 5
    assert "INCONCLUSIVE" in capsys.readouterr().out


def test_the_answer_is_short_and_the_details_are_asked_for(saved, capsys):
    file, inputs = saved(0.5)
    assert call("diagnose", file, "--inputs", inputs) == 3
    short = capsys.readouterr().out
    assert call("diagnose", file, "--inputs", inputs, "--details") == 3
    details = capsys.readouterr().out
    assert len(short.splitlines()) <= 11 and "exponents" not in short
    assert "exponents" in details and "lag 10" in details


@pytest.mark.parametrize("command", ["diagnose", "--version", "--help"])
def test_a_pipe_whose_reader_has_gone_ends_quietly(saved, command):
    words = ["vanishing-jax", command]
    if command == "diagnose":
        file, inputs = saved(0.5)
        words += [str(file), "--inputs", str(inputs)]
    read, write = os.pipe()
    os.close(read)  # as after `| head -1`
    code = f"import sys; sys.argv = {words}; {CALL}"
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, text=True, timeout=120
    )
    os.close(write)
    assert done.returncode == 141  # 128 + SIGPIPE
    assert "rror" not in done.stderr and "Broken" not in done.stderr


def test_json_and_html(saved, tmp_path, capsys):
    file, inputs = saved(0.5)
    html = tmp_path / "deep" / "report.html"
    assert call("diagnose", file, "--inputs", inputs, "--json", "-", "--html", html) == 3
    printed = capsys.readouterr()
    assert json.loads(printed.out)["verdict"] == "vanishing" and "VANISHING" in printed.err
    assert "cell.safetensors" in html.read_text()
    assert call("diagnose", file, "--inputs", inputs, "--json", tmp_path / "d.json") == 3
    assert json.loads((tmp_path / "d.json").read_text())["num_steps"] == 24


def test_torch_weights(tmp_path, capsys):
    import safetensors.numpy

    rng = np.random.default_rng(0)
    weights = {
        "weight_ih_l0": rng.normal(size=(12, 2)), "weight_hh_l0": 0.1 * rng.normal(size=(12, 3)),
        "bias_ih_l0": np.zeros(12), "bias_hh_l0": np.zeros(12),
    }  # fmt: skip
    weights = {name: value.astype(np.float32) for name, value in weights.items()}
    safetensors.numpy.save_file(weights, tmp_path / "model.safetensors")
    np.save(tmp_path / "x.npy", rng.normal(size=(4, 30, 2)))
    options = ["--framework", "torch", "--cell", "lstm", "--inputs", tmp_path / "x.npy"]
    code = call("diagnose", tmp_path / "model.safetensors", *options)
    assert code == 3 and "forget gate" in capsys.readouterr().out


def _archive(path):
    with path.open("wb") as file:
        np.savez(file, a=np.zeros(3))


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda file, x: file.unlink(), "no such file"),
        (lambda file, x: file.write_bytes(b"junk"), "cell.safetensors"),
        (lambda file, x: x.write_bytes(b"junk"), "expected a .npy file"),
        (lambda file, x: np.save(x, np.full((5, 24, 3), np.nan)), "NaN"),
        (lambda file, x: np.save(x, np.zeros((5, 24, 2))), "whose steps fit the cell"),
        (lambda file, x: _archive(x), "archive of several"),
        (lambda file, x: np.save(x, np.zeros((5, 24, 3), complex)), "complex128"),
        (lambda file, x: np.save(x, np.array(["a", "b"])), "expected real numbers"),
    ],
)
def test_bad_files_are_a_usage_error_in_words(saved, capsys, break_it, message):
    file, inputs = saved(0.5)
    break_it(file, inputs)
    assert call("diagnose", file, "--inputs", inputs) == 2
    printed = capsys.readouterr()
    assert message in printed.err and "Traceback" not in printed.err and printed.out == ""


def test_options_for_another_framework_are_not_ignored(saved, capsys):
    file, inputs = saved(0.5)
    assert call("diagnose", file, "--inputs", inputs, "--cell", "gru") == 2
    assert "files of other frameworks" in capsys.readouterr().err


def test_unknown_arguments_exit_with_usage(capsys):
    assert call("diagnose") == 2
    assert call("dance") == 2
    capsys.readouterr()


@pytest.mark.parametrize("command", [[], ["diagnose"]])
def test_help_is_quick_and_imports_nothing_heavy(command):
    words = ["vanishing-jax", *command, "--help"]
    code = f"import sys; sys.argv = {words}\ntry:\n    {CALL}\nfinally:\n    "
    code = (
        code.replace("; main()", "\n    main()")
        + "print(sorted({'jax', 'numpy'} & set(sys.modules)))"
    )
    begin = time.monotonic()
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "diagnose" in out.stdout and out.stdout.rstrip().endswith("[]")
    assert time.monotonic() - begin < 10  # the promise is 0.5 s; this only catches a heavy import


def test_version(capsys):
    import vanishing_jax

    assert call("--version") == 0
    assert capsys.readouterr().out == f"vanishing-jax {vanishing_jax.__version__}\n"


@pytest.fixture
def small_demo(monkeypatch):
    """Let the demo's networks have the state sizes of other tests: fewer programs to compile."""
    import vanishing_jax.cli._demo as demo

    monkeypatch.setattr(demo, "_HIDDEN", 3)
    return demo


@pytest.mark.slow
def test_interrupted_demo_leaves_what_was_finished(small_demo, tmp_path, capsys, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(small_demo, "train", interrupt)
    assert call("demo", "--out", tmp_path, "--steps", 20) == 130
    assert "interrupted; 1 of 4 diagnoses finished" in capsys.readouterr().out
    assert "before training" in (tmp_path / "report.html").read_text()


@pytest.mark.slow
def test_table_is_written_and_goes_on_from_its_runs(tmp_path, capsys, monkeypatch):
    import vanishing_jax.cli._table as table
    from vanishing_jax.comparison import _compare
    from vanishing_jax.studies.table import Cause, Context

    row = Cause("Activation", "decay", "other", "", "decay", (Context("sigmoid", ("tanh",), ()),))
    monkeypatch.setattr(table, "CAUSES", (row,))
    sizes = ["--length", 6, "--hidden-size", 3, "--steps", 2, "--seeds", 2]
    assert call("table", "--quick", "--out", tmp_path, *sizes) == 0
    printed = capsys.readouterr().out
    assert "| Activation: `sigmoid` 0/2 | \u2714 decay" in printed and "`tanh` 0/2" in printed
    for name in ("table.nc", "table.json", "table.md", "table.html"):
        assert str(tmp_path / name) in printed and (tmp_path / name).stat().st_size > 1000
    assert "3 units a layer, 2 seeds, at most 2 updates" in (tmp_path / "table.md").read_text()
    monkeypatch.setattr(_compare, "train_seeds", None)
    assert call("table", "--quick", "--out", tmp_path, *sizes) == 0
    assert call("table", "--quick", "--out", tmp_path, *sizes[:-2], "--steps", 3) == 2
    assert "steps: there 2; here 3" in capsys.readouterr().err
