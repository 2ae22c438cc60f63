import equinox as eqx
import numpy as np
import pytest

from .small import run, small_model


@pytest.fixture(scope="module")
def whole():
    return run(small_model(), steps=40)[1]


@pytest.mark.parametrize(
    "target, curve, below",
    [("loss < {}", "loss", True), (None, "loss", True), ("metric>{}", "metric", False)],
)
def test_stops_with_the_first_record_beyond_the_target(whole, target, curve, below):
    values = getattr(whole, curve)
    bound = float(np.median(values))
    first = int(np.argmax(values < bound if below else values > bound))
    model, history = run(
        small_model(), steps=40, target=bound if target is None else target.format(bound)
    )
    assert history.target_step == history.step[-1] == whole.step[first] < 40
    assert f"target reached at update {history.target_step}" in str(history)
    shorter = run(small_model(), steps=int(history.step[-1]))[0]
    assert eqx.tree_equal(model, shorter)


def test_a_target_that_is_not_reached_changes_nothing(whole):
    _, history = run(small_model(), steps=40, target="loss < 0")
    assert history.target_step is None and eqx.tree_equal(history, whole)


@pytest.mark.parametrize(
    "settings, error, message",
    [
        ({"target": "loss = 3"}, ValueError, "'loss < 0.01' or 'metric > 0.9'; got 'loss = 3'"),
        ({"target": "loss < much"}, ValueError, "got 'loss < much'"),
        ({"target": True}, TypeError, "target"),
        ({"num_updates": 3}, TypeError, "`steps`, its other name; got both"),
        ({"steps": None}, TypeError, "`num_updates`.*; got neither"),
    ],
)
def test_what_cannot_be_read_is_refused(settings, error, message):
    with pytest.raises(error, match=message):
        run(small_model(), **settings)
