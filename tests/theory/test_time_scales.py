import mpmath
import numpy as np
import pytest

from vanishing_jax import theory


@pytest.mark.parametrize("bias", [-40.0, 0.0, 3.0, 30.0])
def test_retention_in_high_precision(bias):
    with mpmath.workdps(60):
        gate = 1 / (1 + mpmath.exp(-bias))
        expected = float(100 * mpmath.log(gate))
    assert theory.gate_log_retention(bias, steps=100) == pytest.approx(expected, rel=1e-13)


def test_cell_state_of_an_lstm_is_kept_as_predicted():
    # An LSTM without weights, step by step: input gate 1/2, new content tanh(0) = 0.
    c, bias = np.array([1.0, -3.0, 0.1]), 2.0
    start = c.copy()
    for _ in range(4):
        c = 0.5 * np.tanh(0.0) + c / (1 + np.exp(-bias))
    np.testing.assert_allclose(np.log(c / start), theory.gate_log_retention(bias, steps=4))


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="finite `bias`"):
        theory.gate_log_retention(np.nan, steps=1)
    with pytest.raises(ValueError, match="`steps` >= 0"):
        theory.gate_log_retention(0.0, steps=-1)
