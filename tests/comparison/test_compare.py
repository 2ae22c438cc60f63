import os
import pathlib
import shutil
import signal
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import xarray as xr

import vanishing_jax as vj
from vanishing_jax.comparison import _compare, _seeds
from vanishing_jax.comparison._result import joined, run_dataset
from vanishing_jax.training import History, evaluate
from vanishing_jax.training._savepoints import Savepoints

from ..training.small import FirstSign

KEY, RECIPES = jr.key(3), ["tanh+sgd", "tanh+sgd+lr=0.2"]  # one program for both
SETTINGS: dict[str, Any] = dict(
    steps=5, record_every=2, batch_size=4, hidden_size=4, num_test=6, progress=False, key=KEY
)
TRACES: list[None] = []


class Counting(FirstSign):
    """Counts how often its loss is traced."""

    def loss(self, outputs, targets):
        TRACES.append(None)
        return FirstSign.loss(self, outputs, targets)


TASK = Counting()
FAST: dict[str, Any] = {**SETTINGS, "learning_rate": {"tanh+sgd": 0.3}, "record": ("update_ratio",)}


def without_times(ds):
    return ds.drop_vars([name for name in ds.data_vars if str(name).startswith("time_")])


@pytest.fixture(scope="module")
def comparison():
    return vj.compare(RECIPES, TASK, seeds=2, **FAST)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, comparison):
    """Return a folder of finished runs; the programs are those of `comparison`."""
    out = tmp_path_factory.mktemp("compared")
    vj.compare(RECIPES, TASK, seeds=2, out=out, **FAST)
    return out


@pytest.fixture
def trained(monkeypatch):
    """Return a list of how many seeds each call of the trainer was given."""
    calls, train_seeds = [], _seeds.train_seeds

    def counted(job, keys, *others):
        calls.append(len(keys))
        return train_seeds(job, keys, *others)

    monkeypatch.setattr(_compare, "train_seeds", counted)
    return calls


def test_each_seed_is_the_training_of_it_alone(comparison):
    assert dict(comparison.loss.sizes) == {"recipe": 2, "seed": 2, "record": 3}
    np.testing.assert_array_equal(comparison.record, [2, 4, 5])
    np.testing.assert_array_equal(comparison.time, np.arange(TASK.length + 1))
    alone: dict[str, Any] = {k: FAST[k] for k in FAST if k not in ("key", "num_test")} | {
        "learning_rate": 0.3
    }
    key_test = jr.fold_in(KEY, 2**32 - 1)
    for seed in (0, 1):
        model, history = vj.train("tanh+sgd", TASK, key=jr.fold_in(KEY, seed), **alone)
        found = comparison.sel(recipe="tanh+sgd", seed=seed)
        for name in ("loss", "metric", "gradient_norm"):
            np.testing.assert_allclose(found[name], getattr(history, name), rtol=1e-4)
        labels = list(history.labels["update_ratio"])
        ratios = found.update_ratio.sel(parameter=labels)
        np.testing.assert_allclose(ratios, history.records["update_ratio"], rtol=1e-3)
        test = evaluate(model, TASK, num_sequences=6, key=key_test)
        np.testing.assert_allclose(found.test_loss, test.loss, rtol=1e-4)
        np.testing.assert_allclose(found.test_metric, test.metric)
    assert not np.allclose(comparison.loss[:, 0], comparison.loss[:, 1])
    assert comparison.attrs["task"] == "first sign" and comparison.attrs["length"] == 3


def test_other_numbers_compile_nothing_anew(comparison):
    before = len(TRACES)
    rates = {"tanh+sgd": 0.1, RECIPES[1]: 0.25}
    other = {**FAST, "learning_rate": rates, "steps": 4, "key": jr.key(9)}
    ds = vj.compare(RECIPES, TASK, seeds=2, **other)
    assert len(TRACES) == before
    np.testing.assert_array_equal(ds.learning_rate, [[0.1, 0.1], [0.25, 0.25]])


def test_a_seed_does_not_depend_on_its_company(comparison):
    other = vj.compare("tanh+sgd", TASK, seeds=[1, 7], **FAST)
    assert list(other.seed) == [1, 7]
    one = comparison.sel(recipe=["tanh+sgd"], seed=1)
    xr.testing.assert_allclose(without_times(other.sel(seed=1)), without_times(one))


