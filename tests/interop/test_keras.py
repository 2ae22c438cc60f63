"""load_keras against Keras, and what it refuses."""

from typing import Any

import jax
import numpy as np
import pytest

from vanishing_jax import cells, interop
from vanishing_jax.networks import RecurrentNetwork

from . import peers

load: Any = interop.load_keras

D, N = 3, 4


def _layer(gates, bias=(), seed=0):
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(size=shape) for shape in ((D, gates * N), (N, gates * N))]
    return arrays if bias is None else [*arrays, rng.normal(size=(*bias, gates * N))]


def _named(arrays, prefix=""):
    return {
        f"{prefix}{name}": array
        for name, array in zip(("kernel", "recurrent_kernel", "bias"), arrays, strict=False)
    }


def test_against_keras(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")  # before Keras is imported
    pytest.importorskip("keras", reason="keras is not installed: pip install '.[peers]'")
    peers.check("Keras", monkeypatch)


def test_lists_and_names_are_the_same_layer():
    arrays = _layer(3, (2,))
    expected = jax.tree.leaves(load(_named(arrays)))
    numbered = {f"layers/gru/cell/vars/{i}": array for i, array in enumerate(arrays)}
    for source in (arrays, tuple(arrays), {"gru": arrays}, numbered, _named(arrays, "gru/a/b/")):
        for a, b in zip(jax.tree.leaves(load(source)), expected, strict=True):
            np.testing.assert_array_equal(a, b)


def test_bidirectional_by_its_names():
    forward, backward = (_named(_layer(4, seed=k)) for k in (0, 1))
    weights = {"encoder": {"forward_lstm": forward, "backward_lstm": backward}}
    network = load(weights)
    assert isinstance(network, RecurrentNetwork)
    assert network.names == ("layer0.forward", "layer0.backward")
    for part, one in zip(network.parts, (forward, backward), strict=True):
        for a, b in zip(jax.tree.leaves(part.cell), jax.tree.leaves(load(one)), strict=True):
            np.testing.assert_array_equal(a, b)
    upper = {"kernel": np.ones((2 * N, N)), "recurrent_kernel": np.ones((N, N))}
    deep = weights | {"upper": upper}
    network = load(deep | {"head": {"kernel": np.ones((4, 1))}}, prefix=["encoder"])
    assert len(network.layers) == 1
    with pytest.raises(ValueError, match=r"'encoder/forward_lstm', 'upper'\]"):
        load(deep)


def test_plain_layers_need_an_activation():
    arrays = _layer(1)
    with pytest.raises(ValueError, match="SimpleRNN do not tell its activation: pass activation="):
        load(arrays)
    cell = load(arrays, activation="relu")
    assert isinstance(cell, cells.VanillaCell)
    assert np.all(np.asarray(cell(cell.initial_state(), np.ones(D))) >= 0)


def test_gru_without_bias_needs_the_place_of_its_reset():
    weights = _layer(3, None)
    with pytest.raises(ValueError, match="pass reset_after=True .* or reset_after=False"):
        load(weights)
    assert isinstance(load(weights, reset_after=True), cells.GRUCell)
    assert isinstance(load(weights, reset_after=False), cells.ResetBeforeGRUCell)


@pytest.mark.parametrize(
    "source, options, message",
    [
        (_layer(3), {"reset_after": True}, r"shape \(12,\) is that of a GRU with reset_after=F"),
        (_layer(4), {"reset_after": True}, "reset_after is only for a GRU"),
        (_layer(4), {"activation": "tanh"}, "activation is only for a SimpleRNN"),
        (_layer(4), {"cell": "gru"}, "the layer '' of the Keras weights: .* not 'gru'"),
        (_layer(4), {"cell": "mgru"}, "cell must be one of 'rnn', 'lstm', 'gru', 'mgu'"),
        (_layer(4, (2,)), {}, "bias must have one axis"),
        (_layer(3, (3,)), {}, r"bias must be of shape \(2, 3n\) or \(3n,\)"),
        (_layer(4) + _layer(4), {}, r"tensors beside those .*\['3', '4', '5'\]"),
        (_named(_layer(4)) | {"recurrent_kernel": np.ones((N, 9))}, {}, r"got \(4, 9\)"),
        (_named(_layer(4)) | {"gamma": np.ones(N)}, {}, r"no cell here has: \['gamma'\]"),
        (_named(_layer(4)), {"prefix": "encoder"}, r"no layer .encoder. in .*: .* from \[''\]"),
        ({"a": _layer(4), "b": _layer(3)}, {}, r"choose prefix= from \['a', 'b'\], or list"),
        ({"a": _layer(4)}, {"prefix": []}, "prefix must name at least one layer"),
        ({"dense/kernel": np.ones((2, 2))}, {}, r"no recurrent layer .*'dense/kernel'"),
        ({}, {}, "no recurrent layer"),
        (_named(_layer(4)) | {"bias": np.full(16, np.nan)}, {}, "'bias' of .* holds 16 NaN"),
    ],
)
def test_what_cannot_be_loaded(source, options, message):
    with pytest.raises(ValueError, match=message):
        load(source, **options)
