from typing import Any

import equinox as eqx
import jax
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
