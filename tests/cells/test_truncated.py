import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vanishing_jax import cells

T = 6


def plain():
    return cells.GRUCell(2, 3, key=jax.random.key(0))


INPUTS = jax.random.normal(jax.random.key(1), (T, 2))


@jax.jit
def gradient(cell, inputs, state):
    """Return the derivative by inputs and state of a loss at the last step."""

    def loss(inputs, state):
        final = jax.lax.scan(lambda s, x: (cell(s, x), None), state, inputs)[0]
        return jnp.sum(cells.hidden_output(cell, final) * jnp.array([1.0, -2.0, 0.5]))

    return jax.grad(loss, (0, 1), allow_int=True)(inputs, state)


@pytest.mark.as_users
@pytest.mark.parametrize("steps", [T, T + 5])
def test_long_blocks_are_full_back_propagation_bit_for_bit(steps):
    cell = cells.TruncatedCell(plain(), steps)
    by_input, (by_state, _) = gradient(cell, INPUTS, cell.initial_state())
    expected, expected_state = gradient(plain(), INPUTS, plain().initial_state())
    np.testing.assert_array_equal(by_input, expected)
    np.testing.assert_array_equal(by_state, expected_state)


@pytest.mark.parametrize("steps, first", [(4, 4), (2, 4)])
def test_gradient_is_that_of_the_last_block_alone(steps, first):
    cell = cells.TruncatedCell(plain(), steps)
    by_input, (by_state, _) = gradient(cell, INPUTS, cell.initial_state())
    assert np.all(np.asarray(by_input[:first]) == 0) and np.all(np.asarray(by_state) == 0)
    state = plain().initial_state()
    for x in INPUTS[:first]:
        state = plain()(state, x)
    expected = gradient(plain(), INPUTS[first:], state)[0]
    np.testing.assert_allclose(by_input[first:], expected, rtol=1e-4, atol=1e-7)
    assert np.all(np.asarray(by_input[first:]) != 0)


def test_states_are_those_of_the_cell_inside():
    cell, inner = cells.TruncatedCell(plain(), 2), plain().initial_state()
    state = cell.initial_state()
    for x in INPUTS[:3]:
        state, inner = cell(state, x), plain()(inner, x)
    np.testing.assert_array_equal(state[0], inner)
    assert state[1] == 3
    mapped = cell.map_recurrent(jnp.zeros_like)
    assert mapped is not None and mapped.steps == 2
    assert (
        cells.TruncatedCell(cells.FunctionCell(lambda p, s, x: s, 1.0), 2).map_recurrent(abs)
        is None
    )


def test_an_infinite_gradient_is_cut_too():
    # d sqrt(h) at h = 0 is infinite; a product with 0 would make it NaN.
    root = cells.FunctionCell(lambda w, h, x: jnp.sqrt(h) * w, jnp.ones(1))
    cell = cells.TruncatedCell(root, 1)
    back = jax.grad(lambda h: jnp.sum(cell((h, jnp.asarray(1, jnp.int32)), 0.0)[0]))
    np.testing.assert_array_equal(back(jnp.zeros(1)), 0)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="steps must be at least 1; got 0"):
        cells.TruncatedCell(plain(), 0)
    with pytest.raises(ValueError, match=r"\(state of the cell inside, step\)"):
        cells.TruncatedCell(plain(), 2)(jnp.ones(3), jnp.ones(2))
