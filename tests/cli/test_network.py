"""The command line on files of networks, against code by hand."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from .. import helpers
from .test_cli import call

# The sizes of the tests of `diagnose`: state 6, 24 steps.
D, N, T = 3, 3, 24


def weights(dtype: Any = np.float64):
    """Return the state dict of a 2-layer bidirectional LSTM: torch's own where it is installed."""
    torch = pytest.importorskip("torch", reason="needs torch, of the extra `peers`, to make a file")
    torch.manual_seed(0)
    module = torch.nn.LSTM(D, N, num_layers=2, bidirectional=True).to(torch.float64)
    return {name: tensor.numpy().astype(dtype) for name, tensor in module.state_dict().items()}


def step(w, state, x):
    """One step of a torch LSTM as its documentation writes it."""
    h, c = state[:N], state[N:]
    gates = w["weight_ih"] @ x + w["bias_ih"] + w["weight_hh"] @ h + w["bias_hh"]
    i, f, g, o = jnp.split(gates, 4)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jnp.concatenate([jax.nn.sigmoid(o) * jnp.tanh(c), c])


@jax.jit
def run(w, xs):
    """Return hidden outputs and one-step Jacobians over a sequence."""

    def body(state, x):
        new = step(w, state, x)
        return new, (new[:N], jax.jacfwd(lambda s: step(w, s, x))(state))

    return jax.lax.scan(body, jnp.zeros(2 * N), xs)[1]


def by_hand(tensors, xs):
    """Return the log singular values of each part's product, in high precision."""
    spectra = {}
    for layer in (0, 1):
        outputs = []
        for direction, end, turn in (("forward", "", 1), ("backward", "_reverse", -1)):
            names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            # The columns of the first layer are padded with zeros: one compiled program for both.
            w = {name: tensors[f"{name}_l{layer}{end}"] for name in names}
            w["weight_ih"] = np.pad(w["weight_ih"], ((0, 0), (0, 2 * N - xs.shape[1])))
            given = np.pad(xs, ((0, 0), (0, 2 * N - xs.shape[1])))
            h, jacobians = run(w, given[::turn])
            outputs.append(np.asarray(h)[::turn])
            logs = helpers.exact_log_singular_values(jacobians, 120)
            spectra[f"layer{layer}.{direction}"] = logs
        xs = np.concatenate(outputs, axis=1)
    return spectra


def test_bidirectional_torch_lstm_from_the_files_alone(tmp_path, capsys):
    tensors = weights()
    safetensors.numpy.save_file(tensors, tmp_path / "model.safetensors")
    xs = np.random.default_rng(0).normal(size=(4, T + 2, D))
    lengths = np.array([T, T - 3, T, T])
    xs[np.arange(T + 2) >= lengths[:, None]] = np.nan  # padding
    np.save(tmp_path / "x.npy", xs)
    np.save(tmp_path / "lengths.npy", lengths)
    code = call(
        "diagnose", tmp_path / "model.safetensors", "--framework", "torch", "--cell", "lstm",
        "--inputs", tmp_path / "x.npy", "--lengths", tmp_path / "lengths.npy", "--json", "-",
        "--details",
    )  # fmt: skip
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert code == {"healthy": 0, "vanishing": 3, "inconclusive": 5}[found["verdict"]]
    assert found["num_steps"] == T and set(found["reaches"]) == {"past", "future"}
    expected = by_hand(tensors, xs[0, :T])
    assert set(found["parts"]) == set(expected)
    for name, logs in expected.items():
        spectrum = found["parts"][name]["spectrum"]
        assert spectrum["windows"][-1] == [0, T]
        np.testing.assert_allclose(spectrum["log_singular_values"][-1], logs, atol=1e-7)
        assert name in printed.err
    assert "smallest" in printed.err


