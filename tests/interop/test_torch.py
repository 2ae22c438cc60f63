"""load_torch against the equations of PyTorch's documentation, written in NumPy."""

import pickle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from vanishing_jax import cells, interop, networks

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
    cell: Any = interop.load_torch(source, kind, **options)
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
    cell: Any = interop.load_torch(weights, "rnn", nonlinearity="relu")
    h, x = np.ones(N, np.float32), np.ones(D, np.float32)
    expected = _torch_step("rnn", weights, 0, h, x, lambda a: np.maximum(a, 0))
    np.testing.assert_allclose(cell(h, x), expected, rtol=1e-5)


def test_prefix_is_chosen_when_there_are_several():
    weights = _weights(4, prefix="encoder.") | _weights(3, prefix="decoder.", seed=1)
    with pytest.raises(ValueError, match=r"choose prefix= from \['decoder', 'encoder'\]"):
        interop.load_torch(weights)
    assert isinstance(interop.load_torch(weights, prefix="decoder."), cells.GRUCell)
    with pytest.raises(ValueError, match="no layer 'rnn' in the PyTorch weights"):
        interop.load_torch(weights, prefix="rnn.")


def _with(**changes):
    return _weights(4) | {name: np.ones(shape, np.float32) for name, shape in changes.items()}


def _deep(**changes):
    shapes = {name: np.ones(shape, np.float32) for name, shape in changes.items()}
    return _weights(4, layers=2) | shapes


def _without(*names):
    return {name: value for name, value in _weights(4).items() if name not in names}


def _with_nan():
    weights = _weights(4)
    weights["bias_hh_l0"][3] = np.inf
    return weights


@pytest.mark.parametrize(
    "weights, options, message",
    [
        (_with(weight_ih_l0_reverse=(16, 3)), {}, "lacks .*'bias_ih_l0_reverse'.*'weight_hh_l0_"),
        (_with(weight_hr_l0=(2, 4)), {}, r"weight_hr must have shape \(4, 4\); got \(2, 4\)"),
        (_with(weight_hr_l0=(4,)), {}, r"weight_hr must have shape \(4, 4\); got \(4,\)"),
        (_with(weight_hr_l0=(2, 4)), {"cell": "gru"}, "of the kind 'lstm', not 'gru'"),
        (_without("weight_hh_l0"), {}, "lacks the tensors .'weight_hh_l0'"),
        (_without("bias_ih_l0"), {}, "lacks the tensors .'bias_ih_l0'"),
        (_with(weight_ih_l2=(16, 4), weight_hh_l2=(16, 4)), {}, "'weight_ih_l1'"),
        (_with(weight_hh_l0=(5, 4)), {}, r"weight_hh_l0 must be of shape \(4n, n\)"),
        (
            _with(weight_ih_l0=(12, 3)),
            {},
            r"weight_ih_l0 must have 16 .*; got shape \(12, 3\)",
        ),
        (
            _deep(weight_ih_l1=(16, 5)),
            {},
            "layer 1 of .* takes 5 inputs; layer 0 has 4",
        ),
        (_deep(bias_hh_l1=(15,)), {}, r"bias_hh_l1 must have 16 .*; got shape \(15,\)"),
        (_deep(weight_ih_l0_reverse=(16, 3)), {}, "lacks .*'weight_hh_l1_reverse'|weight_hh_l0_re"),
        (
            _with(weight_hh_l0=(16, 4)) | {"weight_ih_l0": np.ones((16, 3), int)},
            {},
            "weight_xh must be floating; got int",
        ),
        (_with_nan(), {}, "tensor 'bias_hh_l0' of the PyTorch weights holds 1 NaN or inf"),
        ({"head.weight": np.ones(2)}, {}, "no recurrent layer .*head/weight"),
        ({}, {}, "no recurrent layer"),
        (_weights(4), {"cell": "gru"}, "of the kind 'lstm', not 'gru'"),
        (_weights(4), {"cell": "mamba"}, "cell must be one of 'rnn', 'lstm', 'gru'"),
        (_weights(4), {"nonlinearity": "tanh"}, "only for an RNN"),
        (_weights(1), {}, "do not tell its nonlinearity: pass nonlinearity='tanh'"),
        (_weights(1), {"nonlinearity": "gelu"}, "got 'gelu'"),
    ],
)
def test_what_cannot_be_loaded(weights, options, message):
    with pytest.raises(ValueError, match=message):
        interop.load_torch(weights, **options)


