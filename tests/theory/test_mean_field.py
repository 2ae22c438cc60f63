import functools as ft
from typing import Any

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from vanishing_jax.theory import (
    critical_gain,
    mean_field_exponent,
    mean_field_mean_exponent,
    mean_field_spectrum,
    mean_field_susceptibility,
    mean_field_variance,
)

from ..helpers import as_a_user, root


def quadrature(function, q):
    """Return E function(sqrt(q) z) in 20 digits."""
    with mpmath.workdps(20):
        s = mpmath.sqrt(q)
        return mpmath.quad(
            lambda z: function(s * z) * mpmath.exp(-z * z / 2), [-11, -3, -1, 0, 1, 3, 11]
        ) / mpmath.sqrt(2 * mpmath.pi)


def erf_map(q, gain, added):
    return gain**2 * 2 / np.pi * np.arcsin(2 * q / (1 + 2 * q)) + added


def erf_susceptibility(q, gain):
    return gain**2 * 4 / np.pi / np.sqrt(1 + 4 * q)


@pytest.mark.parametrize(
    ("gain", "input_variance", "bias_variance"),
    [(0.5, 0.1, 0.0), (0.9, 1e-6, 1e-3), (0.95, 0.0, 0.0), (2.0, 0.0, 0.0), (3.0, 1.0, 0.5)],
)
def test_variance_and_exponent_of_erf_networks_are_the_closed_forms(
    gain, input_variance, bias_variance
):
    added = input_variance + bias_variance
    # erf'(0) = 2 / sqrt(pi): without input the critical gain is sqrt(pi) / 2 = 0.886.
    expected = root(lambda q: erf_map(q, gain, added) - q, 1e-9, 100)
    options = {"gain": gain, "input_variance": input_variance, "bias_variance": bias_variance}
    with jax.enable_x64(True):
        found = mean_field_variance(activation="erf", **options)
    assert found == pytest.approx(expected, rel=1e-10)
    chi = erf_susceptibility(expected, gain)
    found = mean_field_exponent(activation="erf", **options)
    assert isinstance(found, float) and found == pytest.approx(np.log(chi) / 2, abs=1e-10)


@pytest.mark.parametrize(("gain", "input_variance"), [(1.0, 0.1), (2.0, 0.0)])
def test_tanh_networks_against_quadrature_in_high_precision(gain, input_variance):
    with jax.enable_x64(True):
        q = float(mean_field_variance(activation="tanh", gain=gain, input_variance=input_variance))
    square = gain**2 * quadrature(lambda x: mpmath.tanh(x) ** 2, q)
    assert float(square + input_variance) == pytest.approx(q, rel=1e-10)
    chi = gain**2 * quadrature(lambda x: mpmath.sech(x) ** 4, q)
    found = mean_field_exponent(activation="tanh", gain=gain, input_variance=input_variance)
    assert found == pytest.approx(float(mpmath.log(chi)) / 2, abs=1e-10)
    log_slope = quadrature(lambda x: -2 * mpmath.log(mpmath.cosh(x)), q)
    for weights, ginibre in (("gaussian", -0.5), ("orthogonal", 0.0)):
        found = mean_field_mean_exponent(
            activation="tanh", gain=gain, input_variance=input_variance, weights=weights
        )
        assert found == pytest.approx(float(log_slope) + np.log(gain) + ginibre, abs=1e-9)


def test_at_and_near_the_edge_of_chaos():
    assert mean_field_exponent(activation="tanh", gain=1.0) == pytest.approx(0, abs=1e-12)
    assert mean_field_exponent(activation="tanh", gain=0.5) == pytest.approx(np.log(0.5))
    for gain in (1.001, 1.0001):  # from expanding both averages to second order in q
        ratio = mean_field_exponent(activation="tanh", gain=gain) / (gain - 1) ** 2
        assert ratio == pytest.approx(2 / 3, rel=5 * (gain - 1))


