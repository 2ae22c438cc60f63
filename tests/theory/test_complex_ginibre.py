import mpmath
import numpy as np
import pytest

from vanishing_jax.theory import ginibre_exponents, ginibre_growth_variance

# (n, first) with E|z|^2 = 1/n, from the digamma function at integers.
FIRST = [(1, -0.28860783245077), (2, -0.13518142273074), (3, -0.087913976784821),
         (4, -0.065088346344045), (8, -0.031900031862113), (64, -0.0039164222777178)]  # fmt: skip


@pytest.mark.parametrize(("n", "first"), FIRST)
def test_tabulated_exponents(n, first):
    exponents = ginibre_exponents(n, variance=1 / n, beta=2)
    assert exponents.shape == (n,) and exponents.dtype == np.float64
    assert np.all(np.diff(exponents) < 0)
    np.testing.assert_allclose(exponents[0], first, rtol=1e-12)
    # The last column is left with one degree of freedom: |z|^2 exponential, E log = -gamma.
    np.testing.assert_allclose(exponents[-1], (-np.log(n) - np.euler_gamma) / 2, rtol=1e-12)


@pytest.mark.parametrize("shape", [1, 2, 5])
def test_mean_and_variance_of_half_the_log_of_a_gamma_variable_by_quadrature(shape):
    def moment(power):
        return mpmath.quad(
            lambda x: (mpmath.log(2.5 * x) / 2) ** power * x ** (shape - 1) * mpmath.exp(-x),
            [0, 1, shape + 1, mpmath.inf],
        ) / mpmath.gamma(shape)

    mean, variance = float(moment(1)), float(moment(2) - moment(1) ** 2)
    np.testing.assert_allclose(ginibre_exponents(shape, variance=2.5, beta=2)[0], mean, rtol=1e-9)
    np.testing.assert_allclose(ginibre_growth_variance(shape, beta=2)[0], variance, rtol=1e-9)


@pytest.mark.parametrize("n", [1, 4])
def test_mean_and_variance_of_qr_growth_by_monte_carlo(n):
    steps, rng = 20_000, np.random.default_rng(n)
    parts = rng.normal(size=(2, steps, n, n)) * np.sqrt(0.3 / 2)
    R = np.linalg.qr(parts[0] + 1j * parts[1]).R
    growth = np.log(np.abs(np.diagonal(R, axis1=1, axis2=2)))
    variance = ginibre_growth_variance(n, beta=2)
    z = (growth.mean(axis=0) - ginibre_exponents(n, variance=0.3, beta=2)) / np.sqrt(
        variance / steps
    )
    assert np.abs(z).max() < 4
    np.testing.assert_allclose(growth.var(axis=0), variance, rtol=0.07)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="size `n` of at least 1; got 0"):
        ginibre_exponents(0, variance=1.0, beta=2)
    with pytest.raises(ValueError, match="size `n`"):
        ginibre_growth_variance(-1, beta=2)
    for variance in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="positive, finite `variance`"):
            ginibre_exponents(3, variance=variance, beta=2)
    with pytest.raises(ValueError, match="1 .real. or 2 .complex.; got 4"):
        ginibre_growth_variance(3, beta=4)
