from typing import Any

import numpy as np
import pytest

from vanishing_jax import theory

N, T = 24, 30


def rate(rng, gain, input_variance, bias_variance, orthogonal):
    """Return the rate of one network by its explicit Jacobians, all of it drawn here."""
    W = rng.normal(size=(N, N)) / np.sqrt(N)
    if orthogonal:
        Q, R = np.linalg.qr(W)
        W = Q * np.sign(np.diagonal(R))
    W, b = gain * W, np.sqrt(bias_variance) * rng.normal(size=N)
    h, product = np.zeros(N), np.eye(N)
    for _ in range(T):
        h = np.tanh(W @ h + np.sqrt(input_variance) * rng.normal(size=N) + b)
        product = (1 - h**2)[:, None] * (W @ product)
    v = rng.normal(size=N)
    return np.log(np.linalg.norm(v @ product) / np.linalg.norm(v)) / T


@pytest.mark.parametrize(
    "gain, input_variance, bias_variance, weights",
    [(1.0, 0.5, 0.0, "gaussian"), (1.5, 0.1, 0.3, "orthogonal")],
)
def test_mean_and_scatter_are_those_of_networks_drawn(gain, input_variance, bias_variance, weights):
    prediction: Any = theory.predict_plain(
        N, gain=gain, input_variance=input_variance, bias_variance=bias_variance,
        weights=weights, num_steps=T,
    )  # fmt: skip
    rng, numbers = np.random.default_rng(1), (gain, input_variance, bias_variance)
    found = [rate(rng, *numbers, weights == "orthogonal") for _ in range(128)]
    error = np.std(found) * np.sqrt(1 / 128 + 1 / 32)
    assert abs(np.mean(found) - prediction.expected_rate) < 3 * error
    assert 0.6 < np.std(found) / prediction.standard_deviation < 1.7
    exact = theory.mean_field_exponent(
        activation="tanh", gain=gain, input_variance=input_variance, bias_variance=bias_variance
    )
    assert prediction.top_exponent == exact and prediction.exponents.shape == (N,)
    assert prediction.weights is None and not prediction.failed
    assert f"{weights} weights of gain {gain:g}" in str(prediction).replace("Gaussian", "gaussian")


def test_few_units_and_unknown_laws():
    (failed,) = theory.predict_plain(6, input_variance=0.5, num_steps=5).failed
    assert failed.name == "the network is wide"
    with pytest.raises(ValueError, match="gaussian"):
        theory.predict_plain(6, weights="uniform")
