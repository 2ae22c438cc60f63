import numpy as np
import pytest

from vanishing_jax.theory import (
    antisymmetric_exponents,
    cornn_log_determinant,
    oscillator_exponents,
)


@pytest.mark.parametrize("damping", [0.0, 0.4])
def test_euler_steps_of_an_antisymmetric_flow(damping):
    M = np.random.default_rng(0).normal(size=(5, 5))
    A = np.eye(5) + 0.1 * (M - M.T - damping * np.eye(5))
    logs = np.log(np.linalg.svd(np.linalg.matrix_power(A, 40), compute_uv=False))
    np.testing.assert_allclose(
        40 * antisymmetric_exponents(M, step=0.1, damping=damping), logs, atol=1e-11
    )
    if not damping:
        assert logs[-1] == pytest.approx(0, abs=1e-12) and logs[0] > 1  # odd n: one eigenvalue 0


@pytest.mark.parametrize("stiffness, damping", [(1.0, 0.0), (3.0, 0.8), (0.2, 3.0), (420.0, 0.0)])
def test_powers_of_one_oscillator(stiffness, damping):
    dt, steps = 0.1, 2000

    def step(y, z):
        z = z - dt * (stiffness * y + damping * z)
        return np.array([y + dt * z, z])

    J = np.stack([step(1.0, 0.0), step(0.0, 1.0)], axis=1)
    found = oscillator_exponents(np.array([stiffness]), step=dt, damping=damping)[0]
    power, total = np.eye(2), 0.0
    for _ in range(steps):
        power = J @ power
        scale = np.abs(power).max()
        power, total = power / scale, total + np.log(scale)
    assert total / steps == pytest.approx(found[0], abs=3e-3)
    assert found.sum() == pytest.approx(np.linalg.slogdet(J).logabsdet, abs=1e-12)
    if damping == 0 and stiffness * dt**2 < 4:  # elliptic: neither grows nor shrinks
        np.testing.assert_allclose(found, 0, atol=1e-12)
    if damping == 0 and stiffness * dt**2 > 4:
        assert found[0] > 0.1


def test_determinant_of_the_nonlinear_cell_by_complex_steps():
    rng = np.random.default_rng(1)
    n, dt, gamma, damping = 3, 0.2, 1.3, 0.7
    W, Wz = rng.normal(size=(2, n, n))
    s0, x = rng.normal(size=2 * n), rng.normal(size=n)

    def step(s):
        y, z = s[:n], s[n:]
        z = z + dt * (np.tanh(W @ y + Wz @ z + x) - gamma * y - damping * z)
        return np.concatenate([y + dt * z, z])

    J = np.stack([np.imag(step(s0 + 1e-30j * e)) / 1e-30 for e in np.eye(2 * n)], axis=1)
    slopes = 1 - np.tanh(W @ s0[:n] + Wz @ s0[n:] + x) ** 2
    found = cornn_log_determinant(Wz, slopes[None], step=dt, damping=damping)
    assert found == pytest.approx(np.linalg.slogdet(J).logabsdet, rel=1e-10)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="positive, finite `step`"):
        oscillator_exponents(np.ones(1), step=0.0)
    with pytest.raises(ValueError, match="positive, finite `step`"):
        cornn_log_determinant(np.eye(2), np.ones((1, 2)), step=-1.0, damping=0.0)
    with pytest.raises(ValueError, match="positive, finite `step`"):
        antisymmetric_exponents(np.eye(2), step=np.inf)
