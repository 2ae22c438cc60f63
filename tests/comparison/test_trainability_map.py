import functools
import json
import math
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

import vanishing_jax as vj
from vanishing_jax.comparison import _trainability_map as module

from .test_phase_diagram import average, exponent, variance

GAINS, LAGS, NOISE = [0.6, 1.4], [1, 4], 0.1
SMALL: dict[str, Any] = {
    "hidden_size": 6, "num_updates": 3, "batch_size": 40, "num_test": 40, "seeds": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def found():
    return vj.trainability_map(
        gains=GAINS, lags=LAGS, input_variance=NOISE, **SMALL,
        progress=False, key=jr.key(5),
    )  # fmt: skip


def plain_loss(params, symbols, label, start, noise):
    """Return loss and accuracy, one step after the other, differentiated by JAX alone."""
    a = jnp.tanh(start) @ params["W"].T + params["b"][None] + symbols[label]
    for drive in noise:
        a = jnp.tanh(a) @ params["W"].T + params["b"][None] + drive
    logits = jnp.tanh(a) @ params["V"].T + params["c"][None]
    log_p = logits - jax.scipy.special.logsumexp(logits, axis=1, keepdims=True)
    losses = -jnp.take_along_axis(log_p, label[:, None], axis=1)
    return losses.mean(), (logits.argmax(axis=1) == label).mean()


@functools.partial(jax.jit, static_argnums=(3, 4))
@functools.partial(jax.value_and_grad, has_aux=True)
def reference(params, symbols, key, count, lag, rest):
    """Return loss, accuracy and gradient on fresh sequences."""
    n = symbols.shape[1]
    key_label, key_start, key_noise = jr.split(key, 3)
    noise = [jr.normal(jr.fold_in(key_noise, t), (count, n)) for t in range(lag)]
    label = jr.randint(key_label, (count,), 0, len(symbols))
    start = rest * jr.normal(key_start, (count, n))
    return plain_loss(params, symbols, label, start, [math.sqrt(NOISE) * x for x in noise])


def test_training_is_that_of_a_plain_loop(found):
    i, j, k = 1, 1, 1
    key = jr.fold_in(jr.fold_in(jr.fold_in(jr.key(5), i), j), k)
    key_model, key_data, key_test = jr.split(key, 3)
    sizes = module.Sizes("tanh", 6, 4, 40, 3, 40)
    initial = jax.jit(module._initial, static_argnums=0)
    params, symbols = initial(sizes, jnp.asarray(GAINS[i]), key_model)
    rest = jnp.asarray(math.sqrt(variance(GAINS[i], NOISE)))
    optimizer = optax.adam(1e-4)
    state = optimizer.init(params)
    for own in jr.split(key_data, 3):
        _, gradient = reference(params, symbols, own, 40, LAGS[j], rest)
        with jax.numpy_dtype_promotion("standard"):
            change, state = optimizer.update(gradient, state)
        params = optax.apply_updates(params, change)
    (loss, accuracy), _ = reference(params, symbols, key_test, 40, LAGS[j], rest)
    at = found.isel(gain=i, lag=j, seed=k)
    np.testing.assert_allclose(at.loss, loss, rtol=1e-7)
    assert float(at.accuracy) == pytest.approx(float(accuracy))
    assert found.loss.dims == ("gain", "lag", "seed") and np.isfinite(found.loss).all()


def test_predicted_times_are_those_of_another_quadrature(found):
    np.testing.assert_allclose(
        found.gradient_time, [1 / abs(exponent(g, NOISE)) for g in GAINS], rtol=1e-6
    )
    # An odd activation without biases: independent noise leaves no correlation.
    factors = [g * average(lambda x: np.cosh(x) ** -2.0, variance(g, NOISE)) for g in GAINS]
    np.testing.assert_allclose(found.signal_time, -1 / np.log(factors), rtol=1e-5)


def test_the_mark_of_a_symbol_on_the_mean_decays_as_predicted():
    """An untrained wide network in NumPy: the means of two symbols approach each other."""
    n, count, gain, noise = 400, 500, 0.9, 0.1
    rng = np.random.default_rng(0)
    W = gain / np.sqrt(n) * rng.standard_normal((n, n))
    a = np.sqrt(variance(gain, noise)) * rng.standard_normal((count, n))
    a = a + 0.1 * rng.standard_normal((2, 1, n))  # the same noise: the same difference on average
    apart = []
    for _ in range(5):
        a = np.tanh(a) @ W.T + np.sqrt(noise) * rng.standard_normal((count, n))
        apart.append(np.linalg.norm((a[0] - a[1]).mean(axis=0)))
    settled = vj.theory.mean_field_correlation(
        activation="tanh", gain=gain, input_variance=noise, input_correlation=0.0
    )
    measured = (math.log(apart[0]) - math.log(apart[4])) / 4
    assert measured == pytest.approx(1 / (2 * settled.decay_time), rel=0.1)


def test_boundary_lies_between_two_lags():
    lags, level = np.array([1, 4, 16]), 0.6
    rows = np.array(
        [[1.0, 0.9, 0.3], [0.9, 0.9, 0.7], [0.5, 0.9, 0.9], [1.0, np.nan, 1.0], [1.0, 0.2, 0.9]]
    )
    expected = [8.0, math.inf, 0.0, 4**0.4, 4**0.5]
    np.testing.assert_allclose(module.boundary(lags, rows, level), expected)


def test_scales_are_compared_over_the_gains(found, tmp_path):
    import xarray as xr

    settings: dict[str, Any] = {"symbols": 4}
    accuracy = np.array([[[1.0], [0.25]], [[1.0], [1.0]], [[0.25], [0.25]], [[1.0], [0.5]]])
    predicted = {
        "gradient_time": np.array([2.0, math.inf, 3.0, 4.0]),
        "signal_time": np.array([1.0, 7.0, 0.5, 1.5]),
    }
    made = module._dataset(
        np.array([1.0, 2.0, 3.0, 4.0]),
        np.array([2, 8]),
        accuracy,
        accuracy,
        predicted,
        settings,
        jr.key(0),
    )
    first, last = 2 * 4**0.5, 2 * 4**0.75  # 0.625 is half of the way, and three quarters
    np.testing.assert_allclose(made.boundary, [first, math.inf, 0.0, last])
    assert made.attrs["signal_rank_correlation"] == pytest.approx(1.0)
    assert made.attrs["gradient_rank_correlation"] == pytest.approx(0.8)
    assert made.attrs["signal_multiple"] == pytest.approx(np.median([first, last / 1.5]))
    found.to_netcdf(tmp_path / "map.nc")
    with xr.open_dataset(tmp_path / "map.nc") as again:
        xr.testing.assert_identical(again.load(), found)
    assert json.loads(found.attrs["settings"])["optimizer"] == "adam, learning rate 1e-4"


def test_rank_correlation_with_ties_and_infinities():
    x, y = np.array([3.0, 1.0, 1.0, math.inf, 0.0]), np.array([2.0, 2.0, 0.5, 7.0, 1.0])
    ranks = [4.0, 2.5, 2.5, 5.0, 1.0], [3.5, 3.5, 1.0, 5.0, 2.0]
    assert module.rank_correlation(x, y) == pytest.approx(np.corrcoef(*ranks)[0, 1])
    assert math.isnan(module.rank_correlation(np.ones(2), np.array([1.0, 2.0])))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"gains": []}, ValueError, "at least one value in `gains`"),
        ({"gains": [-1.0]}, ValueError, "`gains` above 0; got -1"),
        ({"gains": [1.0, math.nan]}, ValueError, "finite `gains`; got nan"),
        ({"lags": [4, 2]}, ValueError, "`lags` in increasing order"),
        ({"lags": [0, 2]}, ValueError, "`lags` above 0; got 0"),
        ({"lags": [1.5]}, TypeError, "whole numbers of steps in `lags`"),
        ({"input_variance": -0.1}, ValueError, "`input_variance` of at least 0; got -0.1"),
        ({"num_updates": 0}, ValueError, "`num_updates` of at least 1"),
    ],
)
def test_wrong_arguments_are_named(changes, error, message):
    given: dict[str, Any] = {"gains": [1.0], "lags": [1, 2]}
    with pytest.raises(error, match=message):
        vj.trainability_map(**{**given, **changes}, progress=False, key=jr.key(0))
