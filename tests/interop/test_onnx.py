"""load_onnx against ONNX Runtime, from model files, and what it refuses."""

import importlib
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vanishing_jax import cells, interop
from vanishing_jax.networks import RecurrentNetwork

from . import peers

load: Any = interop.load_onnx

D, N, T = 3, 4, 5


def _weights(gates, directions=1, peepholes=False):
    rng = np.random.default_rng(0)
    shapes = {"W": (gates * N, D), "R": (gates * N, N), "B": (2 * gates * N,)}
    shapes |= {"P": (3 * N,)} if peepholes else {}
    return {
        name: rng.normal(size=(directions, *shape)).astype(np.float32)
        for name, shape in shapes.items()
    }


@pytest.fixture
def onnx(monkeypatch):
    monkeypatch.syspath_prepend(str(peers.FOLDER))
    reason = "is not installed: pip install '.[peers]'"
    pytest.importorskip("onnxruntime", reason=f"onnxruntime {reason}")
    return pytest.importorskip("onnx", reason=f"onnx {reason}")


@pytest.fixture
def save(onnx, tmp_path):
    """Return a function that writes models of one node each as a model of all of them."""
    originals = importlib.import_module("_originals")

    def write(*nodes, change=lambda model: None):
        models = [originals.onnx_model(k, w, N, attributes) for k, w, attributes in nodes]
        model = models[0]
        for index, other in enumerate(models[1:], 1):
            other = onnx.compose.add_prefix(other, f"{index}/")
            model.graph.node.extend(other.graph.node)
            model.graph.initializer.extend(other.graph.initializer)
        change(model)
        onnx.save(model, tmp_path / "model.onnx")
        return tmp_path / "model.onnx"

    return write


def _same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


def test_against_onnx_runtime(onnx, monkeypatch):
    peers.check("ONNX", monkeypatch)


def test_model_files_say_everything(save):
    lstm = _weights(4, peepholes=True)
    path = save(("LSTM", lstm, {"clip": 0.5, "input_forget": 1}))
    _same(load(path), load(lstm, clip=0.5, input_forget=True))
    for after in (0, 1):
        path = save(("GRU", _weights(3), {"linear_before_reset": after}))
        _same(load(path), load(_weights(3), linear_before_reset=after))
    # What is not written is the default of the operator.
    assert isinstance(load(save(("GRU", _weights(3), {}))), cells.ResetBeforeGRUCell)
    assert isinstance(load(save(("RNN", _weights(1), {}))), cells.VanillaCell)
    both = {"direction": "bidirectional"}
    network = load(save(("RNN", _weights(1, 2), both)))
    _same(network, load(_weights(1, 2), activations=["Tanh", "Tanh"]))
    with pytest.raises(ValueError, match=r"leave out the keywords \['clip'\]"):
        load(path, clip=1.0)


def test_several_nodes(save, onnx):
    upper = _weights(4) | {"W": np.ones((1, 4 * N, N), np.float32)}
    path = save(("GRU", _weights(3), {}), ("LSTM", upper, {}))
    with pytest.raises(ValueError, match=r"choose prefix= from \['1/recurrence', 'recurrence'\]"):
        load(path)
    assert isinstance(load(path, prefix="1/recurrence"), cells.LSTMCell)
    stack = load(path, prefix=["recurrence", "1/recurrence"])
    assert isinstance(stack, cells.StackedCell)


def test_sequence_lengths(onnx):
    """The lengths of the operator are those of the network, in both directions."""
    originals = importlib.import_module("_originals")
    weights = _weights(3, 2)
    attributes = {"direction": "bidirectional", "linear_before_reset": 1}
    model = originals.onnx_model("GRU", weights, N, attributes)
    del model.graph.input[1:]
    lengths = onnx.numpy_helper.from_array(np.array([T - 2], np.int32), "lengths")
    model.graph.initializer.append(lengths)
    model.graph.node[0].input[4], model.graph.node[0].input[5] = "lengths", ""
    runtime = importlib.import_module("onnxruntime")
    session = runtime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    xs = np.random.default_rng(1).normal(size=(T, 1, D)).astype(np.float32)
    expected = session.run(["Y"], {"X": xs})[0].reshape(T, 2 * N)
    network = load(weights, linear_before_reset=1)
    assert isinstance(network, RecurrentNetwork)
    output = network(jnp.asarray(xs[:, 0]), lengths=T - 2).output
    np.testing.assert_allclose(output, expected, atol=1e-6)
    assert not np.any(expected[T - 2 :])


