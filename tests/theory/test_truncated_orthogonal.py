import mpmath
import numpy as np
import pytest

from vanishing_jax.theory import ginibre_exponents, ginibre_growth_variance
from vanishing_jax.theory.random_matrices._products import (
    truncated_orthogonal_exponents,
    truncated_orthogonal_growth_variance,
)


def haar_block(rng, samples, n, removed):
    """Return upper left blocks of orthogonal matrices, uniform by the QR of Gaussians."""
    Q, R = np.linalg.qr(rng.normal(size=(samples, n + removed, n + removed)))
    Q = Q * np.sign(np.diagonal(R, axis1=1, axis2=2))[:, None, :]  # QR alone is not uniform
    return Q[:, :n, :n]


@pytest.mark.parametrize(("n", "removed"), [(4, 1), (3, 3), (1, 2), (2, 7)])
def test_mean_and_variance_of_qr_growth_by_monte_carlo(n, removed):
    samples = 20_000
    blocks = haar_block(np.random.default_rng(n + 10 * removed), samples, n, removed)
    R = np.linalg.qr(blocks).R
    growth = np.log(np.abs(np.diagonal(R, axis1=1, axis2=2)))
    variance = truncated_orthogonal_growth_variance(n, removed=removed)
    mean = truncated_orthogonal_exponents(n, removed=removed)
    z = (growth.mean(axis=0) - mean) / np.sqrt(variance / samples)
    assert np.abs(z).max() < 4
    np.testing.assert_allclose(growth.var(axis=0), variance, rtol=0.15)
    correlation = np.corrcoef(growth.T) if n > 1 else np.eye(1)
    assert np.abs(correlation - np.eye(n)).max() < 4.5 / np.sqrt(samples)


@pytest.mark.parametrize(("n", "removed"), [(1, 1), (3, 2), (2, 5)])
def test_moments_of_half_the_log_of_a_beta_variable_by_quadrature(n, removed):
    a, b = mpmath.mpf(n) / 2, mpmath.mpf(removed) / 2

    def moment(power):  # x = sin^2 takes the singular ends away
        return mpmath.quad(
            lambda u: (
                2
                * mpmath.log(mpmath.sin(u)) ** power
                * mpmath.sin(u) ** (2 * a - 1)
                * mpmath.cos(u) ** (2 * b - 1)
            ),
            [0, mpmath.pi / 4, mpmath.pi / 2],
        ) / mpmath.beta(a, b)

    mean, variance = float(moment(1)), float(moment(2) - moment(1) ** 2)
    found = truncated_orthogonal_exponents(n, removed=removed)[0]
    np.testing.assert_allclose(found, mean, rtol=1e-9)
    found = truncated_orthogonal_growth_variance(n, removed=removed)[0]
    np.testing.assert_allclose(found, variance, rtol=1e-9)


def test_limits():
    # Nothing removed: orthogonal. Nearly all removed: Gaussian with variance 1 / (n + m).
    np.testing.assert_array_equal(truncated_orthogonal_exponents(3, removed=0), np.zeros(3))
    np.testing.assert_array_equal(truncated_orthogonal_growth_variance(3, removed=0), np.zeros(3))
    found = truncated_orthogonal_exponents(3, removed=10**7)
    np.testing.assert_allclose(found, ginibre_exponents(3, variance=1e-7), atol=1e-6)
    found = truncated_orthogonal_growth_variance(3, removed=10**7)
    np.testing.assert_allclose(found, ginibre_growth_variance(3), rtol=1e-6)


def test_every_direction_shrinks_as_the_docstring_says():
    for n, removed in [(1, 1), (5, 2), (8, 30)]:
        exponents = truncated_orthogonal_exponents(n, removed=removed)
        assert np.all(np.diff(exponents) < 0) and exponents[0] <= -np.log1p(removed / n) / 2


def test_wrong_arguments_are_named():
    for n, removed in [(0, 1), (2, -1)]:
        with pytest.raises(ValueError, match=f"got n={n}, removed={removed}"):
            truncated_orthogonal_exponents(n, removed=removed)
        with pytest.raises(ValueError, match="block size `n`"):
            truncated_orthogonal_growth_variance(n, removed=removed)
