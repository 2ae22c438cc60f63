import math

import numpy as np
import pytest

from vanishing_jax.theory import jacobian_moments, singular_value_dispersion

pytestmark = pytest.mark.float64_anyway


def normalized_traces(J, order):
    """Return (1/n) tr (J J^T)^k, k = 1..order."""
    squared = np.linalg.svd(J, compute_uv=False) ** 2
    return np.array([np.mean(squared**k) for k in range(1, order + 1)])


@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
def test_moments_and_dispersion_of_random_jacobians(weights):
    n, gain, input_variance, order = 400, 1.2, 0.1, 3
    rng = np.random.default_rng(0)
    W = rng.standard_normal((n, n)) / np.sqrt(n)
    W = gain * (np.linalg.qr(W).Q if weights == "orthogonal" else W)
    h, product = np.zeros(n), np.eye(n)
    for _ in range(30):
        h = np.tanh(W @ h + np.sqrt(input_variance) * rng.standard_normal(n))
    for _ in range(3):
        h = np.tanh(W @ h + np.sqrt(input_variance) * rng.standard_normal(n))
        J = (1 - h**2)[:, None] * W
        product = J @ product
    options = {
        "activation": "tanh", "gain": gain, "input_variance": input_variance, "weights": weights
    }  # fmt: skip
    np.testing.assert_allclose(
        normalized_traces(J, order), jacobian_moments(3, **options), rtol=0.1
    )
    first, second = normalized_traces(product, 2)
    expected = singular_value_dispersion(3, **options)
    assert second / first**2 - 1 == pytest.approx(expected, rel=0.15)


def test_counts_of_noncrossing_partitions():
    gaussian = jacobian_moments(8, activation="linear", gain=1.0)
    catalan = [math.comb(2 * k, k) / (k + 1) for k in range(1, 9)]
    np.testing.assert_allclose(gaussian, catalan, rtol=1e-10)
    # ReLU: the square of a half-filled mask is itself, the moments are those of Narayana.
    relu = jacobian_moments(4, activation="relu", gain=1.0)
    narayana = [
        sum(math.comb(k, j) * math.comb(k, j - 1) / k * 0.5**j for j in range(1, k + 1))
        for k in range(1, 5)
    ]
    np.testing.assert_allclose(relu, narayana, rtol=1e-10)
    isometry = jacobian_moments(5, activation="linear", gain=1.0, weights="orthogonal")
    np.testing.assert_allclose(isometry, 1, rtol=1e-10)


def test_dispersion_of_products_of_gaussian_matrices_is_fuss_catalan():
    for steps in (1, 4, 10):  # m2 = C(2 (M + 1), 2) / (2 M + 1) = M + 1
        found = singular_value_dispersion(steps, activation="linear", gain=1.0)
        assert found == pytest.approx(math.comb(2 * (steps + 1), 2) / (2 * steps + 1) - 1)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="`order` of at least 1; got 0"):
        jacobian_moments(0, activation="linear", gain=1.0)
    with pytest.raises(ValueError, match="`num_steps` of at least 0; got -1"):
        singular_value_dispersion(-1, activation="linear", gain=1.0)
