import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time

import jax.random as jr
import pytest
import tyro
import xarray as xr

import vanishing_jax as vj
from vanishing_jax.cli._compare import Compare, aligned
from vanishing_jax.comparison import _compare

from .test_cli import CALL, call

pytestmark = pytest.mark.slow  # trains, draws and starts a process; once is enough
RECIPES = "tanh+sgd, tanh+sgd+lr=0.2"  # one program for both
SETTINGS = (
    "--task adding --length 5 --seeds 2 --steps 4 --batch-size 4 --hidden-size 3 --record-every 2 "
    "--num-test 10 --seed 7"
).split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("compared") / "adding"


@pytest.fixture(scope="module", autouse=True)
def finished(folder):
    """Compare once; what the other tests do with the folder trains nothing."""
    assert call("compare", "--recipes", RECIPES, *SETTINGS, "--out", folder) == 0


def test_everything_is_written_and_loaded_again(folder, capsys, monkeypatch):
    def refuse(*arguments):
        raise AssertionError("finished seeds must not be trained again")

    before = (folder / "table.md").read_text()
    for name in ("comparison.nc", "table.md", "report.html", "learning_curves.png"):
        (folder / name).unlink()
    monkeypatch.setattr(_compare, "train_seeds", refuse)
    assert call("compare", "--recipes", RECIPES, *SETTINGS, "--out", folder) == 0
    printed = capsys.readouterr()
    assert printed.out == (folder / "table.md").read_text() == before
    for name in ("comparison.nc", "table.md", "report.html", "gradient_history_tanh-sgd.png"):
        assert name in printed.err and (folder / name).stat().st_size > 100
    ds = xr.load_dataset(folder / "comparison.nc", engine="h5netcdf")
    assert list(ds.recipe.values) == ["tanh+sgd", "tanh+sgd+lr=0.2"]
    assert printed.out == aligned(vj.comparison_table(ds)) + "\n"


def test_it_is_what_compare_returns(folder):
    ds = vj.compare(
        ["tanh+sgd"], "adding", length=5, seeds=2, steps=4, batch_size=4, hidden_size=3,
        record_every=2, num_test=10, record=["gradient_profile"], progress=False, key=jr.key(7),
    )  # fmt: skip
    saved = xr.load_dataset(folder / "comparison.nc", engine="h5netcdf")
    for name in ("loss", "gradient_profile", "test_loss"):
        xr.testing.assert_allclose(ds[name], saved[name].sel(recipe=["tanh+sgd"]))


def test_the_command_on_the_page_repeats_it(folder):
    page = (folder / "report.html").read_text()
    (line,) = [x for x in page.splitlines() if x.startswith("<pre>")]
    words = shlex.split(line.removeprefix("<pre>").removesuffix("</pre>").replace("&#39;", "'"))
    assert words[:2] == ["vanishing-jax", "compare"]
    given = tyro.cli(Compare, args=["--recipes", RECIPES, *SETTINGS, "--out", str(folder)])
    assert tyro.cli(Compare, args=words[2:]) == given
    rest = ["--target", "loss < 1", "--checkpoint", "--learning-rate", "0.1", "--path", "a b"]
    other = tyro.cli(Compare, args=[*words[2:], *rest])
    assert tyro.cli(Compare, args=shlex.split(other.command_line())[2:]) == other


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--recipes", "tanh,irn"], "Nearest: 'irnn'"),
        (["--recipes", ","], "at least one recipe"),
        (["--task", "ading"], "Did you mean 'adding'"),
        (["--task", "mnist"], "'mnist' has the length of its data"),
        (["--path", "x.npz"], "'adding' has no option path"),
        (["--record", "clipp"], "expected `record` out of"),
        (["--target", "accuracy > 1"], "'loss < 0.01' or 'metric > 0.9'"),
        (["--seeds", "0"], "at least 1"),
        (["--steps", "5"], "steps: there 4; here 5"),
        (["--seed", "8"], "key: there"),
    ],
)
def test_what_cannot_be_is_a_usage_error_in_words(folder, capsys, changes, message):
    arguments = ["--recipes", "tanh+sgd", *SETTINGS, "--out", folder, *changes]
    assert call("compare", *arguments) == 2
    printed = capsys.readouterr()
    assert message in printed.err and "Traceback" not in printed.err and printed.out == ""


def test_interrupted_prints_what_is_finished_and_how_to_go_on(
    folder, capsys, monkeypatch, tmp_path
):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(_compare, "train_seeds", interrupt)
    arguments = ["--recipes", "tanh+sgd,gru", *SETTINGS]
    assert call("compare", *arguments, "--out", folder) == 130
    printed = capsys.readouterr()
    assert "; interrupted\n" in printed.out and "| tanh+sgd |" in printed.out
    assert "1 of 2 recipes finished" in printed.err
    assert (
        f"to go on: vanishing-jax compare --recipes tanh+sgd,gru --task adding --out {folder}"
        in (printed.err)
    )
    assert "Interrupted:" in (folder / "report.html").read_text()
    assert call("compare", *arguments, "--out", tmp_path) == 130
    printed = capsys.readouterr()
    assert printed.out == "" and "interrupted before any recipe was finished" in printed.err
    assert "to go on: vanishing-jax compare" in printed.err


def test_ctrl_c_while_compiling_exits_with_its_code(folder, tmp_path):
    """Python ends without the crash that jaxlib leaves behind."""
    endless = ["--steps", "1000000000"]
    command = ["compare", "--recipes", "gru", *SETTINGS, *endless, "--out", str(tmp_path)]
    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    # A test suite in the background of a shell ignores Ctrl-C, and its children would too.
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    process = subprocess.Popen(
        [sys.executable, "-c", heeding + CALL, *command],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        cwd=pathlib.Path(__file__).parents[2],
    )  # fmt: skip
    try:
        while not (tmp_path / "settings.json").exists():
            time.sleep(0.05)
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert out == "" and "to go on: vanishing-jax compare --recipes gru" in err


def test_help_lists_recipes_and_tasks(capsys):
    assert call("compare", "--help") == 0
    printed = " ".join(capsys.readouterr().out.split())
    for names in (
        vj.recipes.names(),
        vj.recipes.parts(),
        ("permuted digits", "3-bit temporal order"),
    ):
        assert all(name in printed for name in names)
    assert call("diagnose", "--help") == 0
    assert "permuted digits" not in capsys.readouterr().out


def test_aligned_keeps_the_words():
    text = "title\n\n| a | bb |\n| --- | --- |\n| ccccc | d |"
    padded = "title\n\n| a     | bb  |\n| ---   | --- |\n| ccccc | d   |"
    assert aligned(text) == padded
