from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from vanishing_jax import cells, mitigations

N = 500


@pytest.fixture(scope="module")
def lstm() -> Any:
    transform = mitigations.chrono(100).transform_cell
    assert transform is not None
    cell: Any = transform(eqx.nn.LSTMCell(1, N, key=jax.random.key(0)), key=jax.random.key(1))
    return cell.module


def test_time_scales_are_uniform_and_the_input_gate_is_the_complement(lstm):
    keep = np.asarray(lstm.bias[N : 2 * N], np.float64)
    np.testing.assert_array_equal(lstm.bias[:N], -lstm.bias[N : 2 * N])
    scales = scipy.stats.uniform(loc=1, scale=98)  # [1, T_max - 1]
    assert scipy.stats.kstest(np.exp(keep), scales.cdf).pvalue > 0.01


@pytest.mark.parametrize("lag, expected", [(1, 0.96008139790379), (50, 0.33020393823514)])
def test_mean_memory_is_that_of_the_closed_form(lstm, lag, expected):
    # E f^t with f = u / (1 + u), u uniform on [1, 99].
    kept = (1 / (1 + np.exp(-np.asarray(lstm.bias[N : 2 * N], np.float64)))) ** lag
    assert abs(kept.mean() - expected) < 4 * kept.std() / np.sqrt(N)


def test_in_a_gru_the_update_gate_gets_them():
    gru = cells.GRUCell(1, 4, key=jax.random.key(0))
    transform = mitigations.chrono(50).transform_cell
    assert transform is not None
    changed: Any = transform(gru, key=jax.random.key(1))
    bias = np.asarray(changed.bias)
    assert np.all(bias[4:8] > 0) and np.all(bias[4:8] < np.log(49)) and np.all(bias[:4] == 0)
    with pytest.raises(ValueError, match="more than 2 steps; got 2"):
        mitigations.chrono(2)


KEY = jax.random.key(0)


def apply(value, cell) -> Any:
    transform = mitigations.forget_bias(value).transform_cell
    assert transform is not None
    return transform(cell, key=KEY)


def test_gates_that_keep_start_at_the_bias_and_nothing_else_changes():
    lstm, gru = cells.LSTMCell(2, 3, key=KEY), cells.GRUCell(3, 3, key=KEY)
    stack = cells.StackedCell([lstm, cells.LeakyCell(gru, 0.5), eqx.nn.LSTMCell(3, 3, key=KEY)])
    first, second, third = apply(2.5, stack).cells
    for bias in (first.bias, second.cell.bias, third.module.bias):
        np.testing.assert_array_equal(bias[3:6], 2.5)
    for new, old in [(first, lstm), (second.cell, gru)]:
        np.testing.assert_array_equal(new.bias[:3], old.bias[:3])
        np.testing.assert_array_equal(new.bias[6:], old.bias[6:])
    # At h = 0 and without input the cell keeps sigma(b) of c.
    zero = jnp.zeros(3)
    kept = first((zero, jnp.ones(3)), jnp.zeros(2))[1]
    np.testing.assert_allclose(kept, 1 / (1 + np.exp(-2.5)), rtol=1e-5)


def test_cells_without_such_gates_are_refused():
    with pytest.raises(ValueError, match="expected an LSTM or GRU .*VanillaCell holds none"):
        apply(1.0, cells.VanillaCell(1, 2, key=KEY))
    with pytest.raises(ValueError, match="gates with biases; LSTMCell has none"):
        apply(1.0, eqx.nn.LSTMCell(1, 2, use_bias=False, key=KEY))
    with pytest.raises(ValueError, match="finite bias; got inf"):
        mitigations.forget_bias(float("inf"))
