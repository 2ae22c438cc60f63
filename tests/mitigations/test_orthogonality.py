from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vanishing_jax import cells, mitigations


def penalty(strength, cell):
    hook = mitigations.soft_orthogonality(strength).penalty
    assert hook is not None
    return hook(cell, jnp.zeros((2, 3, 1)), lambda states: jnp.zeros(()))


def test_is_the_formula_in_singular_values_over_all_blocks():
    cell = cells.LSTMCell(1, 4, key=jax.random.key(0)).map_recurrent(lambda w: w @ w * 1.5 + 0.1)
    s = [np.linalg.svd(b, compute_uv=False) for b in np.asarray(cell.weight_hh).reshape(4, 4, 4)]
    expected = 0.3 * np.sum((np.square(s) - 1) ** 2)
    np.testing.assert_allclose(penalty(0.3, cell), expected, rtol=1e-4)


def test_vanishes_with_its_gradient_at_orthogonal_weights_and_pulls_towards_them():
    cell = cells.LSTMCell(1, 4, key=jax.random.key(0))
    value, gradient = jax.value_and_grad(lambda c: penalty(1.0, c))(cell)
    assert value < 1e-9 and np.abs(gradient.weight_hh).max() < 1e-4
    # At W = c Q the gradient is 4 (c^2 - 1) c Q.
    gradient = jax.grad(lambda c: penalty(1.0, c))(cell.map_recurrent(lambda w: 1.2 * w))
    np.testing.assert_allclose(
        gradient.weight_hh, 4 * 0.44 * 1.2 * cell.weight_hh, rtol=1e-3, atol=1e-5
    )
    np.testing.assert_array_equal(gradient.weight_xh, 0)
    with pytest.raises(ValueError, match="`strength` of at least 0; got -1"):
        mitigations.soft_orthogonality(-1.0)


def project(margin, cell) -> Any:
    hook = mitigations.singular_value_band(margin).project
    assert hook is not None
    return hook(cell)


@pytest.mark.parametrize("margin", [0.0, 0.2, 1.0])
def test_singular_values_are_clipped_and_twice_is_once(margin):
    cell = cells.GRUCell(1, 4, key=jax.random.key(0)).map_recurrent(
        lambda w: w @ jnp.diag(jnp.array([0.0, 0.9, 1.1, 3.0], w.dtype))
    )
    once = project(margin, cell)
    for block in np.asarray(once.weight_hh).reshape(3, 4, 4):
        expected = np.clip([3.0, 1.1, 0.9, 0.0], 1 - margin, 1 + margin)
        np.testing.assert_allclose(np.linalg.svd(block, compute_uv=False), expected, atol=1e-5)
    np.testing.assert_allclose(project(margin, once).weight_hh, once.weight_hh, atol=1e-5)
    np.testing.assert_array_equal(once.bias, cell.bias)


@pytest.mark.as_users
def test_weights_inside_stay_and_half_precision_keeps_its_dtype():
    cell = cells.VanillaCell(1, 3, dtype=jnp.float16, key=jax.random.key(0))
    cell = cell.map_recurrent(lambda w: jnp.diag(jnp.array([0.9, 1.0, -1.1], w.dtype)))
    found = project(0.2, cell).weight_hh
    assert found.dtype == jnp.float16
    np.testing.assert_allclose(found, cell.weight_hh, atol=2e-3)
    with pytest.raises(ValueError, match="0 <= margin <= 1; got 2"):
        mitigations.singular_value_band(2.0)
