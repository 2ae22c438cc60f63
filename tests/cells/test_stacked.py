import equinox as eqx
import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vanishing_jax import cells

KEYS = jax.random.split(jax.random.key(0), 3)


def _stack():
    return cells.StackedCell(
        [
            cells.LSTMCell(3, 4, key=KEYS[0]),
            cells.GRUCell(4, 2, key=KEYS[1]),
            eqx.nn.GRUCell(2, 5, key=KEYS[2]),
        ]
    )


@pytest.mark.as_users
def test_each_layer_sees_the_new_output_below():
    stack = _stack()
    state = jax.tree.map(lambda a: a + 0.3, stack.initial_state())
    x = jnp.ones(3)
    new = stack(state, x)
    h0, c0 = stack.cells[0](state[0], x)
    h1 = stack.cells[1](state[1], h0)
    h2 = stack.cells[2](state[2], h1)
    for a, b in zip(jax.tree.leaves(new), (h0, c0, h1, h2), strict=True):
        np.testing.assert_array_equal(a, b)
    assert jax.tree.structure(new) == jax.tree.structure(state)


def test_names():
    stack = _stack()
    assert stack.state_names == ("layer0.h", "layer0.c", "layer1.h", "layer2.h")
    assert stack.gate_names[:4] == (
        "layer0.input",
        "layer0.forget",
        "layer0.output",
        "layer1.reset",
    )
    nested = cells.StackedCell([stack])
    assert nested.state_names is not None
    assert nested.state_names[0] == "layer0.layer0.h"
    state = nested.initial_state()
    assert cells.hidden_output(nested, state).shape == (5,)


def test_map_recurrent():
    stack = _stack()
    mapped = stack.map_recurrent(jnp.zeros_like)
    assert mapped is not None
    for cell in mapped.cells[:2]:
        assert isinstance(cell, cells.LSTMCell | cells.GRUCell)
        np.testing.assert_array_equal(cell.weight_hh, 0)
    assert (
        cells.StackedCell([cells.FunctionCell(lambda p, s, x: s, 1.0)]).map_recurrent(abs) is None
    )


def test_a_layer_without_names_leaves_the_stack_without():
    stack = cells.StackedCell([cells.FunctionCell(lambda p, s, x: jnp.tanh(p * s + x), 0.5)] * 2)
    assert stack.state_names is None and stack.gate_names == ()
    new = stack((jnp.ones(2), jnp.zeros(2)), jnp.ones(2))
    np.testing.assert_allclose(new[1], np.tanh(np.tanh([1.5, 1.5])), rtol=1e-6)


def test_flax_lstm_hands_up_h_although_its_carry_starts_with_c():
    module = flax.linen.LSTMCell(4)
    carry, x = (jnp.zeros(4, jnp.float32),) * 2, jnp.ones(3, jnp.float32)
    lstm = cells.FlaxCell(module, module.init(KEYS[0], carry, x))
    stack = cells.StackedCell([lstm, cells.GRUCell(4, 2, dtype=jnp.float32, key=KEYS[1])])
    (c, h), top = stack(stack.initial_state(), x)
    np.testing.assert_array_equal(top, stack.cells[1](jnp.zeros(2, jnp.float32), h))
    assert stack.state_names == ("layer0.c", "layer0.h", "layer1.h")


def test_gradient_reaches_every_layer():
    stack = _stack()

    @eqx.filter_jit
    @eqx.filter_grad
    def gradient(stack):
        state = jax.tree.map(lambda a: a + 0.3, stack.initial_state())
        return stack(state, jnp.ones(3))[-1].sum()

    assert all(np.any(np.asarray(leaf) != 0) for leaf in jax.tree.leaves(gradient(stack)))


def test_wrong_arguments_raise():
    with pytest.raises(ValueError, match="at least one cell"):
        cells.StackedCell([])
    with pytest.raises(TypeError, match="FunctionCell"):
        cells.StackedCell([lambda s, x: s])
    stack = _stack()
    with pytest.raises(ValueError, match="tuple of 3 layer states; got a tuple of 2"):
        stack(stack.initial_state()[:2], jnp.ones(3))
    with pytest.raises(ValueError, match=r"cell\(state, input\)"):
        stack(jnp.ones(3), stack.initial_state())


def test_residual_layers_add_to_a_stream():
    layers = [cells.VanillaCell(3 if i == 0 else 2, 2, key=KEYS[i]) for i in range(3)]
    stack = cells.StackedCell(layers, residual=True)
    x = jnp.ones(3)
    state = tuple(jnp.full(2, 0.1 * i) for i in range(3))
    new = stack(state, x)
    h0 = layers[0](state[0], x)
    h1 = layers[1](state[1], h0)
    h2 = layers[2](state[2], h0 + h1)
    for a, b in zip(new, (h0, h1, h2), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    np.testing.assert_allclose(cells.hidden_output(stack, new), h0 + h1 + h2, rtol=1e-6)
    above = cells.StackedCell([stack, cells.VanillaCell(2, 2, key=KEYS[0])])
    lower, upper = above(above.initial_state(), x)
    np.testing.assert_array_equal(cells.hidden_output(above, (lower, upper)), upper)
    mapped = stack.map_recurrent(jnp.zeros_like)
    assert mapped is not None and mapped.residual
    with pytest.raises(ValueError, match=r"one shape; got \(4,\) and then \(2,\)"):
        lower, upper = _stack().cells[:2]
        uneven = cells.StackedCell([lower, upper], residual=True)
        uneven(uneven.initial_state(), x)
