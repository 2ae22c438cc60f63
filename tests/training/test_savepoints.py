"""A run that is cut off and repeated is the run that was not, bit for bit."""

from typing import Any

import equinox as eqx
import jax.random as jr
import numpy as np
import pytest

from vanishing_jax.training import _train as train_module

from .small import run, small_model

SETTINGS: dict[str, Any] = dict(record=("update_ratio",))


@pytest.fixture
def chunks(monkeypatch):
    """Return a list of calls of the compiled loop; the one with the number `at` is cut off."""
    run_chunk = train_module.run_chunk

    class Calls(list):
        at = 0

    calls = Calls()

    def counted(*args, **kwargs):
        calls.append(None)
        if len(calls) == calls.at:
            raise KeyboardInterrupt
        return run_chunk(*args, **kwargs)

    monkeypatch.setattr(train_module, "run_chunk", counted)
    return calls


@pytest.fixture(scope="module")
def whole():
    return run(small_model(), **SETTINGS)


def states(folder):
    return sorted(path.name for path in folder.glob("*"))


def test_resumes_where_it_was_interrupted(tmp_path, chunks, whole):
    folder, chunks.at = tmp_path / "run", 3  # saved by Ctrl-C: 30 seconds have not passed
    _, history = run(small_model(), resume=folder, **SETTINGS)
    assert history.interrupted and states(folder) == ["update_4.eqx"]
    found = run(small_model(), resume=folder, **SETTINGS)
    assert len(chunks) == 4 and not folder.exists()
    assert eqx.tree_equal(found, whole)
    np.testing.assert_array_equal(
        found[1].records["update_ratio"], whole[1].records["update_ratio"]
    )


@pytest.mark.parametrize("damage", [0, 20, -100])  # left: nothing, some of the log, no end
def test_keeps_two_states_and_passes_over_a_broken_one(tmp_path, chunks, whole, damage):
    chunks.at = 3
    run(small_model(), resume=tmp_path, save_every=1, **SETTINGS)
    (tmp_path / "mine.txt").write_text("kept")
    assert states(tmp_path) == ["mine.txt", "update_2.eqx", "update_4.eqx"]
    damaged = tmp_path / "update_4.eqx"
    damaged.write_bytes(damaged.read_bytes()[:damage])
    with pytest.warns(UserWarning, match="update_4.eqx cannot be read and is passed over"):
        found = run(small_model(), resume=tmp_path, save_every=1, **SETTINGS)
    assert len(chunks) == 3 + 2  # updates 3..4 and 5..6
    assert eqx.tree_equal(found, whole) and states(tmp_path) == ["mine.txt"]


def test_another_run_is_refused_and_left_alone(tmp_path, chunks):
    chunks.at = 2
    run(small_model(), resume=tmp_path, **SETTINGS)
    there = states(tmp_path)
    assert there == ["update_2.eqx"]
    for changes, message in [
        ({"steps": 8}, "differ:\n  steps: there 6; here 8\nResume from another"),
        ({"key": jr.key(6)}, "key: there 'sha256 .*'; here 'sha256 .*'"),
    ]:
        with pytest.raises(ValueError, match=message):
            run(small_model(), resume=tmp_path, **SETTINGS, **changes)
    other = eqx.tree_at(lambda m: m.bias, small_model(), small_model().bias + 1)
    with pytest.raises(ValueError, match="differ:\n  model: there"):
        run(other, resume=tmp_path, **SETTINGS)
    assert states(tmp_path) == there and len(chunks) == 2


def test_saving_goes_with_a_folder():
    with pytest.raises(TypeError, match="`save_every` goes with a folder"):
        run(small_model(), save_every=2)
    with pytest.raises(ValueError, match="`save_every` of at least 1; got 0"):
        run(small_model(), resume="runs", save_every=0)
