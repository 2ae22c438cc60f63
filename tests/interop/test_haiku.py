"""load_haiku against Haiku, and what it refuses."""

from typing import Any

import numpy as np
import pytest

from vanishing_jax import cells, interop

from . import peers

load: Any = interop.load_haiku

ZERO = {"w": np.zeros((5, 8)), "b": np.zeros(8)}


def test_against_haiku(monkeypatch):
    pytest.importorskip("haiku", reason="dm-haiku is not installed: pip install '.[peers]'")
    peers.check("Haiku", monkeypatch)


def test_modules_of_own_names():
    """Any module has a "linear": only Haiku's own names say that it is an LSTM's."""
    weights = {"memory/linear": ZERO, "mlp/linear": {"w": np.zeros((8, 4)), "b": np.zeros(4)}}
    with pytest.raises(ValueError, match="no recurrent layer .*own need cell="):
        load(weights)
    with pytest.raises(ValueError, match=r"choose prefix= from \['memory', 'mlp'\]"):
        load(weights, "lstm")
    assert isinstance(load(weights, "lstm", prefix="memory"), cells.LSTMCell)


def test_cores_on_top_of_one_another():
    upper = {"w": np.zeros((4, 8)), "b": np.zeros(8)}
    weights = {"rnn/~/lstm/linear": ZERO, "rnn/~/lstm_1/linear": upper}
    with pytest.raises(ValueError, match=r"'rnn/~/lstm', 'rnn/~/lstm_1'\], or list"):
        load(weights)
    stack = load(weights, prefix=["rnn/~/lstm", "rnn/~/lstm_1"])
    assert isinstance(stack, cells.StackedCell) and len(stack.cells) == 2
    with pytest.raises(ValueError, match="layer 1 of the Haiku weights takes 3 inputs"):
        load(weights, prefix=["rnn/~/lstm_1", "rnn/~/lstm"])
    with pytest.raises(ValueError, match="more than one layer .rnn."):
        load(weights, prefix="rnn")


def test_vanilla_rnn_is_a_relu_network():
    linear = {"w": np.ones((3, 2)), "b": np.ones(2)}, {"w": np.ones((2, 2)), "b": np.ones(2)}
    weights = dict(zip(("vanilla_rnn/linear", "vanilla_rnn/linear_1"), linear, strict=True))
    cell = load(weights)
    np.testing.assert_allclose(cell(np.ones(2), -np.ones(3)), [1, 1])  # 2 - 3 + two biases
    np.testing.assert_allclose(cell(np.ones(2), -2 * np.ones(3)), [0, 0])
    with pytest.raises(ValueError, match="is of the kind 'rnn', not 'gru'"):
        load(weights, "gru")
