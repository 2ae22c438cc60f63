import numpy as np
import pytest


@pytest.fixture
def vj():
    import vanishing_jax

    return vanishing_jax


def test_rotation_has_its_angle(vj):
    angle = 0.3
    R = 0.9 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    found = vj.diagnostics.step_eigenvalues(vj.JacobianChain(np.stack([R] * 10)), points=3)
    assert found.times.tolist() == [1, 6, 10]
    np.testing.assert_allclose(np.abs(found.eigenvalues), 0.9)
    np.testing.assert_allclose(np.sort(np.angle(found.eigenvalues[0])), [-angle, angle])
    assert "spectral radius from 0.9 to 0.9" in repr(found)


def test_each_step_is_its_own(vj):
    chain = vj.JacobianChain(np.arange(1.0, 6.0)[:, None, None])
    found = vj.diagnostics.step_eigenvalues(chain, points=100)
    np.testing.assert_array_equal(found.eigenvalues[:, 0], [1, 2, 3, 4, 5])
