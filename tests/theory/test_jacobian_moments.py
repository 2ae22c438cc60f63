import math

import numpy as np
import pytest

from vanishing_jax.theory import jacobian_moments, singular_value_dispersion


def normalized_traces(J, order):
    """Return (1/n) tr (J J^T)^k, k = 1..order."""
    squared = J @ J.T
    power, traces = squared, []
    for _ in range(order):
        traces.append(np.trace(power) / len(J))
        power = power @ squared
    return np.array(traces)


@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
def test_moments_and_dispersion_of_random_jacobians(weights):
    n, gain, input_variance, snapshots = 400, 1.2, 0.1, 10
    rng = np.random.default_rng(0)
    W = rng.standard_normal((n, n)) / np.sqrt(n)
    W = gain * (np.linalg.qr(W).Q if weights == "orthogonal" else W)
    h, jacobians = np.zeros(n), []
    for _ in range(20 + snapshots):
        h = np.tanh(W @ h + np.sqrt(input_variance) * rng.standard_normal(n))
        jacobians.append((1 - h**2)[:, None] * W)
    jacobians = jacobians[20:]
    options = {"activation": "tanh", "gain": gain, "input_variance": input_variance}
    options |= {"weights": weights}
    traces = np.mean([normalized_traces(J, 3) for J in jacobians], axis=0)
    np.testing.assert_allclose(traces, jacobian_moments(3, **options), rtol=0.1)
    pairs = zip(jacobians[1::2], jacobians[::2], strict=True)
    first, second = np.mean([normalized_traces(J @ K, 2) for J, K in pairs], axis=0)
    expected = singular_value_dispersion(2, **options)
    assert second / first**2 - 1 == pytest.approx(expected, rel=0.1)


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