def test_broken_files(tmp_path):
    path = tmp_path / "model.safetensors"
    complete = safetensors.numpy.save(_weights(4))
    for content, message in (
        (complete[:-8], "model.safetensors is not a complete safetensors file"),
        (complete[:5], "model.safetensors is not a complete safetensors file"),
        (b"", "model.safetensors is not a complete safetensors file: it is empty"),
        (bytes(range(200)), "model.safetensors is not a complete safetensors file"),
        (b"PK\x03\x04 an archive of torch.save", "looks like a pickle, .*save_file"),
        (pickle.dumps(_weights(4), protocol=2), "looks like a pickle, .*save_file"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            interop.load_torch(path)
    with pytest.raises(ValueError, match="model.pt: .*never opened here"):
        interop.load_torch(tmp_path / "model.pt")
    with pytest.raises(FileNotFoundError):
        interop.load_torch(tmp_path / "none.safetensors")
    safetensors.numpy.save_file(_with_nan(), path)
    with pytest.raises(ValueError, match="'bias_hh_l0' of .*model.safetensors holds 1 NaN"):
        interop.load_torch(path)


def test_headers_as_long_as_a_pickle_is_marked_are_read(tmp_path):
    # The first bytes of a safetensors file are a length, which may look like a mark: 0x80 0x02.
    path = tmp_path / "model.safetensors"
    bare = safetensors.numpy.save(_weights(4), metadata={"note": ""})
    length = int.from_bytes(bare[:8], "little")
    note = "x" * (0x0280 - length)
    content = safetensors.numpy.save(_weights(4), metadata={"note": note})
    assert content.startswith(b"\x80\x02")
    path.write_bytes(content)
    assert type(interop.load_torch(path)) is cells.LSTMCell


TORCH = {
    "lstm": ("LSTM", {}, {}),
    "lstm, projected": ("LSTM", {"proj_size": 2}, {}),
    "gru": ("GRU", {}, {}),
    "tanh": ("RNN", {}, {"nonlinearity": "tanh"}),
    "relu": ("RNN", {"nonlinearity": "relu"}, {"nonlinearity": "relu"}),
}


def _module(name, layers, bidirectional, bias):
    torch = pytest.importorskip("torch", reason="needs torch, of the extra `peers`, to compare")
    kind, options, _ = TORCH[name]
    torch.manual_seed(0)
    options = {"bidirectional": bidirectional, "bias": bias, **options}
    return torch, getattr(torch.nn, kind)(D, N, num_layers=layers, **options)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("name", TORCH)
def test_against_torch_itself(name):
    """Forward, and gradients with respect to inputs and weights, in both directions."""
    torch, module = _module(name, 2 if name == "lstm" else 1, True, True)
    network = interop.load_torch(module.state_dict(), **TORCH[name][2])
    assert isinstance(network, networks.RecurrentNetwork)
    xs = np.random.default_rng(0).normal(size=(5, D)).astype(np.float32)
    given = torch.from_numpy(xs).requires_grad_()
    expected = module(given)[0]
    weights = np.random.default_rng(1).normal(size=expected.shape).astype(np.float32)
    (expected * torch.from_numpy(weights)).sum().backward()

    def loss(network, xs):
        output = network(xs).output
        return jnp.sum(output * weights), output

    differentiated = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))
    (_, output), (by_weight, by_input) = differentiated(network, xs)
    _close(output, expected.detach())
    _close(by_input, given.grad)
    for part in by_weight.parts:
        end = f"_l{part.layer}{'_reverse' if part.direction == 'backward' else ''}"
        for what, ours in (
            ("weight_ih", "weight_xh"), ("weight_hh", "weight_hh"), ("weight_hr", "weight_hr"),
            ("bias_ih", "bias"),
        ):  # fmt: skip
            if hasattr(module, what + end):
                _close(getattr(part.cell, ours), getattr(module, what + end).grad)
        if name == "gru":
            _close(part.cell.bias_n, getattr(module, "bias_hh" + end).grad[2 * N :])


def _close(ours, theirs):
    """Compare to 1e-6 of the largest number."""
    theirs = np.asarray(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6 * max(1, np.abs(theirs).max()))


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", TORCH)
def test_every_layout_against_torch_itself(name, layers, bidirectional, bias):
    """Forward, each loaded cell stepped in NumPy."""
    torch, module = _module(name, layers, bidirectional, bias)
    loaded: Any = interop.load_torch(module.state_dict(), **TORCH[name][2])
    xs = np.random.default_rng(0).normal(size=(5, D)).astype(np.float32)
    with torch.no_grad():
        expected = module(torch.from_numpy(xs))[0].numpy()
    kind = {"lstm, projected": "lstm"}.get(name, name)
    if bidirectional:
        assert len(loaded.parts) == 2 * layers
        stack: list[Any] = [[layer.forward, layer.backward] for layer in loaded.layers]
    else:
        assert isinstance(loaded, cells.StackedCell) == (layers > 1)
        stack = [[cell] for cell in (loaded.cells if layers > 1 else [loaded])]
    for pair in stack:
        outputs = [_unroll(kind, pair[0], xs)]
        if bidirectional:
            outputs.append(_unroll(kind, pair[1], xs[::-1])[::-1])
        xs = np.concatenate(outputs, axis=1)
    np.testing.assert_allclose(xs, expected, rtol=0, atol=1e-6)


def _unroll(kind, cell, xs):
    """Return the hidden outputs of a cell of ours, by its documented formula in NumPy."""
    fields = ("weight_hh", "weight_xh", "weight_hr", "bias", "bias_n")
    w = {name: np.asarray(getattr(cell, name)) for name in fields if hasattr(cell, name)}
    n = w["weight_hh"].shape[0] // {"lstm": 4, "gru": 3}.get(kind, 1)
    h, c, outputs = np.zeros(w["weight_hh"].shape[1]), np.zeros(n), []
    for x in xs:
        hidden, given = w["weight_hh"] @ h, w["weight_xh"] @ x + w["bias"]
        if kind == "lstm":
            i, f, g, o = np.split(hidden + given, 4)
            c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
            h = _sigmoid(o) * np.tanh(c)
            h = w["weight_hr"] @ h if "weight_hr" in w else h
        elif kind == "gru":
            r, z = _sigmoid((hidden + given)[: 2 * n]).reshape(2, n)
            new = np.tanh(given[2 * n :] + r * (hidden[2 * n :] + w["bias_n"]))
            h = (1 - z) * new + z * h
        else:
            h = {"tanh": np.tanh, "relu": lambda a: np.maximum(a, 0)}[kind](hidden + given)
        outputs.append(h)
    return np.stack(outputs)
