import math

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from vanishing_jax.theory import gaussian_average

VARIANCES = [1e-8, 0.3, 20.0, 1e4]

SMOOTH = {
    "tanh^2": (lambda x: jnp.tanh(x) ** 2, lambda x: mpmath.tanh(x) ** 2),
    "tanh'^2": (lambda x: jnp.cosh(x) ** -4.0, lambda x: mpmath.sech(x) ** 4),
    "sigmoid'^2": (
        lambda x: (jax.nn.sigmoid(x) * jax.nn.sigmoid(-x)) ** 2,
        lambda x: mpmath.sech(x / 2) ** 4 / 16,
    ),
}


def average(function, variance):
    """Return the average by adaptive quadrature in 20 digits, split where the function bends."""
    with mpmath.workdps(20):
        s = mpmath.sqrt(variance)
        near = [k * sign / s for k in (0.5, 2, 8, 30) for sign in (-1, 1)]
        points = [x for x in [*near, 0, -5, -1, 1, 5] if abs(x) < 14]
        total = mpmath.quad(
            lambda z: function(s * z) * mpmath.exp(-z * z / 2), [-14, *sorted(points), 14]
        )
        return float(total / mpmath.sqrt(2 * mpmath.pi))


def averages(functions, q):
    """Return the average of each function, from one program."""
    return jax.jit(lambda q: [gaussian_average(f, q) for f in functions])(q)


def test_smooth_functions_against_adaptive_quadrature():
    with jax.enable_x64(True):
        found = averages([function for function, _ in SMOOTH.values()], jnp.asarray(VARIANCES))
    for values, (name, (_, reference)) in zip(found, SMOOTH.items(), strict=True):
        expected = [average(reference, q) for q in VARIANCES]
        np.testing.assert_allclose(values, expected, rtol=1e-10, err_msg=name)


def test_kinks_jumps_and_closed_forms():
    q = jnp.asarray(VARIANCES)
    rtol = 1e-10 if q.dtype == jnp.float64 else 1e-5
    # The last: an arcsine (Williams 1998).
    closed = {
        "relu": (jax.nn.relu, np.sqrt(np.array(q) / (2 * np.pi))),
        "relu^2": (lambda x: jax.nn.relu(x) ** 2, np.array(q) / 2),
        "step": (lambda x: (x > 0).astype(x.dtype), np.full(len(q), 0.5)),
        "erf^2": (
            lambda x: jax.scipy.special.erf(x) ** 2,
            2 / np.pi * np.arcsin(2 * np.array(q, float) / (1 + 2 * np.array(q, float))),
        ),
    }
    all_found = averages([function for function, _ in closed.values()], q)
    for found, (name, (_, expected)) in zip(all_found, closed.items(), strict=True):
        assert found.dtype == q.dtype and found.shape == q.shape
        np.testing.assert_allclose(found, expected, rtol=rtol, err_msg=name)


def test_derivatives_follow_the_heat_equation():
    with jax.enable_x64(True):
        # d/dq E cos = -E cos / 2, also at q = 0, where sqrt(q) has no derivative.
        def cosine(q, a):
            return gaussian_average(lambda x: jnp.cos(a * x), q)

        derivative = jax.jit(
            lambda q, a: (
                *jax.value_and_grad(jax.grad(cosine))(q, 1.0),
                jax.grad(cosine, 1)(q, a),
            )
        )
        for q in (0.0, 1e-20, 0.5, 3.0):
            first, second, by_scale = derivative(q, 2.0)
            assert by_scale == pytest.approx(-2 * q * math.exp(-2 * q), rel=1e-7, abs=1e-15)
            assert first == pytest.approx(-math.exp(-q / 2) / 2, rel=1e-7)
            if q >= 0.5:
                assert second == pytest.approx(math.exp(-q / 2) / 4, rel=1e-10)
