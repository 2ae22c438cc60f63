import numpy as np
import pytest

from vanishing_jax.theory import (
    fuss_catalan_edge,
    fuss_catalan_log_singular_values,
    fuss_catalan_moments,
)


@pytest.mark.parametrize("factors", [1, 2, 3, 10])
def test_moments_by_their_generating_equation(factors):
    # The generating function G(z) = 1 + sum m_k z^k solves G = 1 + z G^(M+1).
    count, G = 5, np.array([1.0])
    for _ in range(count):
        power = np.array([1.0])
        for _ in range(factors + 1):
            power = np.convolve(power, G)[: count + 1]
        G = np.r_[1.0, power][: count + 1]
    np.testing.assert_allclose(fuss_catalan_moments(factors, count=count), G[1:], rtol=1e-13)


@pytest.mark.parametrize("factors", [1, 2, 5, 40])
def test_quantiles_have_the_moments_and_the_edge(factors):
    logs = fuss_catalan_log_singular_values(200_000, factors=factors)
    assert np.all(np.diff(logs) <= 0)
    for k, moment in enumerate(fuss_catalan_moments(factors, count=3), start=1):
        assert np.exp(2 * k * logs).mean() == pytest.approx(moment, rel=2e-3)
    assert np.exp(logs[0]) == pytest.approx(fuss_catalan_edge(factors), rel=1e-2)
    # Each factor has E log sigma = -1/2, and determinants multiply.
    assert logs.mean() == pytest.approx(-factors / 2, rel=2e-3)


def test_one_factor_is_marchenko_pastur():
    logs = fuss_catalan_log_singular_values(11, factors=1)
    half = np.exp(logs) / 2  # sigma = 2 sin(u) with P(sigma < 2 sin u) = (2 u + sin 2 u) / pi
    below = (2 * np.arcsin(half) + np.sin(2 * np.arcsin(half))) / np.pi
    np.testing.assert_allclose(below, 1 - (np.arange(11) + 0.5) / 11, atol=1e-6)


@pytest.mark.parametrize("same", [False, True])
def test_singular_values_of_a_product_and_of_a_power(same):
    n, factors, rng = 100, 4, np.random.default_rng(0)
    draws = 1.3 * rng.normal(size=(factors, n, n)) / np.sqrt(n)
    product = np.linalg.multi_dot([draws[0 if same else i] for i in range(factors)])
    logs = np.log(np.linalg.svd(product, compute_uv=False))
    expected = fuss_catalan_log_singular_values(n, factors=factors, gain=1.3)
    assert np.abs(logs - expected)[: n * 3 // 4].max() < 0.25
    assert np.abs(logs - expected)[: n // 2].mean() < 0.08


def test_wrong_arguments_are_named():
    for make in (
        lambda: fuss_catalan_edge(0),
        lambda: fuss_catalan_moments(1, count=0),
        lambda: fuss_catalan_log_singular_values(0, factors=1),
    ):
        with pytest.raises(ValueError, match="of at least 1; got 0"):
            make()
    with pytest.raises(ValueError, match="positive, finite `gain`"):
        fuss_catalan_log_singular_values(2, factors=1, gain=0.0)
