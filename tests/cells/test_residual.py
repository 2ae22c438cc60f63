from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vanishing_jax import cells


@pytest.mark.as_users
def test_adds_to_the_state_and_the_identity_to_the_jacobian():
    inside = cells.VanillaCell(2, 3, key=jax.random.key(0))
    h, x = jnp.array([0.5, -1.0, 2.0]), jnp.ones(2)
    cell = cells.ResidualCell(inside, scale=0.2)
    np.testing.assert_allclose(cell(h, x), h + 0.2 * inside(h, x), rtol=1e-6)
    J = np.asarray(jax.jacfwd(cell)(h, x))
    np.testing.assert_allclose(J, np.eye(3) + 0.2 * jax.jacfwd(inside)(h, x), rtol=1e-5)
    # Every exponent is at most ln(1 + eps ||J_f||).
    inner_norm = np.linalg.norm(jax.jacfwd(inside)(h, x), 2)
    assert np.linalg.norm(J, 2) <= 1 + 0.2 * inner_norm + 1e-6
    np.testing.assert_allclose(cells.ResidualCell(inside)(h, x), h + inside(h, x), rtol=1e-6)


def test_counters_are_not_added():
    cell = cells.ResidualCell(
        cells.TruncatedCell(cells.VanillaCell(1, 2, key=jax.random.key(0)), 4)
    )
    (_, step) = cell((jnp.ones(2), jnp.asarray(5, jnp.int32)), jnp.ones(1))
    assert step == 6 and cells.hidden_output(cell, cell.initial_state()).shape == (2,)


@pytest.mark.parametrize("scale", [0.0, float("inf")])
def test_useless_scales_are_refused(scale):
    with pytest.raises(ValueError, match="finite scale other than 0"):
        cells.ResidualCell(cells.GRUCell(1, 2, key=jax.random.key(0)), scale)


@pytest.mark.as_users
def test_is_the_weighted_mean_of_the_state_and_the_cell():
    inside = cells.LSTMCell(2, 3, key=jax.random.key(0))
    cell = cells.LeakyCell(inside, 0.3)
    state, x = (jnp.full(3, 0.5), jnp.full(3, -2.0)), jnp.ones(2)
    for mixed, old, new in zip(cell(state, x), state, inside(state, x), strict=True):
        np.testing.assert_allclose(mixed, 0.7 * old + 0.3 * new, rtol=1e-6)
    assert cell.state_names == ("h", "c") and cell.gate_names == inside.gate_names
    mapped: Any = cell.map_recurrent(jnp.zeros_like)
    assert mapped is not None and mapped.rate == 0.3
    np.testing.assert_array_equal(mapped.cell.weight_hh, 0)


@pytest.mark.parametrize("rate, gain", [(0.1, 0.9), (0.5, 1.5), (1.0, 0.9)])
def test_exponents_at_zero_are_those_of_the_formula(rate, gain):
    # W = g I at h = 0 without input: every exponent is ln(1 - a + a g).
    plain = cells.VanillaCell(
        1, 4, recurrent_initializer=cells.identity_initializer(gain), key=jax.random.key(0)
    )
    J = jax.jacfwd(cells.LeakyCell(plain, rate))(jnp.zeros(4), jnp.zeros(1))
    np.testing.assert_allclose(J, np.exp(np.log(1 - rate + rate * gain)) * np.eye(4), rtol=1e-6)


@pytest.mark.parametrize("rate", [0.0, 1.5, float("nan")])
def test_rates_outside_are_refused(rate):
    with pytest.raises(ValueError, match="0 < rate <= 1"):
        cells.LeakyCell(cells.GRUCell(1, 2, key=jax.random.key(0)), rate)
    with pytest.raises(TypeError, match="expected a cell"):
        cells.LeakyCell(jnp.tanh, 0.5)