@pytest.mark.slow
def test_seeds_one_after_the_other_do_not_differ_by_a_bit(comparison, monkeypatch):
    if jax.default_backend() == "cpu":
        assert _seeds.batched(4, 4) and not _seeds.batched(32, 64)
    for module in (_seeds, _compare):
        monkeypatch.setattr(module, "batched", lambda *sizes: False)
    first = vj.compare("tanh+sgd", TASK, seeds=[4, 1, 0], **FAST)
    other = vj.compare("tanh+sgd", TASK, seeds=[1, 7], **FAST)
    one, two = (without_times(ds.sel(seed=1)) for ds in (first, other))
    xr.testing.assert_equal(one, two)
    alike = comparison.sel(recipe=["tanh+sgd"], seed=1)
    xr.testing.assert_allclose(one, without_times(alike), rtol=1e-4, atol=1e-6)


def test_finished_runs_are_loaded_and_nothing_is_trained_again(folder, comparison, trained):
    again = vj.compare(RECIPES, TASK, seeds=2, out=folder, **FAST)
    assert trained == []
    xr.testing.assert_identical(without_times(again), without_times(comparison))
    saved = folder.parent / "all of them.nc"
    again.to_netcdf(saved, engine="h5netcdf")
    xr.testing.assert_equal(xr.load_dataset(saved, engine="h5netcdf"), again)
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    runs = {f"{r}/{f}" for r in RECIPES for f in ("seed_0.nc", "seed_1.nc")}
    assert files == {"settings.json"} | runs


def test_what_is_missing_or_broken_is_trained_to_the_same_numbers(folder, comparison, trained):
    (folder / "tanh+sgd" / "seed_1.nc").write_bytes(b"half")
    (folder / RECIPES[1] / "seed_0.nc").unlink()
    with pytest.warns(UserWarning, match="seed_1.nc cannot be read"):
        again = vj.compare(RECIPES, TASK, seeds=2, out=folder, **FAST)
    assert len(trained) == 2
    xr.testing.assert_identical(without_times(again), without_times(comparison))
    vj.compare(RECIPES, TASK, seeds=2, out=folder, **FAST)
    assert len(trained) == 2


def test_other_settings_are_refused_line_by_line(folder, trained):
    other = {**FAST, "steps": 6, "batch_size": 3}
    with pytest.raises(ValueError, match=r"steps: there 5; here 6\n  batch_size: there 4; here 3"):
        vj.compare(RECIPES, TASK, seeds=2, out=folder, **other)
    rates = {"tanh+sgd": 0.3, RECIPES[1]: 0.1}
    with pytest.raises(ValueError, match=r"seed_0.nc was made.*\n  learning_rate: there 0.2; here"):
        vj.compare(RECIPES, TASK, seeds=2, out=folder, **{**FAST, "learning_rate": rates})
    with pytest.raises(ValueError, match="task baseline: there '0.69.*'; here '0.5'"):
        vj.compare(RECIPES, Counting(baseline=0.5), seeds=2, out=folder, **FAST)
    # Of a seed that is not asked for, too: one folder has one learning rate per recipe.
    with pytest.raises(ValueError, match="learning_rate: there 0.2; here 0.1"):
        vj.compare(RECIPES, TASK, seeds=[7], out=folder, **{**FAST, "learning_rate": rates})
    assert trained == []


def test_more_seeds_leave_those_there_are(folder, trained):
    copy = folder.parent / "more seeds"
    shutil.copytree(folder, copy)
    ds = vj.compare("tanh+sgd", TASK, seeds=[7, 5], out=copy, **FAST)
    assert list(ds.seed) == [7, 5] and trained == [2]


class Fragile(FirstSign):
    """Recall a sign; draws an infinite input in update 3 of one seed."""

    def sample(self, key, batch_size):
        inputs, targets = FirstSign.sample(self, key, batch_size)
        deadly = jr.key_data(jr.fold_in(jr.split(jr.fold_in(KEY, 1))[1], 3))
        return jnp.where((jr.key_data(key) == deadly).all(), jnp.inf, inputs), targets