def _compute_weights(model):
    model.graph.initializer.remove(model.graph.initializer[0])


def test_broken_files(save, tmp_path, onnx):
    path = save(("LSTM", _weights(4), {}), change=_compute_weights)
    with pytest.raises(ValueError, match=r"W of the node 'recurrence' .*fold the constants"):
        load(path)
    bad = _weights(4)
    bad["B"][0, 3] = np.inf
    with pytest.raises(ValueError, match=r"'recurrence/B' of .*model.onnx holds 1 NaN or inf"):
        load(save(("LSTM", bad, {})))
    whole = save(("LSTM", _weights(4), {})).read_bytes()
    for content, message in ((whole[:-9], "complete ONNX"), (b"", "no RNN, LSTM or GRU node")):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"model.onnx .*{message}"):
            load(path)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing.onnx")


def test_constant_first_states_are_not_dropped_silently(save, onnx):
    def change(model):
        state = onnx.numpy_helper.from_array(np.ones((1, 1, N), np.float32), "initial_h")
        model.graph.initializer.append(state)

    path = save(("GRU", _weights(3), {}), change=change)
    with pytest.warns(UserWarning, match="constant initial_h that is not 0 .*pass it as state0="):
        load(path)


def test_without_onnx(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"vanishing_jax\[peers\]"):
        load(tmp_path / "model.onnx")
    assert isinstance(load(_weights(4)), cells.LSTMCell)


@pytest.mark.parametrize(
    "weights, options, message",
    [
        (_weights(3), {}, "pass linear_before_reset=0 .* or linear_before_reset=1"),
        (_weights(4), {"linear_before_reset": 1}, "linear_before_reset is only for a GRU"),
        (_weights(1), {}, r"pass activations=\['Tanh'\], \['Relu'\] or \['Sigmoid'\]"),
        (_weights(1), {"activations": ["Elu"]}, r"Tanh, Relu, Sigmoid; got \['Elu'\]"),
        (_weights(1, 2), {"activations": ["Tanh"]}, "expected 2 of the activations"),
        (
            _weights(4),
            {"activations": ["HardSigmoid", "Tanh", "Tanh"]},
            r"only the activations \['Sigmoid', 'Tanh', 'Tanh'\] .*got \['HardSigmoid'",
        ),
        (_weights(4), {"direction": "bidirectional"}, "'forward' or 'reverse' for weights of 1"),
        (_weights(4, 2), {"direction": "forward"}, "'bidirectional' for weights of 2 directions"),
        (_weights(3), {"input_forget": 1, "linear_before_reset": 0}, "only for an LSTM"),
        (_weights(1, peepholes=True), {"activations": ["Tanh"]}, "P holds the peepholes of an L"),
        (_weights(4) | {"B": np.ones((1, 3))}, {}, r"B must be of shape \(1, 32\); got \(1, 3\)"),
        (_weights(4) | {"R": np.ones((1, 9, N))}, {}, r"R\b.*\(1, 9, 4\)"),
        (_weights(4) | {"W": np.ones((3, 2))}, {}, r"1 or 2 directions; got \(3, 2\)"),
        ({"W": np.ones((1, 4, 3))}, {}, r"no recurrent layer \(W, R\) .*\['W'\]"),
        (_weights(4), {"clip": -1.0}, "clip must be a positive number"),
    ],
)
def test_what_cannot_be_loaded(weights, options, message):
    with pytest.raises(ValueError, match=message):
        load(weights, **options)


def test_a_clipped_rnn_is_compiled_once():
    options = {"activations": ["Tanh"], "clip": 0.5}
    one, two = (load(_weights(1), **options) for _ in range(2))
    assert one.activation is two.activation
    large = 100 * np.ones(D, np.float32)
    values = np.abs(np.asarray(one(np.zeros(N, np.float32), large)))
    np.testing.assert_allclose(values, np.tanh(np.float32(0.5)), rtol=1e-6)
