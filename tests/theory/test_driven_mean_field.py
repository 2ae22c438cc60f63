from typing import Any

import jax
import mpmath
import numpy as np
import pytest

from vanishing_jax.theory import mean_field_exponent
from vanishing_jax.theory._slopes import host_activation
from vanishing_jax.theory.mean_field._driven import (
    averages,
    driven_mean_field,
    quantiles,
    slope_squares,
)
from vanishing_jax.theory.mean_field._spectrum import free_log_growth


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "relu", "identity"])
@pytest.mark.parametrize("variance", [0.3, 9.0])
def test_averages_by_quadrature(name, variance):
    phi, units = host_activation(name), np.array([-1.3, 0.4])
    functions = {
        "tanh": (mpmath.tanh, lambda x: mpmath.sech(x) ** 2),
        "sigmoid": (lambda x: 1 / (1 + mpmath.exp(-x)), lambda x: mpmath.sech(x / 2) ** 2 / 4),
        "relu": (lambda x: max(x, 0), lambda x: mpmath.mpf(x > 0)),
        "identity": (lambda x: x, lambda x: mpmath.mpf(1)),
    }[name]
    s = mpmath.sqrt(variance)

    def mean(f, u) -> Any:
        cuts = sorted([-12, float(-u / s), 12])  # the kink is a cut
        inside = [-6, *cuts[1:2], 6]
        return mpmath.quad(
            lambda z: f(u + s * z) ** 2 * mpmath.npdf(z), [cuts[0], *sorted(inside), cuts[2]]
        )

    for found, f in zip(averages(phi, variance, units), functions, strict=True):
        expected = sum(mean(f, u) for u in units) / 2
        assert found == pytest.approx(float(expected), rel=1e-5)


def test_white_drives_of_many_units_give_the_stationary_exponent():
    drive = np.random.default_rng(0).normal(size=(150, 200)) * np.sqrt(0.5)
    found = driven_mean_field(drive, activation="tanh", gain=1.3).log_growth[30:].mean()
    expected = mean_field_exponent(activation="tanh", gain=1.3, input_variance=0.5)
    assert found == pytest.approx(expected, abs=5e-3)


@pytest.mark.parametrize("orthogonal", [False, True])
def test_one_wide_network_on_one_correlated_input(orthogonal):
    # One input component, constant over ten steps at a time: neither white nor of many dimensions.
    n, gain = 300, 1.4
    rng = np.random.default_rng(2)
    drive = np.repeat(rng.normal(size=6), 10)[:, None] * rng.normal(size=n) + 0.3
    theory = driven_mean_field(drive, activation="tanh", gain=gain, state_square=0.25)
    growth = []
    for _ in range(4):
        W = rng.normal(size=(n, n)) / np.sqrt(n)
        if orthogonal:
            Q, R = np.linalg.qr(W)
            W = Q * np.sign(np.diagonal(R))
        W = gain * W
        h, v, logs = np.full(n, 0.5), rng.normal(size=n), []
        for d in drive:
            h = np.tanh(W @ h + d)
            new = (1 - h**2) * (W @ v)
            logs.append(np.log(np.linalg.norm(new) / np.linalg.norm(v)))
            v = new
        growth.append(logs)
    growth = np.array(growth)
    assert abs(growth.mean() - theory.log_growth.mean()) < 0.02
    # Step by step, too: the input makes the growth swing between the pieces.
    error = growth.mean(axis=0) - theory.log_growth
    assert np.abs(error).max() < 0.3 and np.ptp(theory.log_growth) > 0.4
    assert np.corrcoef(growth.mean(axis=0), theory.log_growth)[0, 1] > 0.9


def test_own_activation_and_zero_variance():
    drive = np.random.default_rng(0).normal(size=(2, 8))
    own = driven_mean_field(drive, activation=jax.numpy.tanh, gain=0.8)
    named = driven_mean_field(drive, activation="tanh", gain=0.8)
    np.testing.assert_allclose(own.log_growth, named.log_growth, rtol=1e-9)
    first = np.mean((1 - np.tanh(drive[0]) ** 2) ** 2)
    assert named.log_growth[0] == pytest.approx(np.log(0.8) + np.log(first) / 2, rel=1e-12)
    assert driven_mean_field(drive, activation="tanh", gain=0.0).log_growth[1] == -np.inf
    with pytest.raises(ValueError, match="`gain` of at least 0"):
        driven_mean_field(drive, activation="tanh", gain=-1.0)


@pytest.mark.parametrize("orthogonal", [False, True])
def test_free_spectrum_of_products_of_masked_matrices(orthogonal):
    # Slopes of two values, fresh weights: QR growth rates of the product by brute force.
    n, steps, rng = 60, 40, np.random.default_rng(0)
    Q, logs = np.eye(n), np.zeros(n)
    for _ in range(steps):
        W = rng.normal(size=(n, n)) / np.sqrt(n)
        if orthogonal:
            U, R = np.linalg.qr(W)
            W = U * np.sign(np.diagonal(R))
        D = np.where(rng.random(n) < 0.5, 1.0, 0.3)
        Q, R = np.linalg.qr(D[:, None] * (1.2 * W) @ Q)
        logs += np.log(np.abs(np.diagonal(R))) / steps
    found = free_log_growth(
        np.log([1.0, 0.09]), np.array([0.5, 0.5]), n, gain=1.2, orthogonal=orthogonal
    )
    inner = slice(0, n * 9 // 10)
    assert np.abs(np.sort(logs)[::-1] - found)[inner].max() < 0.12


def test_slopes_are_binned_without_changing_their_moments():
    units = np.random.default_rng(0).normal(size=(1, 200))
    thin = quantiles(units)[0]
    squares, weights = slope_squares(host_activation("tanh"), 0.7, thin)
    assert len(squares) <= 101 and weights.sum() == pytest.approx(1)
    expected = averages(host_activation("tanh"), 0.7, thin)[1]
    assert (squares * weights).sum() == pytest.approx(expected, rel=1e-12)
    squares, weights = slope_squares(host_activation("relu"), 0.7, thin)
    assert set(squares) == {0, 1} and weights[squares == 0].sum() == pytest.approx(0.5, abs=0.05)
