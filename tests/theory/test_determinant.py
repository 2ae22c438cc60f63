import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import vanishing_jax as vj
from vanishing_jax import theory


def plain(inputs, hidden, activation):
    """Return a plain cell with weights drawn by NumPy: nothing to compile."""
    rng = np.random.default_rng(5)

    def draw(key, shape, dtype):
        return jnp.asarray(rng.normal(size=shape) / 2, dtype)

    return vj.cells.VanillaCell(
        inputs, hidden, activation=activation, recurrent_initializer=draw, input_initializer=draw,
        key=jr.key(0),
    )  # fmt: skip


SLOPES = {
    "tanh": lambda a: 1 - np.tanh(a) ** 2,
    "sigmoid": lambda a: 1 / (2 + np.exp(a) + np.exp(-a)),
    "relu": lambda a: (a > 0) * 1.0,
    jnp.sin: np.cos,
}


@pytest.mark.parametrize("activation", SLOPES)
def test_vanilla_split_agrees_with_jacobians_by_hand(activation):
    cell = plain(2, 4, activation)
    rng = np.random.default_rng(3)
    states, inputs = rng.normal(size=(4, 4)), 2 * rng.normal(size=(3, 2))
    W, U = np.asarray(cell.weight_hh, float), np.asarray(cell.weight_xh, float)
    a = states[:-1] @ W.T + inputs @ U.T
    if activation == "relu":  # make no unit sleep in the first step
        inputs = 0 * inputs
        states[0] = np.linalg.solve(W, np.arange(1.0, 5.0))
        a = states[:-1] @ W.T
    jacobians = SLOPES[activation](a)[:, :, None] * W
    with np.errstate(divide="ignore"):
        expected = np.log(np.abs(np.linalg.det(jacobians)))
    found = theory.vanilla_log_determinants(cell, jnp.asarray(states), jnp.asarray(inputs))
    tolerance = 1e-11 if found.dtype == cell.weight_hh.dtype else 1e-4
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(theory.log_determinants(jacobians), expected, rtol=1e-11)
    assert np.isfinite(found[0]) and (activation != "relu" or found[1] == -np.inf)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_slopes_far_below_the_range_of_floats(activation):
    cell = plain(1, 2, activation)
    found = theory.vanilla_log_determinants(cell, jnp.zeros((2, 2)), jnp.full((1, 1), 1e4))
    a = 1e4 * np.abs(np.asarray(cell.weight_xh, float)[:, 0])
    log_slopes = (np.log(4) - 2 * a) if activation == "tanh" else -a
    own = np.log(abs(np.linalg.det(np.asarray(cell.weight_hh, float))))
    assert found[0] == pytest.approx(own + log_slopes.sum(), rel=1e-6) and found[0] < -1000


def test_sum_of_log_singular_values_of_a_product_in_any_order():
    J = np.random.default_rng(0).normal(size=(3, 4, 4))
    logs = np.log(np.linalg.svd(J[2] @ J[1] @ J[0], compute_uv=False))
    chain = vj.JacobianChain(jnp.asarray(J))
    tolerance = 1e-12 if chain.jacobians.dtype == jnp.float64 else 1e-5
    assert logs.sum() == pytest.approx(theory.log_determinants(chain).sum(), abs=tolerance)
    known = np.random.default_rng(0).normal(size=(32, 32)) / np.sqrt(32)
    assert 30 * theory.log_determinants(known[None])[0] == pytest.approx(-474.2872559425047)
    assert theory.log_determinants(np.zeros((1, 2, 2))).tolist() == [-np.inf]


def test_wrong_arguments_are_named():
    with pytest.raises(TypeError, match="a VanillaCell; got"):
        theory.vanilla_log_determinants(jnp.zeros(2), jnp.zeros((1, 3)), jnp.zeros((0, 2)))
    with pytest.raises(ValueError, match="time, n, n"):
        theory.log_determinants(np.zeros((3, 2, 1)))
