import numpy as np
import pytest

from vanishing_jax.theory import mean_field_mean_exponent, mean_field_spectrum


def qr_exponents(W, input_variance, steps, rng):
    """Return the QR growth rates of h <- tanh(W h + u) after a transient."""
    n = len(W)
    h, Q, total = rng.standard_normal(n), np.eye(n), np.zeros(n)
    for t in range(steps + 40):
        h = np.tanh(W @ h + np.sqrt(input_variance) * rng.standard_normal(n))
        Q, R = np.linalg.qr(((1 - h**2)[:, None] * W) @ Q)
        if t >= 40:  # the frame has turned into the growing directions by then
            total += np.log(np.abs(np.diagonal(R)))
    return total / steps


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
def test_every_exponent_of_a_simulated_network(weights):
    n, gain, input_variance = 100, 1.2, 0.1
    rng = np.random.default_rng(0)
    W = rng.standard_normal((n, n)) / np.sqrt(n)
    W = gain * (np.linalg.qr(W).Q if weights == "orthogonal" else W)
    measured = qr_exponents(W, input_variance, 160, rng)
    predicted = mean_field_spectrum(
        n, activation="tanh", gain=gain, input_variance=input_variance, weights=weights
    )
    error = measured - predicted
    assert np.median(np.abs(error)) < 0.03
    assert np.abs(error[: int(0.9 * n)]).max() < 0.1
    # Over a range that no constant would fit.
    assert np.ptp(predicted) > {"gaussian": 2.0, "orthogonal": 0.3}[weights]


def test_limits_in_closed_form():
    n, gain = 40, 1.7
    u = (n - np.arange(1, n + 1) + 0.5) / n
    linear = mean_field_spectrum(n, activation="linear", gain=gain)
    np.testing.assert_allclose(linear, np.log(gain) + np.log(u) / 2, atol=1e-10)
    isometry = mean_field_spectrum(n, activation="linear", gain=gain, weights="orthogonal")
    np.testing.assert_allclose(isometry, np.log(gain), atol=1e-10)
    # D in {0, 1}: mu/(1 + mu) = 2 (1 - u), so lambda = ln(g^2 (2u - 1)/2)/2 above u = 1/2.
    relu = mean_field_spectrum(n, activation="relu", gain=gain)
    np.testing.assert_allclose(relu[:20], np.log(gain**2 * (u[:20] - 0.5)) / 2, atol=1e-10)
    assert np.isneginf(relu[20:]).all()


def test_the_mean_is_the_determinant():
    for weights in ("gaussian", "orthogonal"):
        options = {"activation": "tanh", "gain": 1.2, "input_variance": 0.1, "weights": weights}
        found = mean_field_spectrum(200, **options).mean()
        assert found == pytest.approx(mean_field_mean_exponent(**options), abs=4e-3)


def test_wrong_size_is_named():
    with pytest.raises(ValueError, match="number of units `n` of at least 1; got 0"):
        mean_field_spectrum(0, activation="tanh", gain=1.0)
