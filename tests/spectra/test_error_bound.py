import jax
import numpy as np
import pytest

from .. import helpers


@pytest.fixture
def vj():
    import vanishing_jax

    return vanishing_jax


def spectrum(vj, jacobians, **options):
    return vj.log_singular_values(vj.JacobianChain(jacobians), **options)


def test_error_bound_sees_nearly_singular_factors(vj):
    rng = np.random.default_rng(5)
    u = rng.standard_normal((40, 8))
    u /= np.linalg.norm(u, axis=1)[:, None]
    projections = np.eye(8) - u[:, :, None] * u[:, None, :]  # singular but for rounding
    contracted = helpers.orthogonal_chain(rng, 8, 40) * np.logspace(0, -13, 8)
    for jacobians in (projections, contracted):
        result = spectrum(vj, jacobians)
        exact = helpers.exact_log_singular_values(jacobians, 2400)
        # Where a value is 0 for this machine's rounding alone, error and bound are both infinite.
        assert np.all(np.abs(result.log_singular_values - exact) <= result.error_bound)


def test_error_bound_over_random_chains(vj):
    rng = np.random.default_rng(5)
    families = list((helpers.FAMILIES | helpers.ILL_CONDITIONED).values())
    ratios = []
    for i in range(4 * len(families)):
        jacobians = families[i % len(families)](rng, 4, 12)
        exact = helpers.exact_log_singular_values(jacobians, 800)
        finite = np.isfinite(exact)
        for options in ({}, {"tolerance": 1e-8}, {"tolerance": 1e-5, "direction": "backward"}):
            result = spectrum(vj, jacobians, **options)
            found = result.log_singular_values
            np.testing.assert_array_equal(np.isfinite(found), finite)
            error = np.abs(found[finite] - exact[finite])
            ratios += list(error / result.error_bound[finite])
    assert np.max(ratios) <= 1
    assert np.median(ratios) >= 1e-3  # nor is it vacuous


@pytest.mark.parametrize("family", helpers.ILL_CONDITIONED)
def test_error_bound_sees_what_amplifies_over_many_steps(vj, family):
    jacobians = helpers.ILL_CONDITIONED[family](np.random.default_rng(3), 8, 150)
    exact = helpers.exact_log_singular_values(jacobians, 800)
    for options in ({}, {"tolerance": 1e-10}, {"tolerance": 1e-6}):
        for direction in ("forward", "backward"):
            result = spectrum(vj, jacobians, direction=direction, **options)
            error = np.abs(result.log_singular_values - exact)
            np.testing.assert_array_less(error, result.error_bound)
    if family == "jordan, rotated":  # and it is no false alarm
        assert np.max(error) > 1e-9 and np.max(result.error_bound) < 1e6 * np.max(error)


@pytest.mark.parametrize(("steps", "amplified"), [(20, False), (300, True)])
def test_a_tolerance_does_not_fail_silently(vj, steps, amplified):
    """Where defective matrices amplify what was lost the estimate is above the tolerance."""
    jacobians = helpers.rotated_jordan_chain(np.random.default_rng(3), 8, steps)
    asked = spectrum(vj, jacobians, tolerance=1e-8)
    assert (asked.estimated_error > 1e-8) == amplified
    assert ("not checked: read error_bound" in repr(asked)) == amplified
    exact = helpers.exact_log_singular_values(jacobians, 800)
    error = np.abs(asked.log_singular_values - exact)
    np.testing.assert_array_less(error, asked.error_bound)
    assert asked.meets_tolerance != amplified == bool(np.max(error) > 1e-8)
    assert ("above the tolerance 1.0e-08" in repr(asked)) == amplified


def test_bounds_see_what_amplifies_in_between(vj):
    # For ten steps the direction that grows shrinks and the other one grows.
    rng, steps, event = np.random.default_rng(8), 128, slice(70, 80)
    calm = np.triu(rng.standard_normal((steps, 2, 2)), 1) + np.diag([1.5, 0.7])
    rough = calm.copy()
    rough[event] += np.diag([-1.2, 1.2])
    turn = np.linalg.qr(rng.standard_normal((2, 2)))[0]  # the start is no direction of the chain
    worst = []
    for jacobians in (calm, rough):
        jacobians = turn @ jacobians @ turn.T
        result = spectrum(vj, jacobians)
        exact = helpers.exact_log_singular_values(jacobians, 800)
        assert np.all(np.abs(result.log_singular_values - exact) <= result.error_bound)
        worst.append(np.max(result.error_bound))
    assert worst[1] > 3 * worst[0]


def test_parts_of_a_sweep_give_the_same_bound(vj, monkeypatch):
    from vanishing_jax.spectra import _error_bound, _sweep

    monkeypatch.setattr(_sweep, "_LONGEST_CHUNK", 8)
    jacobians = helpers.tanh_chain(np.random.default_rng(0), 4, 90, 2.0)
    whole = spectrum(vj, jacobians, tolerance=None).error_bound
    monkeypatch.setattr(_error_bound, "_KEPT_BYTES", 16 * 4 * 4 * 20)  # of twenty steps
    parts = spectrum(vj, jacobians, tolerance=None).error_bound
    np.testing.assert_array_equal(parts, whole)


def test_error_bound_is_infinite_where_nothing_is_known(vj):
    jacobians = helpers.rotated_jordan_chain(np.random.default_rng(3), 8, 4000)
    assert np.isinf(spectrum(vj, jacobians).error_bound).any()


@pytest.mark.parametrize("cell", ["VanillaCell", "LSTMCell", "GRUCell"])
def test_rounding_of_float32_jacobians_is_told(vj, cell):
    n = 4 if cell == "LSTMCell" else 8
    with jax.enable_x64(False):
        cell = getattr(vj.cells, cell)(2, n, key=jax.random.key(0))
        inputs = jax.random.normal(jax.random.key(1), (1000, 2))
        trajectory = vj.rollout(cell, cell.initial_state(), inputs)
        single = vj.log_singular_values(vj.linearize(cell, trajectory))
        double = vj.log_singular_values(vj.linearize(cell, trajectory, precision="float64"))
    assert (single.dtype, double.dtype) == ("float32", "float64")
    error = np.abs(single.log_singular_values - double.log_singular_values)
    assert np.max(error) < 1e-2
    np.testing.assert_array_less(error, single.rounding_of_jacobians)
    assert np.max(single.rounding_of_jacobians) < 1e4 * np.max(error)
    assert "float32 entries" in repr(single) and "entries" not in repr(double)


@pytest.mark.parametrize("family", ["ginibre", "tanh", "inverse pairs"])
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_error_bound_is_finite_over_a_hundred_orders_of_magnitude(vj, family, direction):
    rng, n = np.random.default_rng(4), 32
    jacobians = {
        "ginibre": lambda: helpers.ginibre_chain(rng, n, 100),
        "tanh": lambda: helpers.tanh_chain(rng, n, 60, 3.0),
        "inverse pairs": lambda: helpers.inverse_pair_chain(rng, n, 100),
    }[family]()
    for tolerance in (None, 1e-6):
        result = spectrum(vj, jacobians, direction=direction, tolerance=tolerance)
        spread = np.ptp(result.log_singular_values)
        assert (spread > 100) == (family != "inverse pairs")
        assert np.max(result.error_bound) < 1e-6
