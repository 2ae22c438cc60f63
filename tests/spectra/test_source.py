import jax
import jax.numpy as jnp
import numpy as np
import pytest


@pytest.fixture
def vj():
    import vanishing_jax

    return vanishing_jax


@pytest.mark.float64_anyway
@pytest.mark.parametrize("name", ["VanillaCell", "LSTMCell", "GRUCell"])
def test_pushing_the_frame_is_multiplying_by_the_jacobian(vj, name):
    from vanishing_jax.spectra._walk import source_of

    cell = getattr(vj.cells, name)(2, 4, key=jax.random.key(0))
    inputs = 2 * jax.random.normal(jax.random.key(1), (12, 2))
    trajectory = vj.rollout(cell, cell.initial_state(), inputs)
    dense, streamed = (vj.linearize(cell, trajectory, dense=d) for d in (True, False))
    assert dense.dtype == np.float64
    frame = jnp.asarray(np.random.default_rng(0).standard_normal((dense.state_size,) * 2))
    for backward in (False, True):
        sources = [source_of(chain, 3, 11, 0, backward) for chain in (dense, streamed)]
        push = jax.jit(lambda lag, sources=sources: [s.push(lag, frame) for s in sources])
        for lag in (0, 5, 7):
            expected, found = push(lag)
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
            J = dense.jacobians[10 - lag if backward else 3 + lag]
            by_hand = frame @ (J if backward else J.T)
            np.testing.assert_allclose(found, by_hand, rtol=1e-12, atol=1e-14)
