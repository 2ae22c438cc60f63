import mpmath
import numpy as np
import pytest

from vanishing_jax.theory import ginibre_exponents, ginibre_growth_variance

# (n, first, last, mean) with entry variance 1/n, from the digamma function at half integers.
EXPONENTS = [
    (1, -0.63518142273074, -0.63518142273074, -0.63518142273074),
    (2, -0.28860783245077, -0.98175501301071, -0.63518142273074),
    (3, -0.18448756706479, -1.1844875670648, -0.62010517354481),
    (4, -0.13518142273074, -1.3283286032907, -0.60675501301071),
    (8, -0.065088346344045, -1.6749021935707, -0.57416193662402),
    (16, -0.031900031862113, -2.0214757838506, -0.54771896013742),
    (32, -0.01578769695616, -2.3680493741306, -0.52923022830146),
    (64, -0.0078531861323697, -2.7146229644106, -0.51731207310575),
    (256, -0.0019556681159888, -3.4077701449705, -0.5056798768298),
]

# (n, first) with E|z|^2 = 1/n, from the digamma function at integers.
FIRST = [(1, -0.28860783245077), (2, -0.13518142273074), (3, -0.087913976784821),
         (4, -0.065088346344045), (8, -0.031900031862113), (64, -0.0039164222777178)]  # fmt: skip


@pytest.mark.parametrize("n, first, last, mean", EXPONENTS)
def test_tabulated_exponents(n, first, last, mean):
    exponents = ginibre_exponents(n, variance=1 / n)
    assert exponents.shape == (n,) and exponents.dtype == np.float64
    assert np.all(np.diff(exponents) < 0)
    np.testing.assert_allclose(exponents[[0, -1]], [first, last], rtol=1e-12)
    np.testing.assert_allclose(exponents.mean(), mean, rtol=1e-12)


def test_closed_forms_in_two_dimensions():
    # psi(1) = -gamma and psi(1/2) = -gamma - 2 log 2; psi'(1) = pi^2/6 and psi'(1/2) = pi^2/2.
    exponents = ginibre_exponents(2, variance=0.5)
    np.testing.assert_allclose(
        exponents, [-np.euler_gamma / 2, -np.euler_gamma / 2 - np.log(2)], rtol=1e-14
    )
    np.testing.assert_allclose(ginibre_growth_variance(2), [np.pi**2 / 24, np.pi**2 / 8])


@pytest.mark.parametrize("n, variance", [(8, 0.070955738934279), (64, 0.0079358416300755)])
def test_tabulated_variance_of_the_leading_growth(n, variance):
    np.testing.assert_allclose(ginibre_growth_variance(n)[0], variance, rtol=1e-12)


def test_scaling_the_entries_shifts_every_exponent():
    shift = ginibre_exponents(5, variance=4.0) - ginibre_exponents(5, variance=1.0)
    np.testing.assert_allclose(shift, np.log(2), rtol=1e-13)


@pytest.mark.parametrize(("n", "first"), FIRST)
def test_tabulated_exponents_of_complex_matrices(n, first):
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


@pytest.mark.parametrize("n, beta", [(1, 1), (3, 1), (6, 1), (1, 2), (4, 2)])
def test_mean_and_variance_of_qr_growth_by_monte_carlo(n, beta):
    # One QR of a fresh Ginibre matrix has exactly the law of one step of the product.
    steps, rng = 20_000, np.random.default_rng(n)
    parts = rng.normal(size=(beta, steps, n, n)) * np.sqrt(0.49 / beta)
    matrices = parts[0] if beta == 1 else parts[0] + 1j * parts[1]
    growth = np.log(np.abs(np.diagonal(np.linalg.qr(matrices).R, axis1=1, axis2=2)))
    variance = ginibre_growth_variance(n, beta=beta)
    mean = ginibre_exponents(n, variance=0.49, beta=beta)
    z = (growth.mean(axis=0) - mean) / np.sqrt(variance / steps)
    assert np.abs(z).max() < 4
    np.testing.assert_allclose(growth.var(axis=0), variance, rtol=0.07)


@pytest.mark.parametrize("beta", [1, 2])
def test_wrong_arguments_are_named(beta):
    with pytest.raises(ValueError, match="size `n` of at least 1; got 0"):
        ginibre_exponents(0, variance=1.0, beta=beta)
    with pytest.raises(ValueError, match="size `n`"):
        ginibre_growth_variance(-1, beta=beta)
    for variance in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="positive, finite `variance`"):
            ginibre_exponents(3, variance=variance, beta=beta)
    with pytest.raises(ValueError, match="1 .real. or 2 .complex.; got 4"):
        ginibre_growth_variance(3, beta=4)
