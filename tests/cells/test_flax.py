import equinox as eqx
import flax.core
import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from vanishing_jax import _activations, cells

D, N = 3, 4
KEY = jax.random.key(0)
X = jnp.asarray([0.3, -1.0, 0.7], jnp.float32)
LSTM = (("c", "h"), ("input", "forget", "output"), 4)
GRU = (("h",), ("reset", "update"), 3)
SIMPLE = (("h",), (), 1)
MGU = (("h",), ("forget",), 2)


# name -> state names, gate names, number of recurrent blocks
LINEN = {
    "LSTMCell": LSTM,
    "OptimizedLSTMCell": LSTM,
    "GRUCell": GRU,
    "SimpleCell": SIMPLE,
    "MGUCell": MGU,
}
NNX = {"LSTMCell": LSTM, "OptimizedLSTMCell": LSTM, "GRUCell": GRU, "SimpleCell": SIMPLE}
TABLE = [("linen", name, *facts) for name, facts in LINEN.items()]
TABLE += [("nnx", name, *facts) for name, facts in NNX.items()]


def _make(library, name):
    """Return the adapter and the framework's own step(carry, input) -> carry."""
    if library == "linen":
        module = getattr(flax.linen, name)(N)
        variables = module.init(KEY, module.initialize_carry(KEY, (D,)), X)
        return cells.FlaxCell(module, variables), lambda s, x: module.apply(variables, s, x)[0]
    module = getattr(nnx, name)(D, N, rngs=nnx.Rngs(0))
    return cells.FlaxCell(module), lambda s, x: module(s, x)[0]


