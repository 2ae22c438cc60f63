import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vanishing_jax as vj
from vanishing_jax.theory import _maps


def follow(system, steps):
    """Return the states and the Jacobians of the package along an orbit, in float64."""
    trajectory = vj.rollout(system.cell, system.state0, jnp.zeros((steps, 0)))
    chain = vj.linearize(system.cell, trajectory)
    return np.asarray(trajectory.states), np.asarray(chain.jacobians)


@pytest.fixture(scope="module")
def orbit():
    """Return a function that gives (system, states, Jacobians) of a name, computed once."""
    makers = {
        "logistic": (_maps.logistic_map, 400),
        "henon": (_maps.henon_map, 4000),
        "cat": (_maps.cat_map, 60),
        "baker": (_maps.baker_map, 60),
        "lorenz": (_maps.lorenz_flow, 20_000),
    }
    known = {}

    def make(name):
        if name not in known:
            with jax.enable_x64(True):
                maker, steps = makers[name]
                system = maker()
                known[name] = (system, *follow(system, steps))
        return known[name]

    return make


# The same steps and derivatives by hand, in NumPy.
def logistic(s):
    return 4 * s * (1 - s), np.array([[4 - 8 * s[0]]])


def henon(s):
    x, y = s
    return np.array([1 - 1.4 * x * x + y, 0.3 * x]), np.array([[-2.8 * x, 1], [0.3, 0]])


def cat(s):
    A = np.array([[2.0, 1.0], [1.0, 1.0]])
    return A @ s % 1, A


def baker(s):
    x, y = s
    if x < 0.5:
        return np.array([2 * x, y / 2]), np.diag([2, 0.5])
    return np.array([2 - 2 * x, 1 - y / 2]), np.diag([-2, -0.5])


def lorenz(s):
    def rate(s):
        x, y, z = s
        value = np.array([10 * (y - x), 28 * x - x * z - y, x * y - 8 * z / 3])
        return value, np.array([[-10, 10, 0], [28 - z, -1, -x], [y, x, -8 / 3]])

    h, one = 0.01, np.eye(3)
    k1, A1 = rate(s)
    k2, A2 = rate(s + h / 2 * k1)
    k3, A3 = rate(s + h / 2 * k2)
    k4, A4 = rate(s + h * k3)
    D1 = A1
    D2 = A2 @ (one + h / 2 * D1)
    D3 = A3 @ (one + h / 2 * D2)
    D4 = A4 @ (one + h * D3)
    return s + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), one + h / 6 * (D1 + 2 * D2 + 2 * D3 + D4)


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [("logistic", logistic), ("henon", henon), ("cat", cat), ("baker", baker), ("lorenz", lorenz)],
)
def test_steps_and_jacobians_agree_with_the_formulas(orbit, name, by_hand):
    system, states, jacobians = orbit(name)
    assert states.dtype == np.float64 and jacobians.dtype == np.float64
    assert system.exponents.shape == system.uncertainty.shape == (states.shape[1],)
    assert np.all(np.diff(system.exponents) < 0)
    # One step at a time from the package's own states: chaos would part two orbits.
    for t in range(0, 50):
        after, J = by_hand(states[t])
        np.testing.assert_allclose(states[t + 1], after, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(jacobians[t], J, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ["henon", "cat", "baker", "lorenz"])
def test_volume_changes_by_the_same_factor_at_every_step(orbit, name):
    system, _, jacobians = orbit(name)
    logs = np.linalg.slogdet(jacobians).logabsdet
    discretized = 1e-5 if name == "lorenz" else 0.0  # 1e-3 per unit of time
    assert np.abs(logs - system.sum_of_exponents).max() <= discretized + 1e-13
    allowed = system.uncertainty.sum() + discretized + 1e-13
    assert abs(system.exponents.sum() - system.sum_of_exponents) <= allowed


def growth_rates(jacobians):
    """Return log|R_ii| of a plain QR loop, shape (T, n), the first steps left out."""
    Q = np.linalg.qr(np.random.default_rng(0).normal(size=jacobians.shape[1:]))[0]
    logs = []
    for J in jacobians:
        Q, R = np.linalg.qr(J @ Q)
        logs.append(np.log(np.abs(np.diagonal(R))))
    return np.array(logs)[200:]


@pytest.mark.parametrize("name", ["logistic", "henon", "lorenz"])
def test_exponents_by_a_plain_qr_loop(orbit, name):
    system, _, jacobians = orbit(name)
    growth = growth_rates(jacobians)
    blocks = growth[: len(growth) // 20 * 20].reshape(20, -1, growth.shape[1]).mean(axis=1)
    error = blocks.std(axis=0, ddof=1) / np.sqrt(20)
    z = (growth.mean(axis=0) - system.exponents) / np.hypot(error, system.uncertainty)
    assert np.abs(z).max() < 4.5
    # The check is sharp enough to tell the second decimal (the rate per time unit for Lorenz).
    unit = 0.01 if name == "lorenz" else 1.0
    assert error[0] / unit < 0.06


def test_logistic_growth_is_exact_at_finite_time(orbit):
    _, states, jacobians = orbit("logistic")
    start, end = states[0, 0], states[-1, 0]
    expected = len(jacobians) * np.log(2) + np.log(end * (1 - end) / (start * (1 - start))) / 2
    assert np.log(np.abs(jacobians)).sum() == pytest.approx(expected, abs=1e-9)


def test_exponents_of_constant_jacobians_are_exact(orbit):
    system, _, jacobians = orbit("cat")
    rates = np.log(np.linalg.eigvalsh(jacobians[0]))[::-1]
    np.testing.assert_allclose(rates, system.exponents, rtol=1e-13)
    system, _, jacobians = orbit("baker")
    np.testing.assert_array_equal(np.abs(jacobians), [np.diag([2, 0.5])] * len(jacobians))
    np.testing.assert_allclose(system.exponents, [np.log(2), -np.log(2)], rtol=1e-14)