@pytest.mark.parametrize("together", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_diverged_and_early_seeds_end_in_nan_and_are_counted(together, monkeypatch, tmp_path):
    monkeypatch.setattr(_seeds, "batched", lambda *sizes: together)
    settings = {**SETTINGS, "steps": 6, "learning_rate": 0.3}
    ds = vj.compare("tanh+sgd", Fragile(), seeds=3, target="loss < 0", **settings)
    diverged, alive = ds.isel(recipe=0, seed=1), ds.isel(recipe=0, seed=[0, 2])
    assert diverged.nonfinite_step == 3 and str(diverged.nonfinite_leaf.item()).startswith(
        "gradient of"
    )
    assert np.isfinite(diverged.loss[0]) and np.isnan(diverged.gradient_norm[1])
    assert np.isnan(diverged.loss[2]) and np.isnan(diverged.test_loss)
    assert np.isfinite(alive.loss).all() and np.isnan(alive.nonfinite_step).all()
    table = vj.comparison_table(ds)
    assert "| 0/3 | inf [inf, inf] | 1/3 |" in table and "target: loss < 0.0" in table
    # A target between the losses of the seeds: one ends, the others go on and reach nothing.
    first = ds.loss.isel(recipe=0, record=0).values
    bound = f"loss < {np.sort(first)[:2].mean()}"
    again = vj.compare("tanh+sgd", Fragile(), seeds=3, target=bound, **settings)
    k = int(first.argmin())
    assert again.steps_to_target.values[0, k] == 2
    assert np.isnan(again.loss.values[0, k, 1:]).all()
    short = vj.compare("tanh+sgd", Fragile(), seeds=3, **{**settings, "steps": 2})
    np.testing.assert_allclose(again.test_loss[0, k], short.test_loss[0, k], rtol=1e-6)
    # Interrupted when one has ended.
    kept: dict[str, Any] = dict(seeds=3, target=bound, out=tmp_path, save_every=1, **settings)
    calls, advance = [], _seeds._advance

    def interrupted(*arguments):
        calls.append(None)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return advance(*arguments)

    monkeypatch.setattr(_seeds, "_advance", interrupted)
    with pytest.raises(KeyboardInterrupt, match="no recipe was finished"):
        vj.compare("tanh+sgd", Fragile(), **kept)
    resumed = vj.compare("tanh+sgd", Fragile(), **kept)
    assert len(calls) >= 3
    xr.testing.assert_identical(without_times(resumed), without_times(again))


def test_recipes_may_differ_in_what_their_recorders_see():
    def run(recipe, labels, values, steps):
        curve = np.ones(len(steps))
        history = History(
            np.array(steps), curve, curve, curve, {"saturation": values}, {"saturation": labels}
        )
        settings = {"recipe": recipe, "seed": 0, "learning_rate": 1.0, "target": None}
        return run_dataset(history, None, TASK, {**settings, "steps": 4, "record_every": 2}, {})

    one = run("a", ("tanh",), np.array([[0.1], [0.2]]), [2, 4])
    two = run("b", ("sigmoid", "tanh"), np.array([[0.3, 0.4]]), [2])
    ds = joined([[one], [two]]).isel(seed=0)
    found = ds.saturation.sel(activation=["tanh", "sigmoid"])
    nan = np.nan
    expected = [[[0.1, nan], [0.2, nan]], [[0.4, 0.3], [nan, nan]]]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(ds.loss, [[1, 1], [1, nan]])


def test_interrupt_returns_what_was_finished(folder, monkeypatch):
    train_seeds = _seeds.train_seeds

    def interrupted(job, *others):
        if job.recipe.name == "tanh+sgd":
            return train_seeds(job, *others)
        raise KeyboardInterrupt

    monkeypatch.setattr(_compare, "train_seeds", interrupted)
    ds = vj.compare(RECIPES, TASK, seeds=2, **FAST)
    assert list(ds.recipe) == ["tanh+sgd"] and ds.attrs["interrupted"] == 1
    assert "; interrupted" in vj.comparison_table(ds)
    with pytest.raises(KeyboardInterrupt, match="no recipe was finished"):
        vj.compare(RECIPES[1], TASK, seeds=2, **{**FAST, "learning_rate": None})


def test_table_says_what_the_numbers_are(comparison):
    lines = vj.comparison_table(comparison).splitlines()
    assert lines[0].startswith("first sign, T = 3, 2 seeds, 5 updates; memoryless baseline: loss")
    losses = np.sort(comparison.test_loss.sel(recipe="tanh+sgd"))
    assert lines[4].startswith(f"| tanh+sgd | {losses[0]:.4g} [{losses[0]:.4g}, {losses[1]:.4g}] |")
    assert lines[4].endswith("| 0/2 |")


@pytest.mark.parametrize(
    "recipes, changes, message",
    [
        ([], {}, "at least one recipe"),
        (["tanh", " TANH "], {}, "each recipe once; got 'tanh'"),
        ("tanh", {"seeds": [1, 1]}, "each seed once; got 1"),
        ("tanh", {"seeds": 0}, "`seeds` as a count of at least 1"),
        ("tanh", {"seeds": [-1]}, "numbers from 0"),
        ("tanh", {"learning_rate": {"gru": 0.1}}, "'tanh'; got one for 'gru'"),
        ("tanh", {"num_test": 0}, "`num_test` of at least 1"),
        ("tanh", {"record": "nonsense"}, "expected `record` out of"),
        (["tanh", "tanh+leaky=2"], {}, "0 < rate <= 1"),
    ],
)
def test_what_cannot_be_is_refused_before_training(recipes, changes, message, trained):
    with pytest.raises(ValueError, match=message):
        vj.compare(recipes, TASK, **{"seeds": 2, **SETTINGS, **changes})
    with pytest.raises(TypeError, match="`length` goes with the name"):
        vj.compare("tanh", TASK, length=3, **SETTINGS)
    assert trained == []


def test_cut_off_after_the_last_seed_leaves_nothing_behind(tmp_path, trained, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(Savepoints, "remove", interrupted)
    with pytest.raises(KeyboardInterrupt):
        vj.compare(RECIPES, TASK, seeds=2, out=tmp_path, save_every=1, **FAST)
    monkeypatch.undo()
    assert len(list(tmp_path.rglob("update_*"))) == 2
    vj.compare("tanh+sgd", TASK, seeds=2, out=tmp_path, **FAST)
    assert trained == [2]
    files = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 3  # settings, two seeds


KILLED = """
import os, signal, sys
import jax
jax.config.update("jax_enable_x64", sys.argv[2] == "float64")
import vanishing_jax as vj
from tests.comparison.test_compare import FAST, RECIPES, TASK
from vanishing_jax.comparison import _compare, _seeds
module, name, number = {
    "between seeds": (_compare, "save_run", 4),  # the last of two recipes with two seeds
    "within seeds": (_seeds, "_advance", 6),  # the last of two recipes with three records
}[sys.argv[3]]
calls, function = [], getattr(module, name)
def called(*arguments):
    calls.append(None)
    if len(calls) == number:
        os.kill(os.getpid(), signal.SIGKILL)
    return function(*arguments)
setattr(module, name, called)
vj.compare(RECIPES, TASK, seeds=2, out=sys.argv[1], save_every=1, **FAST)
"""


ON_TWO_DEVICES = """
import sys
import jax
jax.config.update("jax_enable_x64", sys.argv[2] == "float64")
jax.config.update("jax_numpy_dtype_promotion", "strict")
import vanishing_jax as vj
from tests.comparison.test_compare import FAST, TASK
from vanishing_jax.comparison import _compare, _seeds
advance, devices = _seeds._advance, []
def spy(*arguments):
    devices.append(len(jax.tree.leaves(arguments[0])[0].sharding.device_set))
    return advance(*arguments)
_seeds._advance = spy
for folder, together in (("batch", True), ("map", False)):
    for module in (_seeds, _compare):
        module.batched = lambda *sizes: together
    vj.compare("tanh+sgd", TASK, seeds=3, out=f"{sys.argv[1]}/{folder}", **FAST)
assert devices == 6 * [2], devices
"""


@pytest.mark.slow
def test_seeds_on_two_devices_are_those_of_one(tmp_path, trained):
    # Three seeds: one of the devices has a copy.
    command = [sys.executable, "-c", ON_TWO_DEVICES, str(tmp_path), str(jnp.result_type(float))]
    root = pathlib.Path(__file__).parents[2]
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "2"}
    subprocess.run(command, cwd=root, env=environment, timeout=300, check=True)
    one = vj.compare("tanh+sgd", TASK, seeds=3, **FAST)
    for folder in ("batch", "map"):
        two = vj.compare("tanh+sgd", TASK, seeds=3, out=tmp_path / folder, **FAST)
        xr.testing.assert_allclose(without_times(two), without_times(one), rtol=1e-5, atol=1e-6)
    assert trained == [3]


@pytest.mark.slow
@pytest.mark.parametrize("where, files, chunks", [("between seeds", 3, 0), ("within seeds", 2, 1)])
def test_killed_and_repeated_gives_the_numbers_of_an_uninterrupted_run(
    where, files, chunks, tmp_path, folder, comparison, trained, monkeypatch
):
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(jnp.result_type(float)), where]
    root = pathlib.Path(__file__).parents[2]
    assert subprocess.run(command, cwd=root, timeout=300).returncode == -signal.SIGKILL
    assert len(list(tmp_path.rglob("*.nc"))) == files
    last = (4, 5) if chunks == 0 else (2, 4)
    states = [path.name for path in tmp_path.glob(f"{RECIPES[1]}/unfinished/*")]
    assert sorted(states) == [f"update_{k}.eqx" for k in last]
    advance, calls = _seeds._advance, []
    monkeypatch.setattr(_seeds, "_advance", lambda *a: calls.append(None) or advance(*a))
    again = vj.compare(RECIPES, TASK, seeds=2, out=tmp_path, **FAST)
    assert len(trained) == 1 and len(calls) == chunks
    assert not list(tmp_path.rglob("unfinished"))
    xr.testing.assert_identical(without_times(again), without_times(comparison))
    for path in folder.rglob("*.json"):
        assert path.read_bytes() == (tmp_path / path.relative_to(folder)).read_bytes()