def _state(cell):
    leaves, structure = jax.tree.flatten(cell.initial_state())
    drawn = [
        jax.random.normal(k, a.shape, a.dtype)
        for k, a in zip(jax.random.split(KEY, len(leaves)), leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, drawn)


@pytest.mark.parametrize("library, name, state_names, gate_names, blocks", TABLE)
def test_flax_cell_equals_the_module(library, name, state_names, gate_names, blocks):
    cell, step = _make(library, name)
    state = _state(cell)
    new = cell(state, X)
    for a, b in zip(jax.tree.leaves(new), jax.tree.leaves(step(state, X)), strict=True):
        np.testing.assert_array_equal(a, b)
    zero = cell.initial_state()
    assert jax.tree.structure(zero) == jax.tree.structure(new)
    assert all(leaf.shape == (N,) and not np.any(leaf) for leaf in jax.tree.leaves(zero))
    assert (cell.state_names, cell.gate_names) == (state_names, gate_names)
    kinds = _activations.activation_kinds(cell, state, X)
    assert kinds.count("sigmoid") == len(gate_names)
    batch = jax.tree.map(lambda a: jnp.stack([a, 2 * a]), state)
    out = jax.jit(jax.vmap(cell))(batch, jnp.stack([X, X]))
    for a, b in zip(jax.tree.leaves(out), jax.tree.leaves(new), strict=True):
        np.testing.assert_allclose(a[0], b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("library, name, state_names, gate_names, blocks", TABLE)
def test_gradients_reach_every_parameter(library, name, state_names, gate_names, blocks):
    cell, _ = _make(library, name)

    @eqx.filter_jit
    @eqx.filter_grad
    def gradient(cell):
        return sum(leaf.sum() for leaf in jax.tree.leaves(cell(_state(cell), X)))

    leaves = jax.tree.leaves(gradient(cell))
    assert len(leaves) == len(jax.tree.leaves(cell)) > 0
    assert all(np.any(np.asarray(leaf) != 0) for leaf in leaves)


@pytest.mark.as_users
@pytest.mark.parametrize("library, name, state_names, gate_names, blocks", TABLE)
def test_map_recurrent(library, name, state_names, gate_names, blocks):
    cell, _ = _make(library, name)
    seen = []

    def fn(block):
        seen.append(np.asarray(block))
        return jnp.zeros_like(block)

    mapped = cell.map_recurrent(fn)
    assert mapped is not None
    assert [block.shape for block in seen] == [(N, N)] * blocks
    state = _state(cell)
    if state_names == ("c", "h"):  # without recurrent weights an LSTM does not see h
        for a, b in zip(mapped(state, X), mapped((state[0], state[1] + 1), X), strict=True):
            np.testing.assert_array_equal(a, b)
    if name == "SimpleCell":
        np.testing.assert_array_equal(mapped(state, X), mapped(2 * state, X))
        # Row form: the block multiplies the column h from the left.
        expected = jax.jacfwd(cell)(jnp.zeros(N, jnp.float32), jnp.zeros(D, jnp.float32))
        np.testing.assert_allclose(expected, seen[0], atol=1e-6)


@pytest.mark.parametrize("library, name, state_names, gate_names, blocks", TABLE)
def test_shapes_are_checked(library, name, state_names, gate_names, blocks):
    cell, _ = _make(library, name)
    state = cell.initial_state()
    with pytest.raises(ValueError, match="use jax.vmap for batches"):
        cell(state, jnp.stack([X, X]))  # Flax alone would broadcast
    with pytest.raises(ValueError, match="expected state"):
        cell(jax.tree.map(lambda a: jnp.stack([a, a]), state), X)
    with pytest.raises(ValueError, match="expected state"):
        cell(X, state)  # swapped


@pytest.mark.as_users
def test_state_order_of_the_lstm_carry():
    for library in ("linen", "nnx"):
        cell, _ = _make(library, "LSTMCell")
        c, h = cell(_state(cell), X)
        assert np.all(np.abs(h) < np.abs(np.tanh(c)))  # h = o tanh(c), o < 1


def test_nnx_variables_are_a_snapshot():
    module = nnx.SimpleCell(D, N, rngs=nnx.Rngs(0))
    cell = cells.FlaxCell(module)
    before = cell(cell.initial_state(), X)
    module.dense_i.kernel[...] = jnp.zeros((D, N), jnp.float32)
    np.testing.assert_array_equal(cell(cell.initial_state(), X), before)


class Noisy(nnx.Module):
    def __init__(self, rngs):
        self.cell = nnx.GRUCell(D, N, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, carry, x):
        carry, out = self.cell(carry, self.dropout(x))
        return carry, out


class Normed(nnx.Module):
    def __init__(self, rngs):
        self.norm = nnx.BatchNorm(N, rngs=rngs)

    def __call__(self, carry, x):
        carry = self.norm(carry[None])[0]
        return carry, carry


@pytest.mark.parametrize("kind, part", [(Noisy, "Dropout"), (Normed, "BatchNorm")])
def test_nnx_training_mode_raises(kind, part):
    module = kind(nnx.Rngs(0))
    with pytest.raises(ValueError, match=rf"{part} \(.*\) is in training mode.*module.eval\(\)"):
        cells.FlaxCell(module)
    module.eval()
    cell = cells.FlaxCell(module)
    state = jnp.ones(N, jnp.float32)
    assert eqx.filter_jit(cell)(state, X).shape == (N,)
    assert cell.state_names is None and cell.gate_names == ()
    assert cell.map_recurrent(lambda w: w) is None
    with pytest.raises(ValueError, match=f"carry of {kind.__name__}: pass state0="):
        cell.initial_state()


class OwnCell(flax.linen.RNNCellBase):
    """A cell by Flax's conventions, with a dict carry."""

    @flax.linen.compact
    def __call__(self, carry, x):
        h = jnp.tanh(flax.linen.Dense(N)(x) + carry["h"])
        return {"h": h, "count": carry["count"] + 1}, h

    @flax.linen.nowrap
    def initialize_carry(self, rng, input_shape):
        return {"h": jnp.zeros(N, jnp.float32), "count": jnp.zeros((), jnp.int32)}

    @property
    def num_feature_axes(self):
        return 1


def test_own_linen_cell_with_dict_carry_and_frozen_variables():
    module = OwnCell()
    carry = module.initialize_carry(KEY, (D,))
    variables = flax.core.freeze(module.init(KEY, carry, X))
    cell = cells.FlaxCell(module, variables)
    new = eqx.filter_jit(cell)(cell.initial_state(), X)
    assert new["count"] == 1 and new["h"].shape == (N,)
    assert cell.state_names is None


class ReturnsCarryOnly(flax.linen.Module):
    @flax.linen.compact
    def __call__(self, carry, x):
        return flax.linen.Dense(N)(carry)


def test_wrong_signature_raises():
    module, state = ReturnsCarryOnly(), jnp.ones(N, jnp.float32)
    cell = cells.FlaxCell(module, module.init(KEY, state, X))
    with pytest.raises(ValueError, match=r"expected ReturnsCarryOnly.*-> \(carry, output\)"):
        cell(state, X)


def test_wrong_arguments_raise():
    module = flax.linen.GRUCell(N)
    variables = module.init(KEY, jnp.zeros(N, jnp.float32), X)
    with pytest.raises(ValueError, match="does not hold its variables"):
        cells.FlaxCell(module)
    with pytest.raises(ValueError, match="mapping with the key 'params'"):
        cells.FlaxCell(module, variables["params"])
    with pytest.raises(ValueError, match="holds its own variables"):
        cells.FlaxCell(nnx.GRUCell(D, N, rngs=nnx.Rngs(0)), variables)
    with pytest.raises(TypeError, match="expected a Flax Linen module"):
        cells.FlaxCell(lambda s, x: s)
    with pytest.raises(TypeError, match=r"Linen module GRUCell. Wrap it: FlaxCell\(module, var"):
        cells.as_cell(module)
    with pytest.raises(TypeError, match=r"NNX module GRUCell. Wrap it: FlaxCell\(module\)"):
        cells.as_cell(nnx.GRUCell(D, N, rngs=nnx.Rngs(0)))
