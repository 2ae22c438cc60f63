"""The package's own cells against independent NumPy formulas."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vanishing_jax import cells

D, N = 3, 4
ROOT = jax.random.key(0)


def _np_sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _numpy(cell):
    return {
        name: np.asarray(getattr(cell, name), np.float64)
        for name in ("weight_hh", "weight_xh", "bias", "bias_n", "peepholes")
        if getattr(cell, name, None) is not None
    }


def _vanilla(activation):
    def reference(cell, h, x):
        w = _numpy(cell)
        return activation(w["weight_hh"] @ h + w["weight_xh"] @ x + w.get("bias", 0.0))

    return reference


def _lstm(cell, state, x):
    w, (h, c) = _numpy(cell), state
    rows = {gate: slice(k * N, (k + 1) * N) for k, gate in enumerate("ifgo")}
    a = {g: w["weight_hh"][r] @ h + w["weight_xh"][r] @ x + w["bias"][r] for g, r in rows.items()}
    new = _np_sigmoid(a["f"]) * c + _np_sigmoid(a["i"]) * np.tanh(a["g"])
    return _np_sigmoid(a["o"]) * np.tanh(new), new


def _gru(cell, h, x):
    w = _numpy(cell)
    rows = {gate: slice(k * N, (k + 1) * N) for k, gate in enumerate("rzn")}
    hidden = {gate: w["weight_hh"][r] @ h for gate, r in rows.items()}
    given = {gate: w["weight_xh"][r] @ x + w["bias"][r] for gate, r in rows.items()}
    r, z = (_np_sigmoid(hidden[gate] + given[gate]) for gate in "rz")
    n = np.tanh(given["n"] + r * (hidden["n"] + w["bias_n"]))
    return (1 - z) * n + z * h


def _clip(a, bound):
    return a if bound is None else np.clip(a, -bound, bound)


def _reset_before(cell, h, x):
    w = _numpy(cell)
    W, U, b = ({g: a[k * N : (k + 1) * N] for k, g in enumerate("rzn")} for a in list(w.values()))
    r, z = (_np_sigmoid(_clip(W[g] @ h + U[g] @ x + b[g], cell.clip)) for g in "rz")
    n = np.tanh(_clip(W["n"] @ (r * h) + U["n"] @ x + b["n"], cell.clip))
    return (1 - z) * n + z * h


def _mgu(cell, h, x):
    w = _numpy(cell)
    (hidden_f, hidden_n), given = np.split(w["weight_hh"] @ h, 2), w["weight_xh"] @ x + w["bias"]
    f = _np_sigmoid(hidden_f + given[:N])
    return (1 - f) * np.tanh(given[N:] + f * (hidden_n + w["bias_n"])) + f * h


def _peephole(cell, state, x):
    w, (h, c) = _numpy(cell), state
    rows = "igo" if cell.coupled else "ifgo"
    preactivations = w["weight_hh"] @ h + w["weight_xh"] @ x + w["bias"]
    a = dict(zip(rows, preactivations.reshape(-1, N), strict=True))
    holes = w.get("peepholes", np.zeros(len(rows) * N - N)).reshape(-1, N)
    p = dict(zip(rows.replace("g", ""), holes, strict=True))
    i = _np_sigmoid(_clip(a["i"] + p["i"] * c, cell.clip))
    f = 1 - i if cell.coupled else _np_sigmoid(_clip(a["f"] + p["f"] * c, cell.clip))
    c = f * c + i * np.tanh(_clip(a["g"], cell.clip))
    return _np_sigmoid(_clip(a["o"] + p["o"] * c, cell.clip)) * np.tanh(c), c


GATES = ("input", "forget", "output")
# name -> (constructor, NumPy reference, state names, gate names, blocks)
CELLS = {
    "tanh": (cells.VanillaCell, {}, _vanilla(np.tanh), ("h",), (), 1),
    "sigmoid": (
        cells.VanillaCell,
        {"activation": "sigmoid"},
        _vanilla(_np_sigmoid),
        ("h",),
        (),
        1,
    ),
    "relu": (
        cells.VanillaCell,
        {"activation": "relu", "bias_initializer": None},
        _vanilla(lambda a: np.maximum(a, 0)),
        ("h",),
        (),
        1,
    ),
    "identity": (
        cells.VanillaCell,
        {"activation": "identity"},
        _vanilla(lambda a: a),
        ("h",),
        (),
        1,
    ),
    "own": (cells.VanillaCell, {"activation": jnp.sin}, _vanilla(np.sin), ("h",), (), 1),
    "lstm": (cells.LSTMCell, {}, _lstm, ("h", "c"), ("input", "forget", "output"), 4),
    "gru": (cells.GRUCell, {}, _gru, ("h",), ("reset", "update"), 3),
    "reset before": (
        cells.ResetBeforeGRUCell,
        {},
        _reset_before,
        ("h",),
        ("reset", "update"),
        3,
    ),
    "mgu": (cells.MGUCell, {}, _mgu, ("h",), ("forget",), 2),
    "peephole": (cells.PeepholeLSTMCell, {}, _peephole, ("h", "c"), GATES, 4),
    "coupled": (cells.PeepholeLSTMCell, {"coupled": True}, _peephole, ("h", "c"), GATES, 3),
}


def _make(name, key=ROOT, **options):
    kind, own_options = CELLS[name][:2]
    return kind(D, N, **own_options, **options, key=key)


def _randomized(cell, key):
    """The cell with all weights drawn anew, biases included."""
    leaves, structure = jax.tree.flatten(cell)
    keys = jax.random.split(key, len(leaves))
    drawn = [jax.random.normal(k, a.shape, a.dtype) for k, a in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(structure, drawn)


def _state_and_input(cell, key):
    leaves, structure = jax.tree.flatten(cell.initial_state())
    keys = jax.random.split(key, len(leaves) + 1)
    state = [jax.random.normal(k, a.shape, a.dtype) for k, a in zip(keys, leaves, strict=False)]
    return jax.tree.unflatten(structure, state), jax.random.normal(keys[-1], (D,), state[0].dtype)


@pytest.mark.as_users
@pytest.mark.parametrize("name", CELLS)
def test_step_equals_the_formulas(name, getkey):
    reference, state_names, gate_names = CELLS[name][2:5]
    cell = _randomized(_make(name, getkey()), getkey())
    state, x = _state_and_input(cell, getkey())
    new = cell(state, x)
    expected = reference(cell, *jax.tree.map(lambda a: np.asarray(a, np.float64), (state, x)))
    assert jax.tree.structure(new) == jax.tree.structure(state)
    eps = float(jnp.finfo(jnp.result_type(float)).eps)
    for a, b in zip(jax.tree.leaves(new), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=200 * eps, atol=50 * eps)
    assert cell.state_names == state_names
    assert cell.gate_names == gate_names
    again = cell(*jax.tree.map(np.asarray, (state, x)))  # NumPy arrays are welcome
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(new), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", CELLS)
def test_initial_state_is_zero(name):
    state = _make(name).initial_state()
    for leaf in jax.tree.leaves(state):
        assert leaf.shape == (N,) and leaf.dtype == jnp.result_type(float)
        np.testing.assert_array_equal(leaf, 0)


@pytest.mark.parametrize("name", CELLS)
def test_gradients_reach_every_parameter(name, getkey):
    cell = _make(name, getkey())
    state, x = _state_and_input(cell, getkey())
    # away from the kink at 0, so that no ReLU is dead in every unit
    state = jax.tree.map(jnp.abs, state)

    @eqx.filter_jit
    @eqx.filter_grad
    def gradient(cell):
        return sum(leaf @ jnp.arange(1.0, N + 1) for leaf in jax.tree.leaves(cell(state, x)))

    for leaf in jax.tree.leaves(gradient(_randomized(cell, getkey()))):
        assert np.all(np.isfinite(leaf))
        if name != "relu":
            assert np.all(np.asarray(leaf) != 0)


@pytest.mark.parametrize("name", CELLS)
def test_vmap_over_sequences_and_over_cells(name, getkey):
    cell = _make(name)
    states, xs = zip(*[_state_and_input(cell, getkey()) for _ in range(2)], strict=True)
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    together = jax.jit(jax.vmap(cell))(batch, jnp.stack(xs))
    for i in range(2):
        one = jax.tree.leaves(cell(states[i], xs[i]))
        for a, b in zip(jax.tree.leaves(together), one, strict=True):
            np.testing.assert_allclose(a[i], b, rtol=1e-5, atol=1e-6)
    ensemble = eqx.filter_vmap(lambda key: _make(name, key))(jax.random.split(getkey(), 2))
    out = eqx.filter_vmap(lambda c: c(states[0], xs[0]))(ensemble)
    assert all(leaf.shape == (2, N) for leaf in jax.tree.leaves(out))


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
def test_dtype(name, dtype):
    cell = _make(name, dtype=dtype)
    assert {leaf.dtype for leaf in jax.tree.leaves(cell)} == {jnp.dtype(dtype)}
    new = cell(cell.initial_state(), jnp.ones(D, dtype))
    assert {leaf.dtype for leaf in jax.tree.leaves(new)} == {jnp.dtype(dtype)}


@pytest.mark.parametrize("name", CELLS)
def test_orthogonal_initialization_is_per_gate(name):
    blocks = CELLS[name][5]
    cell = _make(name, recurrent_initializer=jax.nn.initializers.orthogonal())
    assert cell.weight_hh.shape == (blocks * N, N)
    gates = np.split(np.asarray(cell.weight_hh), blocks)
    for gate in gates:
        np.testing.assert_allclose(gate @ gate.T, np.eye(N), atol=1e-5)
    assert len({gate.tobytes() for gate in gates}) == blocks  # drawn independently


@pytest.mark.parametrize("kind, gates", [(cells.VanillaCell, 1), (cells.LSTMCell, 4)])
def test_initializers_see_fan_in_and_fan_out(kind, gates):
    def initializer(key, shape, dtype):
        assert shape == (D, N)
        return jnp.arange(12, dtype=dtype).reshape(shape)

    cell = kind(D, N, input_initializer=initializer, key=ROOT)
    assert cell.weight_xh.shape == (gates * N, D)
    np.testing.assert_array_equal(cell.weight_xh[:N], np.arange(12).reshape(D, N).T)


def test_biases():
    lstm = cells.LSTMCell(D, N, forget_bias=2.5, key=ROOT)
    np.testing.assert_array_equal(lstm.bias, [0] * N + [2.5] * N + [0] * 2 * N)
    np.testing.assert_array_equal(_make("lstm").bias[N : 2 * N], 1)
    gru = cells.GRUCell(D, N, update_bias=-1.5, key=ROOT)
    np.testing.assert_array_equal(gru.bias, [0] * N + [-1.5] * N + [0] * N)
    np.testing.assert_array_equal(gru.bias_n, 0)
    assert _make("relu").bias is None


def test_gain_of_the_default_recurrent_weights():
    cell = cells.VanillaCell(1, 200, key=ROOT)
    assert abs(np.var(np.asarray(cell.weight_hh)) * 200 - 1) < 0.05


@pytest.mark.parametrize("name", CELLS)
def test_map_recurrent_maps_each_block(name):
    cell, blocks = _make(name), CELLS[name][5]
    mapped = cell.map_recurrent(lambda block: jnp.triu(block) + 7)
    for old, new in zip(
        np.split(np.asarray(cell.weight_hh), blocks),
        np.split(np.asarray(mapped.weight_hh), blocks),
        strict=True,
    ):
        np.testing.assert_allclose(new, np.triu(old) + 7, rtol=1e-6)
    assert type(mapped) is type(cell)
    np.testing.assert_array_equal(mapped.weight_xh, cell.weight_xh)
    with pytest.raises(ValueError, match=r"returned \(2, 2\)"):
        cell.map_recurrent(lambda block: block[:2, :2])


@pytest.mark.parametrize("name", CELLS)
def test_wrong_shapes_say_what_was_expected(name):
    cell = _make(name)
    state, x = cell.initial_state(), jnp.ones(D)
    with pytest.raises(ValueError, match=r"input of shape \(3,\); got shape \(5, 3\).*jax.vmap"):
        cell(state, jnp.ones((5, D)))
    with pytest.raises(ValueError, match=r"input of shape \(3,\); got shape \(4,\)"):
        cell(state, jnp.ones(N))
    with pytest.raises(ValueError, match=r"expected state.*cell\(state, input\)"):
        cell(x, state)  # swapped
    batched = jax.tree.map(lambda a: jnp.stack([a, a]), state)
    with pytest.raises(ValueError, match=r"of shape \(4,\); got.*\(2, 4\)"):
        cell(batched, x)
    wrapped = state[0] if isinstance(state, tuple) else (state, state)
    with pytest.raises(ValueError, match="expected state"):
        cell(wrapped, x)


@pytest.mark.parametrize("kind", [cells.VanillaCell, cells.LSTMCell, cells.GRUCell])
@pytest.mark.parametrize("sizes", [(0, 2), (2, 0), (-1, 2)])
def test_sizes_below_one_raise(kind, sizes):
    with pytest.raises(ValueError, match="must be at least 1"):
        kind(*sizes, key=ROOT)


def test_wrong_options_raise():
    with pytest.raises(ValueError, match="'tanh', 'sigmoid', 'relu', 'identity'; got 'gelu'"):
        cells.VanillaCell(1, 2, activation="gelu", key=ROOT)
    with pytest.raises(ValueError, match="floating dtype"):
        cells.GRUCell(1, 2, dtype=jnp.int32, key=ROOT)


def test_one_unit_and_one_input():
    for kind in (cells.VanillaCell, cells.LSTMCell, cells.GRUCell):
        cell = kind(1, 1, key=ROOT)
        assert jax.tree.leaves(cell(cell.initial_state(), jnp.ones(1)))[0].shape == (1,)


@pytest.mark.as_users
def test_derivative_survives_saturation():
    cell = cells.VanillaCell(1, 1, bias_initializer=jax.nn.initializers.constant(9.5), key=ROOT)
    cell = cell.map_recurrent(jnp.ones_like)
    jacobian = jax.jacfwd(cell)(cell.initial_state(), jnp.zeros(1))
    np.testing.assert_allclose(jacobian, 1 / np.cosh(9.5) ** 2, rtol=1e-5)


def test_irnn():
    initializer = cells.identity_initializer(0.5)
    cell = cells.VanillaCell(D, N, activation="relu", recurrent_initializer=initializer, key=ROOT)
    np.testing.assert_array_equal(cell.weight_hh, 0.5 * np.eye(N))
    h = jnp.arange(1.0, N + 1)
    np.testing.assert_array_equal(cell(h, jnp.zeros(D)), h / 2)
    with pytest.raises(ValueError, match=r"square shape; got \(2, 3\)"):
        initializer(ROOT, (2, 3), jnp.float32)


def test_hidden_output():
    lstm, gru = cells.LSTMCell(D, N, key=ROOT), cells.GRUCell(N, 2, key=ROOT)
    h, c = jnp.ones(N), jnp.zeros(N)
    assert cells.hidden_output(lstm, (h, c)) is h
    stack = cells.StackedCell([lstm, gru])
    top = jnp.ones(2)
    assert cells.hidden_output(stack, ((h, c), top)) is top
    assert cells.hidden_output(cells.FunctionCell(lambda p, s, x: s, ()), {"b": c, "a": h}) is h


def test_clip_bounds_every_preactivation(getkey):
    """Of weights so large that nearly all are clipped."""
    kinds = {
        "gru": cells.GRUCell(D, N, clip=0.5, key=ROOT),
        "reset before": cells.ResetBeforeGRUCell(D, N, clip=0.5, key=ROOT),
        "peephole": cells.PeepholeLSTMCell(D, N, clip=0.5, key=ROOT),
        "coupled": cells.PeepholeLSTMCell(D, N, clip=0.5, coupled=True, peepholes=False, key=ROOT),
    }
    for name, cell in kinds.items():
        cell = jax.tree.map(lambda a: 3 * a, _randomized(cell, getkey()))
        state, x = _state_and_input(cell, getkey())
        if name == "gru":
            w = {k: jnp.clip(a, -0.5, 0.5) for k, a in _gru_preactivations(cell, state, x).items()}
            n, z = np.tanh(w["n"]), _np_sigmoid(np.asarray(w["z"]))
            expected = (1 - z) * n + z * np.asarray(state)
        else:
            expected = CELLS[name][2](cell, *jax.tree.map(np.asarray, (state, x)))
        for a, b in zip(jax.tree.leaves(cell(state, x)), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    for clip in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="clip must be a positive number"):
            cells.GRUCell(D, N, clip=clip, key=ROOT)


def _gru_preactivations(cell, h, x):
    hidden = np.split(np.asarray(cell.weight_hh) @ h, 3)
    given = np.split(np.asarray(cell.weight_xh) @ x + np.asarray(cell.bias), 3)
    r = _np_sigmoid(np.clip(hidden[0] + given[0], -0.5, 0.5))
    return {"z": hidden[1] + given[1], "n": given[2] + r * (hidden[2] + np.asarray(cell.bias_n))}


def test_peepholes_start_as_an_lstm():
    cell, lstm = (k(D, N, key=ROOT) for k in (cells.PeepholeLSTMCell, cells.LSTMCell))
    state, x = (jnp.ones(N), -jnp.ones(N)), jnp.arange(3.0)
    for a, b in zip(cell(state, x), lstm(state, x), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