def test_inspect_describes_gates_not_kernels(tmp_path, capsys):
    tensors = {f"rnn.{name}": value for name, value in weights(np.float32).items()}
    tensors["head.weight"] = np.ones((2, 2), np.float32)
    path = tmp_path / "model.safetensors"
    safetensors.numpy.save_file(tensors, path)
    assert call("inspect", path, "--json", "-") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["layers"] == 2 and found["bidirectional"] and found["non_finite"] == {}
    assert found["parameters"] == sum(tensor.size for tensor in tensors.values())
    part = next(p for p in found["parts"] if p["name"] == "layer1.backward")
    assert (part["cell"], part["input_size"], part["hidden_size"]) == ("LSTMCell", 2 * N, N)
    block = tensors["rnn.weight_hh_l1_reverse"][N : 2 * N].astype(np.float64)
    bias = sum(tensors[f"rnn.bias_{what}_l1_reverse"][N : 2 * N] for what in ("ih", "hh"))
    forget = part["gates"][1]
    assert forget["gate"] == "forget"
    for key, value in {
        "spectral_radius": np.abs(np.linalg.eigvals(block)).max(),
        "largest_singular_value": np.linalg.norm(block, 2),
        "smallest_singular_value": np.linalg.norm(block, -2),
        "mean_bias": np.mean(bias),
    }.items():
        assert forget[key] == pytest.approx(value, rel=1e-5), key
    assert call("inspect", path) == 0
    text = capsys.readouterr().out
    assert "2 layers, both directions" in text and "layer0.backward" in text and "forget" in text


def test_inspect_other_files(tmp_path, capsys):
    path = tmp_path / "model.safetensors"
    rnn = {"weight_ih_l0": np.ones((2, 3), np.float32), "weight_hh_l0": np.eye(2, dtype=np.float32)}
    safetensors.numpy.save_file(rnn, path)
    assert call("inspect", path) == 0  # whatever the nonlinearity, which the file does not hold
    assert "VanillaCell" in capsys.readouterr().out
    rnn["weight_hh_l0"][0, 1] = np.nan
    safetensors.numpy.save_file(rnn, path)
    assert call("inspect", path) == 1
    assert "weight_hh_l0: 1 NaN or infinite values" in capsys.readouterr().out
    path.write_bytes(b"no weights")
    assert call("inspect", path) == 2
    assert "not a complete safetensors file" in capsys.readouterr().err
    assert call("inspect", tmp_path / "none.safetensors") == 2


@pytest.mark.parametrize(
    ("kind", "options", "gates"),
    [
        ("MGUCell", {}, "forget content"),
        ("ResetBeforeGRUCell", {}, "reset update content"),
        ("PeepholeLSTMCell", {}, "input forget content output"),
        ("PeepholeLSTMCell", {"coupled": True}, "input content output"),
        ("LRUCell", {}, ""),  # diagonal: no recurrent matrix
    ],
)
def test_inspect_knows_the_gates_of_every_cell(tmp_path, capsys, kind, options, gates):
    from vanishing_jax import cells

    cell: Any = getattr(cells, kind)(D, N, key=jax.random.key(0), **options)
    path = tmp_path / "cell.safetensors"
    cells.save_cell(path, cell)
    assert call("inspect", path, "--json", "-") == 0
    (part,) = json.loads(capsys.readouterr().out)["parts"]
    assert (part["cell"], part["input_size"], part["hidden_size"]) == (kind, D, N)
    assert [gate["gate"] for gate in part["gates"]] == gates.split()
    if gates:
        last = np.linalg.norm(np.asarray(cell.weight_hh)[-N:], 2)
        assert part["gates"][-1]["largest_singular_value"] == pytest.approx(last, rel=1e-5)


def test_frameworks_of_the_command_line_are_those_that_can_be_read():
    import typing

    from vanishing_jax.cli import _main
    from vanishing_jax.interop._loaders import LOADERS

    for command in (_main.Diagnose, _main.Inspect):
        offered = typing.get_args(typing.get_type_hints(command)["framework"])
        assert set(offered) == {"auto", "vanishing_jax", *LOADERS}
