import numpy as np
import pytest

from vanishing_jax.theory import leaky_mean_field, mean_field_exponent
from vanishing_jax.theory.mean_field._leaky import correlated_skip_exponent


def simulate(n, rate, gain, input_variance, steps, rng):
    """Return the exponent of one vector and the variance of the pre-activations."""
    W = gain / np.sqrt(n) * rng.standard_normal((n, n))
    h, v = rng.standard_normal((2, n))
    logs, squares = [], []
    for t in range(steps + 100):
        drive = W @ np.stack([h, v], axis=1)
        x = drive[:, 0] + np.sqrt(input_variance) * rng.standard_normal(n)
        h = (1 - rate) * h + rate * np.tanh(x)
        v = (1 - rate) * v + rate * np.cosh(x) ** -2.0 * drive[:, 1]
        norm = np.linalg.norm(v)
        v = v / norm
        if t >= 100:
            logs.append(np.log(norm))
            squares.append(np.mean(x**2))
    return np.mean(logs), np.mean(squares)


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "gain", "input_variance"), [(0.3, 1.0, 0.5), (0.3, 2.0, 0.01)])
def test_simulated_networks(rate, gain, input_variance):
    rng = np.random.default_rng(0)
    predicted = leaky_mean_field(rate=rate, gain=gain, input_variance=input_variance)
    found = [simulate(300, rate, gain, input_variance, 800, rng) for _ in range(3)]
    exponent, variance = np.mean(found, axis=0)
    assert exponent == pytest.approx(predicted.exponent, abs=0.02)
    assert variance == pytest.approx(predicted.variance, rel=0.1)


def test_limits_in_closed_form():
    # a = 1: no leak, and steps that have nothing in common but their inputs' absence.
    found = leaky_mean_field(rate=1.0, gain=1.0, input_variance=0.1)
    expected = mean_field_exponent(activation="tanh", gain=1.0, input_variance=0.1)
    assert found.exponent == pytest.approx(expected, abs=1e-6)
    assert np.abs(found.autocorrelation[1:]).max() < 1e-6
    # A state that dies out: J = (1 - a) I + a W.
    silent = leaky_mean_field(rate=0.3, gain=0.8, num_lags=400)
    assert silent.variance == 0
    assert silent.exponent == pytest.approx(np.log(0.7 + 0.3 * 0.8), abs=1e-4)


def test_variance_of_linear_units_is_that_of_an_autoregression():
    # h_t = (1 - a) h + a (W h + u): per unit E h^2 = a^2 (g^2 E h^2 + s^2) / (1 - (1 - a)^2) for
    # fresh W; x has no covariance but g^2 C_h, summed over lags by its spectral density.
    rate, gain, input_variance = 0.4, 0.5, 1.0
    found = leaky_mean_field(
        rate=rate, gain=gain, activation="linear", input_variance=input_variance
    )
    frequency = np.linspace(-np.pi, np.pi, 4001)[:-1]
    leak = np.abs(rate / (1 - (1 - rate) * np.exp(-1j * frequency))) ** 2
    # S_x = g^2 S_h + s^2 and S_h = leak S_x.
    expected = np.mean(input_variance / (1 - gain**2 * leak))
    assert found.variance == pytest.approx(expected, rel=1e-6)
    # J = (1 - a) I + a W whatever the state: again the edge of the disk.
    assert found.exponent == pytest.approx(np.log(0.6 + 0.4 * 0.5), abs=1e-3)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="0 < rate <= 1; got 0"):
        leaky_mean_field(rate=0.0, gain=1.0)
    with pytest.raises(RuntimeError, match="did not settle"):
        leaky_mean_field(rate=0.5, gain=1.5, activation="linear", input_variance=1.0)


@pytest.mark.parametrize("keep, gain", [(0.9, 0.3), (0.2, 1.1), (1.0, 0.05)])
def test_slopes_that_never_or_always_change(keep, gain):
    fresh = correlated_skip_exponent(np.array([0.7, 0.0]), keep=keep, gain=gain)
    assert fresh == pytest.approx(np.log(keep**2 + gain**2 * 0.7) / 2, abs=1e-9)
    frozen = correlated_skip_exponent(np.array([0.49]), keep=keep, gain=gain)
    assert frozen == pytest.approx(np.log(keep + 0.7 * gain), abs=1e-9)
    between = correlated_skip_exponent(0.7 * 0.5 ** np.arange(50.0), keep=keep, gain=gain)
    assert fresh < between < np.log(keep + gain * np.sqrt(0.7))


@pytest.mark.parametrize(
    "keep, gain, memory, mean, spread", [(0.7, 0.3, 0.8, 0.3, 0.4), (0.5, 0.8, 0.5, 0.6, 0.3)]
)
def test_vectors_carried_by_one_matrix_and_changing_slopes(keep, gain, memory, mean, spread):
    n, steps, rates = 400, 250, []
    rng = np.random.default_rng(0)
    for _ in range(3):
        G = rng.normal(size=(n, n)) / np.sqrt(n)
        y, v, total = rng.normal(size=n), rng.normal(size=n), 0.0
        for t in range(steps):
            y = memory * y + np.sqrt(1 - memory**2) * rng.normal(size=n)
            v = keep * v + gain * (mean + spread * y) * (G @ v)
            norm = np.linalg.norm(v)
            v, total = v / norm, total + (np.log(norm) if t >= 50 else 0.0)
        rates.append(total / (steps - 50))
    C = mean**2 + spread**2 * memory ** np.arange(60)
    found = correlated_skip_exponent(C, keep=keep, gain=gain)
    assert np.mean(rates) == pytest.approx(found, abs=0.01)
    # Neither of the simple answers would pass.
    for other in (np.log(keep**2 + gain**2 * C[0]) / 2, np.log(keep + gain * np.sqrt(C[0]))):
        assert abs(np.mean(rates) - other) > 0.03


def test_edges_and_wrong_arguments():
    assert correlated_skip_exponent(np.array([0.0]), keep=0.5, gain=1.0) == np.log(0.5)
    assert correlated_skip_exponent(np.array([1.0]), keep=0.0, gain=0.0) == -np.inf
    found = correlated_skip_exponent(np.array([0.25, 0.1]), keep=0.0, gain=1.0)
    assert found == pytest.approx(np.log(0.5))
    for C, keep in ((np.zeros(0), 1.0), (np.ones(2), -1.0)):
        with pytest.raises(ValueError, match="`gain` >= 0"):
            correlated_skip_exponent(C, keep=keep, gain=1.0)
