import math

import mpmath
import numpy as np
import pytest

from vanishing_jax.theory import ginibre_exponents, ginibre_growth_variance
from vanishing_jax.theory.random_matrices._products import (
    masked_ginibre_exponents,
    masked_ginibre_growth_variance,
)


def log_chi_moments(freedom):
    """Return E log chi and E (log chi)^2 by quadrature of the density."""
    scale = 2 ** (1 - mpmath.mpf(freedom) / 2) / mpmath.gamma(mpmath.mpf(freedom) / 2)

    def moment(power):
        return scale * mpmath.quad(
            lambda x: mpmath.log(x) ** power * x ** (freedom - 1) * mpmath.exp(-x * x / 2),
            [0, 1, 3, mpmath.inf],
        )

    return float(moment(1)), float(moment(2))


@pytest.mark.parametrize("active", [0.5, 0.2, 1.0])
def test_every_entry_by_enumeration_and_quadrature(active):
    n, s = 3, 1.7
    moments = {b: log_chi_moments(b) for b in range(1, n + 1)}
    probability = [math.comb(n, b) * active**b * (1 - active) ** (n - b) for b in range(n + 1)]
    for i in range(1, n + 1):
        survive = sum(probability[i:])
        first, second = (
            sum(probability[b] * moments[b - i + 1][m] for b in range(i, n + 1)) / survive
            for m in (0, 1)
        )
        found = masked_ginibre_exponents(n, variance=s**2, active=active)[i - 1]
        assert found == pytest.approx(first + math.log(s), rel=1e-9)
        found = masked_ginibre_growth_variance(n, active=active)[i - 1]
        assert found == pytest.approx(second - first**2, rel=1e-9)


def log_norms(step, samples, steps, n, rng):
    """Return log ||J_T ... J_1 v|| of many products on a fixed v; -inf for the dead ones."""
    vectors, states = np.zeros((samples, n)), rng.normal(size=(samples, n))
    vectors[:, 0] = 1
    for _ in range(steps):
        vectors, states = step(vectors, states)
    with np.errstate(divide="ignore"):
        return np.log(np.linalg.norm(vectors, axis=1))


def check_law(logs, steps, n, variance, active):
    alive = logs > -np.inf
    survival = (1 - (1 - active) ** n) ** steps
    deviation = np.sqrt(survival * (1 - survival) / len(logs))
    assert abs(alive.mean() - survival) < 4 * deviation
    mean = steps * masked_ginibre_exponents(n, variance=variance, active=active)[0]
    spread = steps * masked_ginibre_growth_variance(n, active=active)[0]
    assert abs(logs[alive].mean() - mean) < 4 * np.sqrt(spread / alive.sum())
    assert logs[alive].var() == pytest.approx(spread, rel=0.1)


def test_log_norm_of_one_vector_given_that_it_lives():
    n, steps, samples, active = 3, 4, 20_000, 0.6
    rng = np.random.default_rng(0)

    def step(vectors, states):
        mask = rng.random((samples, n)) < active
        W = 0.8 * rng.normal(size=(samples, n, n))
        return mask * np.einsum("sij,sj->si", W, vectors), states

    check_law(log_norms(step, samples, steps, n, rng), steps, n, 0.64, active)


def test_relu_networks_with_fresh_weights_follow_the_law_exactly():
    n, steps, samples = 4, 3, 20_000
    rng = np.random.default_rng(1)

    def step(vectors, states):
        W = rng.normal(size=(samples, n, n))
        before = np.einsum("sij,sj->si", W, states)  # the mask comes from the forward pass
        vectors = (before > 0) * np.einsum("sij,sj->si", W, vectors)
        return vectors, np.maximum(before, 0)

    check_law(log_norms(step, samples, steps, n, rng), steps, n, 1.0, 0.5)


def test_all_directions_by_monte_carlo():
    n, samples, active = 4, 20_000, 0.7
    rng = np.random.default_rng(2)
    count = rng.binomial(n, active, samples)
    growth = np.full((samples, n), -np.inf)
    for b in range(1, n + 1):  # b active rows: the R factor of those rows, of rank b
        R = np.linalg.qr(rng.normal(size=((count == b).sum(), b, n))).R
        growth[count == b, :b] = np.log(np.abs(np.diagonal(R, axis1=1, axis2=2)))
    exponents = masked_ginibre_exponents(n, variance=1.0, active=active)
    variance = masked_ginibre_growth_variance(n, active=active)
    for i in range(n):
        values = growth[growth[:, i] > -np.inf, i]
        assert abs(values.mean() - exponents[i]) < 4 * np.sqrt(variance[i] / len(values))
        assert values.var() == pytest.approx(variance[i], rel=0.1)


def test_limits_and_extremes():
    np.testing.assert_allclose(
        masked_ginibre_exponents(5, variance=0.2, active=1.0), ginibre_exponents(5, variance=0.2)
    )
    np.testing.assert_allclose(
        masked_ginibre_growth_variance(5, active=1.0), ginibre_growth_variance(5)
    )
    assert np.all(np.diff(masked_ginibre_exponents(30, variance=1.0)) < 0)
    # He's variance keeps the mean square X, Var X = 5 / n, and so the typical vector shrinks.
    n = 1000
    assert masked_ginibre_exponents(n, variance=2 / n)[0] == pytest.approx(-5 / (4 * n), rel=1e-2)
    assert masked_ginibre_growth_variance(n)[0] == pytest.approx(5 / (4 * n), rel=1e-2)
    assert np.isfinite(masked_ginibre_exponents(400, variance=1.0, active=0.01)).all()


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="size `n` of at least 1; got 0"):
        masked_ginibre_growth_variance(0)
    for active in (0.0, 1.1, np.nan):
        with pytest.raises(ValueError, match="probability `active`"):
            masked_ginibre_growth_variance(3, active=active)
    for variance in (0.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="positive, finite `variance`"):
            masked_ginibre_exponents(3, variance=variance)
