"""load_torch against the equations of PyTorch's documentation, written in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from vanishing_jax import cells, interop

D, N = 3, 4


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _weights(gates, *, layers=1, bias=True, prefix="", suffix="_l{}", seed=0):
    rng = np.random.default_rng(seed)
    weights, columns = {}, D
    for layer in range(layers):
        shapes = {"weight_ih": (gates * N, columns), "weight_hh": (gates * N, N)}
        if bias:
            shapes |= {"bias_ih": (gates * N,), "bias_hh": (gates * N,)}
        for name, shape in shapes.items():
            key = prefix + name + suffix.format(layer)
            weights[key] = rng.normal(size=shape).astype(np.float32)
        columns = N
    return weights


def _torch_step(kind, weights, layer, state, x, nonlinearity=np.tanh):
    """One step of one layer as PyTorch documents it; state is (h, c) or h."""
    end = f"_l{layer}"
    named = {key.split(".")[-1]: value for key, value in weights.items()}
    w = {key.removesuffix(end): value for key, value in named.items() if key.endswith(end)}
    h = state[0] if kind == "lstm" else state
    given = w["weight_ih"] @ x + w.get("bias_ih", 0)
    hidden = w["weight_hh"] @ h + w.get("bias_hh", 0)
    if kind == "rnn":
        return nonlinearity(given + hidden)
    if kind == "gru":
        (ir, iz, i_n), (hr, hz, h_n) = np.split(given, 3), np.split(hidden, 3)
        r, z = _sigmoid(ir + hr), _sigmoid(iz + hz)
        return (1 - z) * np.tanh(i_n + r * h_n) + z * h
    i, f, g, o = np.split(given + hidden, 4)
    c = _sigmoid(f) * state[1] + _sigmoid(i) * np.tanh(g)
    return _sigmoid(o) * np.tanh(c), c


KINDS = {
    "lstm": (4, cells.LSTMCell, {}),
    "gru": (3, cells.GRUCell, {}),
    "rnn": (1, cells.VanillaCell, {"nonlinearity": "tanh"}),
}


def _random_state(kind, rng):
    h, c = rng.normal(size=(2, N)).astype(np.float32)
    return (h, c) if kind == "lstm" else h


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("as_file", [True, False])
def test_one_layer(kind, bias, as_file, tmp_path):
    gates, cls, options = KINDS[kind]
    weights = _weights(gates, bias=bias, prefix="encoder.rnn.")
    source = weights | {"head.weight": np.ones((2, 2), np.float32)}
    if as_file:
        safetensors.numpy.save_file(source, tmp_path / "model.safetensors")
        source = tmp_path / "model.safetensors"
    cell = interop.load_torch(source, kind, **options)
    assert type(cell) is cls
    assert {leaf.dtype for leaf in jax.tree.leaves(cell)} == {jnp.dtype(jnp.float32)}
    rng = np.random.default_rng(1)
    state, x = _random_state(kind, rng), rng.normal(size=D).astype(np.float32)
    expected = _torch_step(kind, weights, 0, state, x)
    for a, b in zip(jax.tree.leaves(cell(state, x)), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_kind_is_read_off_the_shapes(kind):
    gates, cls, options = KINDS[kind]
    assert type(interop.load_torch(_weights(gates), **options)) is cls


@pytest.mark.parametrize("kind", KINDS)
def test_layers_are_stacked(kind):
    gates, _, options = KINDS[kind]
    weights = _weights(gates, layers=3)
    stack = interop.load_torch(weights, kind, **options)
    assert isinstance(stack, cells.StackedCell)
    rng = np.random.default_rng(1)
    states = tuple(_random_state(kind, rng) for _ in range(3))
    x = rng.normal(size=D).astype(np.float32)
    new, below = stack(states, x), x
    for layer in range(3):
        expected = _torch_step(kind, weights, layer, states[layer], below)
        below = expected[0] if kind == "lstm" else expected
        for a, b in zip(jax.tree.leaves(new[layer]), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_cell_modules_have_names_without_layer(kind):
    gates, cls, options = KINDS[kind]
    cell = interop.load_torch(_weights(gates, suffix=""), kind, **options)
    same = interop.load_torch(_weights(gates), kind, **options)
    assert type(cell) is cls
    for a, b in zip(jax.tree.leaves(cell), jax.tree.leaves(same), strict=True):
        np.testing.assert_array_equal(a, b)


def test_relu_rnn():
    weights = _weights(1)
    cell = interop.load_torch(weights, "rnn", nonlinearity="relu")
    h, x = np.ones(N, np.float32), np.ones(D, np.float32)
    expected = _torch_step("rnn", weights, 0, h, x, lambda a: np.maximum(a, 0))
    np.testing.assert_allclose(cell(h, x), expected, rtol=1e-5)


def test_prefix_is_chosen_when_there_are_several():
    weights = _weights(4, prefix="encoder.") | _weights(3, prefix="decoder.", seed=1)
    with pytest.raises(ValueError, match=r"choose prefix= from \['decoder.', 'encoder.'\]"):
        interop.load_torch(weights)
    assert isinstance(interop.load_torch(weights, prefix="decoder."), cells.GRUCell)
    with pytest.raises(ValueError, match="holds no layer 'rnn.'"):
        interop.load_torch(weights, prefix="rnn.")


def _with(**changes):
    return _weights(4) | {name: np.ones(shape, np.float32) for name, shape in changes.items()}


def _without(*names):
    return {name: value for name, value in _weights(4).items() if name not in names}


def _with_nan():
    weights = _weights(4)
    weights["bias_hh_l0"][3] = np.inf
    return weights


@pytest.mark.parametrize(
    "weights, options, message",
    [
        (_with(weight_ih_l0_reverse=(16, 3)), {}, "bidirectional .*'weight_ih_l0_reverse'"),
        (_with(weight_hr_l0=(2, 4)), {}, "proj_size is not supported yet: .*'weight_hr_l0'"),
        (_without("weight_hh_l0"), {}, "lacks the tensors .'weight_hh_l0'"),
        (_without("bias_ih_l0"), {}, "lacks the tensors .'bias_ih_l0'"),
        (_with(weight_ih_l2=(16, 4), weight_hh_l2=(16, 4)), {}, "'weight_ih_l1'"),
        (_with(weight_hh_l0=(5, 4)), {}, r"expected weight_hh of shape \(4n, n\)"),
        (_with(weight_ih_l0=(12, 3)), {}, r"weight_xh must have shape \(16, 3\); got \(12, 3\)"),
        (_with(weight_ih_l1=(16, 5), weight_hh_l1=(16, 4)), {}, "weight_ih_l1 .*takes 5 inputs"),
        (_with(weight_hh_l0=(16, 4)) | {"weight_ih_l0": np.ones((16, 3), int)}, {}, "be floating"),
        (_with_nan(), {}, "tensor 'bias_hh_l0' of the state dict holds 1 NaN or inf"),
        ({"head.weight": np.ones(2)}, {}, "holds no recurrent layer .*head.weight"),
        ({}, {}, "holds no recurrent layer"),
        (_weights(4), {"cell": "gru"}, "here 'gru'; the state dict holds"),
        (_weights(4), {"cell": "mamba"}, "cell must be 'lstm', 'gru' or 'rnn'"),
        (_weights(4), {"nonlinearity": "tanh"}, "only for an RNN"),
        (_weights(1), {}, "pass nonlinearity='tanh' or nonlinearity='relu'; got None"),
        (_weights(1), {"nonlinearity": "gelu"}, "got 'gelu'"),
    ],
)
def test_what_cannot_be_loaded(weights, options, message):
    with pytest.raises(ValueError, match=message):
        interop.load_torch(weights, **options)


def test_broken_files(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors.numpy.save(_weights(4))[:-8])
    with pytest.raises(ValueError, match="model.safetensors is not a complete safetensors file"):
        interop.load_torch(path)
    with pytest.raises(ValueError, match="never opened here"):
        interop.load_torch(tmp_path / "model.pt")


@pytest.mark.parametrize("kind", KINDS)
def test_against_torch_itself(kind):
    torch = pytest.importorskip("torch")
    module = getattr(torch.nn, kind.upper())(D, N, num_layers=2)
    cell = interop.load_torch(module.state_dict(), kind, **KINDS[kind][2])
    xs = np.random.default_rng(0).normal(size=(5, D)).astype(np.float32)
    with torch.no_grad():
        expected = module(torch.from_numpy(xs))[0].numpy()
    cell_state = jax.tree.map(lambda a: a.astype(jnp.float32), cell.initial_state())
    for x, out in zip(xs, expected, strict=True):
        cell_state = cell(cell_state, x)
        np.testing.assert_allclose(cells.hidden_output(cell, cell_state), out, atol=1e-5)
