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