def test_homogeneous_activations_in_closed_form():
    for name, share in (("relu", 0.5), ("linear", 1.0)):
        for gain in (0.7, 1.9):
            expected = np.log(gain**2 * share) / 2
            for input_variance in (0.0, 2.0):
                options = {"activation": name, "gain": gain, "input_variance": input_variance}
                assert mean_field_exponent(**options) == pytest.approx(expected, abs=1e-12)
        with jax.enable_x64(True):
            rest = {
                (g, v): float(mean_field_variance(activation=name, gain=g, input_variance=v))
                for g in (0.7, share**-0.5, 1.9)
                for v in (0.0, 2.0)
            }
        remaining = 1 - 0.49 * share
        assert rest[0.7, 0.0] == 0
        assert rest[0.7, 2.0] == pytest.approx(2 / remaining, rel=1e-10)
        assert np.isnan(rest[share**-0.5, 0.0]) and np.isinf(rest[share**-0.5, 2.0])
        assert np.isinf(rest[1.9, 0.0]) and np.isinf(rest[1.9, 2.0])


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "relu"])
def test_networks_settle_where_predicted(name):
    n, gain, input_variance, bias_variance = 1000, 1.1, 0.3, 0.2
    functions = {
        "tanh": (np.tanh, lambda a: np.cosh(a) ** -2.0),
        "sigmoid": (lambda a: 1 / (1 + np.exp(-a)), lambda a: 0.25 * np.cosh(a / 2) ** -2.0),
        "relu": (lambda a: np.maximum(a, 0), lambda a: a > 0),
    }
    function, slope = functions[name]
    rng = np.random.default_rng(3)
    W = gain / np.sqrt(n) * rng.standard_normal((n, n))
    bias = np.sqrt(bias_variance) * rng.standard_normal(n)
    h, squares, slopes = np.zeros(n), [], []
    for _ in range(60):
        a = W @ h + np.sqrt(input_variance) * rng.standard_normal(n) + bias
        h = function(a)
        squares.append(np.mean(a**2))
        slopes.append(np.mean(slope(a) ** 2))
    options = {
        "gain": gain, "input_variance": input_variance, "bias_variance": bias_variance
    }  # fmt: skip
    with jax.enable_x64(True):
        q = float(mean_field_variance(activation=name, **options))
    # A bias is drawn once: its share of q varies by sqrt(2 / n) of it and never averages out.
    assert np.mean(squares[20:]) == pytest.approx(q, rel=0.1)
    chi = gain**2 * np.mean(slopes[20:])
    assert mean_field_exponent(activation=name, **options) == pytest.approx(
        np.log(chi) / 2, abs=0.03
    )


def test_derivatives_by_differences_and_an_own_function_for_a_name():
    def chi(gain, input_variance, activation: Any = "tanh"):
        return mean_field_susceptibility(
            activation=activation, gain=gain, input_variance=input_variance
        )

    with jax.enable_x64(True):
        own = ft.partial(chi, activation=jnp.tanh)
        value_and_gradient = jax.jit(jax.value_and_grad(own, (0, 1)))
        for gain, input_variance in ((1.4, 0.1), (0.5, 0.0), (1.5, 0.0)):
            step = 1e-6
            value, found = value_and_gradient(gain, input_variance)
            assert value == pytest.approx(float(chi(gain, input_variance)), rel=1e-12)
            expected = (chi(gain + step, input_variance) - chi(gain - step, input_variance)) / (
                2 * step
            )
            assert found[0] == pytest.approx(float(expected), rel=1e-6)
            # One-sided: a variance is not negative.
            two = chi(gain, input_variance + 2 * step) - chi(gain, input_variance)
            one = chi(gain, input_variance + step) - chi(gain, input_variance)
            assert found[1] == pytest.approx(float((4 * one - two) / (2 * step)), rel=1e-5)


def test_critical_gains():
    with jax.enable_x64(True):
        critical = jax.jit(
            jax.value_and_grad(
                lambda v, b: critical_gain(activation="erf", input_variance=v, bias_variance=b)
            )
        )
        for variance in (0.01, 1.0):
            gain = float(critical(variance, 0.0)[0])
            q = root(lambda q: erf_map(q, gain, variance) - q, 1e-9, 100)  # noqa: B023
            assert erf_susceptibility(q, gain) == pytest.approx(1, abs=1e-10)
        gain, slope = critical(0.1, 0.0)
        shifted = critical(0.1001, 0.0)[0] - critical(0.0999, 0.0)[0]
        assert slope == pytest.approx(float(shifted) / 2e-4, rel=1e-4)
        assert critical(0.04, 0.06)[0] == pytest.approx(float(gain), rel=1e-12)
        assert critical(0.0, 0.0)[0] == pytest.approx(np.sqrt(np.pi) / 2, rel=1e-12)
        for variance in (0.0, 3.0):
            he = critical_gain(activation="relu", input_variance=variance)
            assert he == pytest.approx(np.sqrt(2), rel=1e-10)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="among tanh, sigmoid.*got 'tahn'"):
        mean_field_exponent(activation="tahn", gain=1.0)
    with pytest.raises(ValueError, match="positive, finite `gain`; got 0.0"):
        mean_field_exponent(activation="tanh", gain=0.0)
    with pytest.raises(ValueError, match="non-negative, finite `input_variance`; got -1"):
        critical_gain(activation="tanh", input_variance=-1.0)
    with pytest.raises(ValueError, match=r"scalar `gain`; got shape \(2,\)"):
        mean_field_spectrum(3, activation="tanh", gain=jnp.ones(2))
    with pytest.raises(ValueError, match="'gaussian' or 'orthogonal'; got 'unitary'"):
        mean_field_mean_exponent(activation="tanh", gain=1.0, weights="unitary")
    with as_a_user(), pytest.raises(TypeError, match="name or an elementwise function; got int"):
        mean_field_exponent(activation=3, gain=1.0)  # pyright: ignore[reportArgumentType]
