import jax.numpy as jnp
import numpy as np
import pytest

from vanishing_jax.tasks import RandomPermutation

from .draws import FEW, assert_frequencies, draws


@pytest.mark.parametrize("name", ["RandomPermutation", "RandomPermutation, every step"])
def test_targets_follow_from_the_inputs(name):
    drawn = draws(name)
    symbols = drawn.inputs.argmax(axis=2)
    for shown, target in zip(symbols[:FEW].tolist(), drawn.targets[:FEW].tolist(), strict=True):
        assert shown[0] in (0, 1) and all(2 <= symbol < 6 for symbol in shown[1:])
        assert target == (shown[0] if name == "RandomPermutation" else [*shown[1:], shown[0]])


def test_symbols_are_equally_likely():
    symbols = draws("RandomPermutation").inputs.argmax(axis=2)
    assert_frequencies(np.bincount(symbols[:, 0]))
    assert_frequencies(np.bincount(symbols[:, 1:].ravel())[2:])


def test_metric_of_every_step_counts_the_last_only():
    drawn = draws("RandomPermutation, every step")
    targets = drawn.targets[:4]
    answers = np.where(np.arange(5) == 4, targets, 5 - targets)
    outputs = jnp.asarray(np.eye(6)[answers], jnp.result_type(float))
    assert float(drawn.task.metric(outputs, jnp.asarray(targets))) == 1


def test_less_than_three_symbols_are_refused():
    with pytest.raises(ValueError, match="`symbols` of at least 3"):
        RandomPermutation(symbols=2)
