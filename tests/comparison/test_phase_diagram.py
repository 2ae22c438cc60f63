import json
import math
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import vanishing_jax as vj
from vanishing_jax.comparison import _phase_diagram as module
from vanishing_jax.comparison._gain_grid import (
    cell_keys,
    checked_axis,
    unit_matrix,
)

from ..helpers import root

GAINS, VARIANCES = [0.2, 1.6], [0.0, 0.5]
N, STEPS, BURN, SEEDS = 6, 9, 2, 2


@pytest.fixture(scope="module")
def phase():
    return vj.phase_diagram(
        gains=GAINS, input_variances=VARIANCES, hidden_size=N, num_steps=STEPS, burn=BURN,
        seeds=SEEDS, progress=False, key=jr.key(3),
    )  # fmt: skip


def log_norms(sizes, gain, input_variance, bias_variance, key):
    """Return log |J_{s+1}^T ... J_T^T v| for lags 1, ..., T: products of matrices in NumPy."""
    W, b, h, key_drive, v = map(
        lambda x: np.asarray(x, float) if jnp.issubdtype(x.dtype, jnp.inexact) else x,
        module.drawn(sizes, jnp.asarray(gain), jnp.asarray(math.sqrt(bias_variance)), key),
    )
    jacobians = []
    for t in range(BURN + STEPS):
        noise = np.asarray(jr.normal(jr.fold_in(key_drive, t), (N,)))
        h = np.tanh(W @ h + math.sqrt(input_variance) * noise + b)
        jacobians.append(np.diag(1 - h**2) @ W)
    product, norms = np.eye(N), []
    for J in jacobians[: BURN - 1 : -1]:
        product = product @ J
        norms.append(np.linalg.norm(product.T @ v) / np.linalg.norm(v))
    return np.log(norms)


def check_against_products(found, sizes, variances, key):
    for i, gain in enumerate(GAINS):
        for j, (input_variance, bias_variance) in enumerate(variances):
            for k in range(SEEDS):
                own = jr.fold_in(jr.fold_in(jr.fold_in(key, i), j), k)
                logs = log_norms(sizes, gain, input_variance, bias_variance, own)
                at = found.isel(gain=i, seed=k).isel({found.exponent.dims[1]: j})
                np.testing.assert_allclose(at.exponent, logs[-1] / STEPS, rtol=1e-9)
                path, level = np.r_[0.0, logs], math.log(1e-3)
                below = np.flatnonzero(path <= level)
                horizon = math.inf
                if below.size:
                    m = below[0]
                    horizon = np.interp(-level, -path[m - 1 : m + 1], [m - 1, m])
                np.testing.assert_allclose(at.horizon, horizon, rtol=1e-9)


def test_exponents_and_horizons_are_those_of_products_of_jacobians(phase):
    sizes = module.Sizes("tanh", N, STEPS, BURN)
    check_against_products(phase, sizes, [(v, 0.0) for v in VARIANCES], jr.key(3))
    assert np.isfinite(phase.horizon).any() and np.isinf(phase.horizon).any()


def test_over_biases_they_are_those_of_products_too(phase):
    biases = [0.1, 0.3]
    found = vj.phase_diagram(
        gains=GAINS, bias_variances=biases, input_variance=0.2, hidden_size=N, num_steps=STEPS,
        burn=BURN, seeds=SEEDS, progress=False, key=jr.key(4),
    )  # fmt: skip
    assert found.exponent.dims == ("gain", "bias_variance", "seed")
    sizes = module.Sizes("tanh", N, STEPS, BURN)  # compiled for `phase`
    check_against_products(found, sizes, [(0.2, b) for b in biases], jr.key(4))
    expected = [[exponent(g, 0.2 + b) for b in biases] for g in GAINS]
    np.testing.assert_allclose(found.predicted_exponent, expected, atol=1e-9)


def test_weights_have_gain_one():
    n = 40
    W = np.asarray(unit_matrix(n, key=jr.key(0)), float)
    assert np.sum(W**2) == pytest.approx(n, abs=5 * math.sqrt(2))  # n^2 entries: chi-square
    assert abs(W.mean()) < 5 / n**1.5


# The trapezoidal rule, which converges exponentially here.
NODES = np.linspace(-12, 12, 2001)
WEIGHTS = np.exp(-(NODES**2) / 2)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def average(function, q):
    return np.sum(WEIGHTS * function(np.sqrt(q) * NODES))


def variance(gain, added):
    q = 1.0
    for _ in range(1000):
        q = gain**2 * average(lambda x: np.tanh(x) ** 2, q) + added
    return q


def exponent(gain, added):
    return math.log(gain**2 * average(lambda x: np.cosh(x) ** -4.0, variance(gain, added))) / 2


def test_predictions_are_those_of_another_quadrature(phase):
    expected = np.array([[exponent(g, v) for v in VARIANCES] for g in GAINS])
    np.testing.assert_allclose(phase.predicted_exponent, expected, atol=1e-7)
    horizon = np.where(expected < 0, math.log(1e-3) / expected, math.inf)
    np.testing.assert_allclose(phase.predicted_horizon, horizon, rtol=1e-6)
    critical = [1.0, root(lambda g: exponent(g, VARIANCES[1]), 1.2, 2.5)]
    np.testing.assert_allclose(phase.critical_gain, critical, atol=1e-6)


