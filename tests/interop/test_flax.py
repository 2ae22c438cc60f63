"""load_flax and to_nnx against Flax, and what they refuse."""

from typing import Any

import jax
import numpy as np
import pytest

from vanishing_jax import interop

from . import peers

load: Any = interop.load_flax


def _dense(rows, columns, *, bias=True):
    layer = {"kernel": np.ones((rows, columns), np.float32)}
    return layer | ({"bias": np.ones(columns, np.float32)} if bias else {})


def test_against_linen(monkeypatch):
    pytest.importorskip("flax", reason="flax is not installed: pip install '.[peers]'")
    peers.check("Flax Linen", monkeypatch)


def test_against_nnx(monkeypatch):
    pytest.importorskip("flax", reason="flax is not installed: pip install '.[peers]'")
    peers.check("Flax NNX", monkeypatch)


# Of each module its gates, and what has a bias.
MODULES = {
    "OptimizedLSTMCell": (4, "dense_h"),
    "GRUCell": (3, "dense_i"),
    "SimpleCell": (1, "dense_i"),
}


@pytest.mark.parametrize("name", MODULES)
def test_to_nnx_gives_back_what_was_loaded(name):
    """What NNX makes of weights of these names is compared above."""
    gates, biased = MODULES[name]
    rng, weights = np.random.default_rng(0), {}
    for module, rows in (("dense_i", 3), ("dense_h", 4)):
        weights[module] = {"kernel": rng.normal(size=(rows, 4 * gates)).astype(np.float32)}
    weights[biased]["bias"] = rng.normal(size=4 * gates).astype(np.float32)
    given = interop.to_nnx(load(weights, activation="tanh" if gates == 1 else None))
    assert jax.tree.structure(given) == jax.tree.structure(weights)
    for a, b in zip(jax.tree.leaves(given), jax.tree.leaves(weights), strict=True):
        np.testing.assert_array_equal(a, b)
    # They are all that the module of NNX has.
    nnx = pytest.importorskip("flax.nnx", reason="flax is not installed: pip install '.[peers]'")
    module = nnx.eval_shape(lambda: getattr(nnx, name)(3, 4, rngs=nnx.Rngs(0)))
    shapes = nnx.to_pure_dict(nnx.state(module, nnx.Param))
    assert jax.tree.map(np.shape, given) == jax.tree.map(np.shape, shapes)


def test_a_bias_that_nnx_cannot_hold_is_not_lost():
    """The GRU of NNX has no bias inside its reset: those of PyTorch and of Linen do not fit."""
    bias = np.zeros(12, np.float32)
    weights = {"weight_ih_l0": np.ones((12, 3)), "weight_hh_l0": np.ones((12, 4))}
    gru: Any = interop.load_torch(weights | {"bias_ih_l0": bias, "bias_hh_l0": bias + 0.5})
    with pytest.raises(ValueError, match=r"no bias inside its reset.*bias_n, up to 0\.5"):
        interop.to_nnx(gru)
    linen = {name: _dense(3, 4) for name in ("ir", "iz", "in")} | {"hn": _dense(4, 4)}
    linen |= {name: _dense(4, 4, bias=False) for name in ("hr", "hz")}
    with pytest.raises(ValueError, match="no bias inside its reset"):
        interop.to_nnx(load({"params": linen}))
    # The same without that bias fits.
    linen["hn"]["bias"] = np.zeros(4, np.float32)
    assert "bias" not in interop.to_nnx(load(linen))["dense_h"]
    operator = {"W": np.ones((1, 12, 3), np.float32), "R": np.ones((1, 12, 4), np.float32)}
    with pytest.raises(ValueError, match="does not clip"):
        interop.to_nnx(interop.load_onnx(operator, clip=1.0, linear_before_reset=1))
    with pytest.raises(TypeError, match="LSTMCell, GRUCell, VanillaCell.; got ResetBeforeGRUCell"):
        interop.to_nnx(interop.load_onnx(operator, linear_before_reset=0))


def test_a_later_nnx_gru_with_a_hidden_bias_keeps_it():
    weights = {"dense_i": _dense(3, 12), "dense_h": _dense(4, 12)}
    cell = load(weights)
    np.testing.assert_array_equal(cell.bias, np.repeat([2, 2, 1], 4))
    np.testing.assert_array_equal(cell.bias_n, 1)


MGU = {"hf": _dense(4, 4, bias=False), "if": _dense(3, 4), "in": _dense(3, 4)}


@pytest.mark.parametrize(
    "weights, options, message",
    [
        ({"i": _dense(3, 4), "h": _dense(4, 4, bias=False)}, {}, "pass activation='tanh'"),
        ({"dense_i": _dense(3, 4), "dense_h": _dense(4, 4)}, {}, "weights of a SimpleCell do not"),
        ({"hi": _dense(4, 4), "ii": _dense(3, 4)}, {}, r"kernels \['hi', 'ii'\] are not those"),
        ({"dense_i": _dense(3, 8), "dense_h": _dense(4, 8)}, {}, r"got \(4, 8\)"),
        (MGU | {"hn": _dense(4, 4, bias=False)}, {}, "reset_gate=False is not supported"),
        (MGU | {"hn": _dense(4, 4)}, {"activation": "relu"}, "activation is only for a SimpleCell"),
        (MGU | {"hn": _dense(4, 4)}, {"cell": "gru"}, "is of the kind 'mgu', not 'gru'"),
        ({"a": MGU | {"hn": _dense(4, 4)}, "b": MGU | {"hn": _dense(4, 4)}}, {}, "several"),
        ({"Dense_0": _dense(3, 4)}, {}, r"no recurrent layer .*\['Dense_0/bias'"),
    ],
)
def test_what_cannot_be_loaded(weights, options, message):
    with pytest.raises(ValueError, match=message):
        load(weights, **options)
