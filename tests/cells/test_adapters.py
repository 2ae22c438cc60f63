import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vanishing_jax import cells

KEY = jax.random.key(0)
D, N = 3, 4
KNOWN = {
    "lstm": (eqx.nn.LSTMCell, ("h", "c"), ("input", "forget", "output"), 4),
    "gru": (eqx.nn.GRUCell, ("h",), ("reset", "update"), 3),
}


class Leaky(eqx.Module):
    """An Equinox module of one's own, called with (input, state)."""

    weight: jax.Array

    def __call__(self, input, state):
        return 0.9 * state + self.weight @ input


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("use_bias", [True, False])
def test_equinox_cell_equals_the_module(name, use_bias, getkey):
    kind, state_names, gate_names, _ = KNOWN[name]
    module = kind(D, N, use_bias=use_bias, key=getkey())
    cell = cells.as_cell(module)
    assert isinstance(cell, cells.EquinoxCell)
    zero = cell.initial_state()
    state = jax.tree.map(lambda a: jax.random.normal(getkey(), a.shape, a.dtype), zero)
    x = jax.random.normal(getkey(), (D,))
    new = cell(state, x)
    assert jax.tree.structure(zero) == jax.tree.structure(new)
    assert all(np.all(np.asarray(leaf) == 0) for leaf in jax.tree.leaves(zero))
    for a, b in zip(jax.tree.leaves(new), jax.tree.leaves(module(x, state)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (cell.state_names, cell.gate_names) == (state_names, gate_names)


@pytest.mark.parametrize("name", KNOWN)
def test_equinox_cell_checks_shapes(name):
    module = KNOWN[name][0](N, N, use_bias=False, key=KEY)  # accepts a square batch silently
    cell = cells.EquinoxCell(module)
    state = cell.initial_state()
    with pytest.raises(ValueError, match="use jax.vmap for batches"):
        cell(state, jnp.ones((N, N)))
    with pytest.raises(ValueError, match="expected state"):
        cell(jax.tree.map(lambda a: jnp.stack([a] * N), state), jnp.ones(N))
    with pytest.raises(ValueError, match=r"cell\(state, input\)"):
        cells.EquinoxCell(KNOWN[name][0](D, N, key=KEY))(jnp.ones(D), state)  # swapped


@pytest.mark.parametrize("name", KNOWN)
def test_equinox_cell_maps_recurrent_blocks(name):
    kind, _, _, blocks = KNOWN[name]
    module = kind(D, N, key=KEY)
    mapped = cells.EquinoxCell(module).map_recurrent(jnp.tril)
    assert mapped is not None
    for old, new in zip(
        np.split(np.asarray(module.weight_hh), blocks),
        np.split(np.asarray(mapped.module.weight_hh), blocks),
        strict=True,
    ):
        np.testing.assert_array_equal(new, np.tril(old))
    np.testing.assert_array_equal(mapped.module.weight_ih, module.weight_ih)


def test_equinox_cell_of_an_own_module():
    module = Leaky(jnp.ones((N, D)))
    cell = cells.EquinoxCell(module)
    np.testing.assert_allclose(cell(jnp.ones(N), jnp.ones(D)), 3.9, rtol=1e-6)
    assert cell.state_names is None and cell.gate_names == ()
    assert cell.map_recurrent(lambda w: w) is None
    with pytest.raises(ValueError, match="Leaky: pass state0="):
        cell.initial_state()


@pytest.mark.as_users
def test_equinox_cell_gradient_jit_vmap():
    cell = cells.EquinoxCell(eqx.nn.LSTMCell(D, N, key=KEY))

    @eqx.filter_jit
    @eqx.filter_grad
    def gradient(cell, states, xs):
        return jax.vmap(cell)(states, xs)[0].sum()

    states = jax.tree.map(lambda a: jnp.stack([a + 0.5, a - 0.5]), cell.initial_state())
    leaves = jax.tree.leaves(gradient(cell, states, jnp.ones((2, D))))
    assert len(leaves) == 3 and all(np.any(np.asarray(leaf) != 0) for leaf in leaves)


@pytest.mark.parametrize("wrong", [lambda x, s: s, 3, eqx.nn.LSTMCell])
def test_equinox_cell_of_something_else_raises(wrong):
    with pytest.raises(TypeError, match="expected a callable Equinox module"):
        cells.EquinoxCell(wrong)


def test_equinox_cell_of_a_cell_raises():
    with pytest.raises(TypeError, match="LSTMCell is a cell already"):
        cells.EquinoxCell(cells.LSTMCell(D, N, key=KEY))


@pytest.mark.as_users
def test_function_cell():
    def step(params, state, input):
        return {"h": jnp.tanh(params["w"] @ state["h"] + input), "count": state["count"] + 1}

    cell = cells.FunctionCell(step, {"w": 0.5 * jnp.eye(2)})
    state = {"h": jnp.ones(2), "count": jnp.asarray(0)}
    new = eqx.filter_jit(cell)(state, jnp.ones(2))
    np.testing.assert_allclose(new["h"], np.tanh(1.5), rtol=1e-6)
    assert new["count"] == 1
    assert cells.as_cell(cell) is cell
    assert (cell.state_names, cell.gate_names, cell.map_recurrent(abs)) == (None, (), None)
    with pytest.raises(ValueError, match="pass state0="):
        cell.initial_state()
    gradient = eqx.filter_grad(lambda c: c(state, jnp.ones(2))["h"].sum())(cell)
    assert np.all(np.asarray(gradient.params["w"]) != 0)


def test_function_cell_refuses_arrays_in_fn():
    module = Leaky(jnp.ones((N, D)))
    with pytest.raises(TypeError, match="carries arrays; pass it as params"):
        cells.FunctionCell(module, ())
    cell = cells.FunctionCell(lambda p, s, x: p(x, s), module)
    np.testing.assert_allclose(cell(jnp.ones(N), jnp.ones(D)), 3.9, rtol=1e-6)


def test_as_cell_returns_cells_unchanged():
    for cell in (cells.GRUCell(D, N, key=KEY), cells.EquinoxCell(Leaky(jnp.ones((N, D))))):
        assert cells.as_cell(cell) is cell


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: lambda state, input: state,
            r"expected a cell; got a plain function. Wrap it: FunctionCell\(fn, params\) for "
            r"fn\(params, state, input\)\.",
        ),
        (lambda: jnp.tanh, r"FunctionCell\(fn, params\)"),
        (lambda: Leaky(jnp.ones((N, D))), r"EquinoxCell\(module\) if .*; FunctionCell\(lambda"),
        (lambda: cells.LSTMCell, "got the class LSTMCell. Pass an instance"),
        (lambda: 3, r"got int\. .*FunctionCell"),
        (lambda: None, "got NoneType"),
    ],
)
def test_as_cell_explains(make, message):
    with pytest.raises(TypeError, match=message):
        cells.as_cell(make())