def test_statistics_are_those_of_the_seeds(phase):
    a, b = np.moveaxis(phase.exponent.values, 2, 0)
    error = np.abs(a - b) / 2  # of a mean of two
    np.testing.assert_allclose(phase.standard_error, error, rtol=1e-12)
    z = ((a + b) / 2 - phase.predicted_exponent) / error
    np.testing.assert_allclose(phase.z, z, rtol=1e-9)
    alone = module._dataset(
        module._grid(GAINS, VARIANCES, None, 0.0), phase.exponent.values[..., :1],
        phase.horizon.values[..., :1],
        {"exponent": phase.predicted_exponent.values, "horizon": phase.predicted_horizon.values,
         "critical_gain": phase.critical_gain.values}, {}, jr.key(0),
    )  # fmt: skip
    assert np.isnan(alone.standard_error).all() and np.isnan(alone.critical_gain_error).all()


def test_measured_critical_gain_is_where_the_line_through_two_points_is_zero():
    gains, mean = np.array([1.0, 1.5, 2.0]), np.array([-0.3, -0.1, 0.4])
    error = np.array([0.01, 0.02, 0.05])
    found, its_error = module.zero_crossing(gains, mean[:, None], error[:, None])
    crossing = lambda low, high: 1.5 + 0.5 * low / (low - high)  # noqa: E731
    np.testing.assert_allclose(found, crossing(-0.1, 0.4))
    h = 1e-6
    slopes = (
        (crossing(-0.1 + h, 0.4) - crossing(-0.1 - h, 0.4)) / (2 * h) * 0.02,
        (crossing(-0.1, 0.4 + h) - crossing(-0.1, 0.4 - h)) / (2 * h) * 0.05,
    )
    np.testing.assert_allclose(its_error, math.hypot(*slopes), rtol=1e-6)
    never = np.array([[-0.3, 0.1], [-0.2, 0.2], [-0.1, 0.3]])
    assert np.isnan(module.zero_crossing(gains, never, np.zeros((3, 2)))).all()


def test_horizon_of_a_dead_and_of_an_undefined_gradient():
    logs = jnp.array([[-1.0, -jnp.inf, -jnp.inf], [-1.0, jnp.nan, jnp.nan], [-9.0, -9.0, -9.0]])
    found = jax.jit(jax.vmap(module._horizon))(logs)
    np.testing.assert_allclose(found, [2.0, math.nan, math.log(1e3) / 9])


def test_file_holds_the_same(phase, tmp_path):
    import xarray as xr

    phase.to_netcdf(tmp_path / "phase.nc")
    with xr.open_dataset(tmp_path / "phase.nc") as again:
        xr.testing.assert_identical(again.load(), phase)
    settings = json.loads(phase.attrs["settings"])
    assert settings["activation"] == "tanh" and settings["precision"] == "float64"
    assert all(variable.attrs["long_name"] for variable in phase.data_vars.values())


def test_a_point_keeps_its_key_when_the_map_grows():
    def keys(*shape):
        return jr.key_data(cell_keys(jr.key(1), shape)).reshape(*shape, -1)

    np.testing.assert_array_equal(keys(2, 2, 2), keys(3, 2, 4)[:2, :, :2])
    every = keys(3, 2, 4).reshape(24, -1)
    assert len(np.unique(every, axis=0)) == 24


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"gains": []}, ValueError, "at least one value in `gains`"),
        ({"gains": [0.0, 1.0]}, ValueError, "`gains` above 0; got 0"),
        ({"gains": [-1.0]}, ValueError, "`gains` above 0; got -1"),
        ({"gains": [1.0, math.nan]}, ValueError, "finite `gains`; got nan"),
        ({"gains": [2.0, 1.0]}, ValueError, "`gains` in increasing order"),
        ({"gains": [1.0, 1.0]}, ValueError, "each once"),
        ({"input_variances": [-0.1]}, ValueError, "`input_variances` of at least 0; got -0.1"),
        ({"bias_variances": [0.1]}, TypeError, "one of `input_variances` and"),
        ({"input_variances": None}, TypeError, "got 0 of them"),
        ({"input_variance": 0.1}, TypeError, "goes with `bias_variances`"),
        ({"activation": "tan"}, ValueError, "expected an activation among"),
        ({"num_steps": 0}, ValueError, "`num_steps` of at least 1"),
        ({"burn": -1}, ValueError, "`burn` of at least 0"),
    ],
)
def test_wrong_arguments_are_named(changes, error, message):
    given: dict[str, Any] = {"gains": [1.0], "input_variances": [0.1]}
    with pytest.raises(error, match=message):
        vj.phase_diagram(**{**given, **changes}, progress=False, key=jr.key(0))


def test_an_axis_is_a_sequence():
    for values in (1.0, "12", [[1.0]], None):
        with pytest.raises(TypeError, match="`gains` as a sequence of numbers; got"):
            checked_axis("gains", values)


def test_states_that_overflow_give_nan():
    sizes = module.Sizes("tanh", N, STEPS, BURN)  # compiled for `phase`
    gain, zero = jnp.asarray(np.full(8, np.inf)), jnp.asarray(np.zeros(8))
    assert np.isnan(module._growth(sizes, gain, zero, zero, jr.split(jr.key(0), 8))).all()
