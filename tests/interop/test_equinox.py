"""load_equinox against Equinox, and what it refuses."""

from typing import Any

import numpy as np
import pytest

from vanishing_jax import cells, interop

from . import peers

load: Any = interop.load_equinox

LSTM = {"weight_ih": np.ones((8, 3)), "weight_hh": np.zeros((8, 2)), "bias": np.zeros(8)}
GRU = {"weight_ih": np.ones((6, 3)), "weight_hh": np.zeros((6, 2))}


def test_against_equinox(monkeypatch):
    peers.check("Equinox", monkeypatch)


def test_names_of_paths():
    weights = {f".cells[1].{name}": array for name, array in LSTM.items()}
    weights |= {f".cells[0].{name}": array for name, array in GRU.items()}
    weights[".head.weight"] = np.ones((2, 2))
    with pytest.raises(ValueError, match=r"choose prefix= from \['cells/0', 'cells/1'\]"):
        load(weights)
    assert isinstance(load(weights, prefix=".cells[1]"), cells.LSTMCell)
    assert isinstance(load(weights, "gru", prefix="cells.0"), cells.GRUCell)


@pytest.mark.parametrize(
    "weights, message",
    [
        (GRU | {"bias": np.zeros(6)}, "bias and bias_n or neither"),
        (LSTM | {"bias_n": np.zeros(2)}, "bias and bias_n or neither"),
        # The names of PyTorch's cells, whose second bias would be lost.
        (GRU | {"bias_ih": np.zeros(6), "bias_hh": np.zeros(6)}, "'bias_hh', 'bias_ih'"),
        (LSTM | {"weight_hh": np.zeros((4, 2))}, r"weight_hh must be of shape \(4n, n\)"),
        (LSTM | {"weight_ih": np.zeros((6, 3))}, r"weight_ih must have 8 .*; got shape \(6, 3\)"),
        (LSTM | {"weight_ih": np.ones((8, 3), int)}, "must be floating"),
    ],
)
def test_what_cannot_be_loaded(weights, message):
    with pytest.raises(ValueError, match=message):
        load(weights)
