import mpmath
import numpy as np
import pytest

from vanishing_jax.theory import gate_log_retention, memory_sensitivity


@pytest.mark.parametrize("bias", [-40.0, 0.0, 3.0, 30.0])
def test_retention_in_high_precision(bias):
    with mpmath.workdps(60):
        gate = 1 / (1 + mpmath.exp(-bias))
        expected = float(100 * mpmath.log(gate))
    assert gate_log_retention(bias, steps=100) == pytest.approx(expected, rel=1e-13)


def test_cell_state_of_an_lstm_is_kept_as_predicted():
    # An LSTM without weights, step by step: input gate 1/2, new content tanh(0) = 0.
    c, bias = np.array([1.0, -3.0, 0.1]), 2.0
    start = c.copy()
    for _ in range(4):
        c = 0.5 * np.tanh(0.0) + c / (1 + np.exp(-bias))
    np.testing.assert_allclose(np.log(c / start), gate_log_retention(bias, steps=4))


def test_wrong_biases_and_steps_are_named():
    with pytest.raises(ValueError, match="finite `bias`"):
        gate_log_retention(np.nan, steps=1)
    with pytest.raises(ValueError, match="`steps` >= 0"):
        gate_log_retention(0.0, steps=-1)


@pytest.mark.parametrize(
    "eigenvalue, correlation", [(0.5, 0.0), (0.9, 0.5), (-0.8, 0.6), (0.0, 0.3)]
)
def test_sums_over_pairs_of_past_inputs(eigenvalue, correlation):
    # h = sum_i l^i x_{t-i} and dh/dl = sum_i i l^(i-1) x_{t-i}: brute force over pairs (i, j).
    i = np.arange(200)
    R = correlation ** np.arange(200.0)
    covariance = R[np.abs(i[:, None] - i[None, :])]
    own = eigenvalue ** i.astype(float)
    slope = np.r_[0.0, i[1:] * eigenvalue ** (i[1:] - 1.0)]
    law = memory_sensitivity(eigenvalue, R)
    assert law.state_variance == pytest.approx(own @ covariance @ own, rel=1e-10)
    assert law.sensitivity == pytest.approx(slope @ covariance @ slope, rel=1e-10)
    assert law.normalized == pytest.approx(law.sensitivity * (1 - eigenvalue**2), rel=1e-12)


def test_white_input_close_to_one_by_its_series():
    law = memory_sensitivity(0.999, np.array([1.0]))
    k = np.arange(1, 60_000)
    assert law.sensitivity == pytest.approx(np.sum((k * 0.999 ** (k - 1.0)) ** 2), rel=1e-9)
    assert law.sensitivity == pytest.approx(250125125.12511, rel=1e-11)


def test_long_memory_of_a_simulated_sequence():
    rng, kept, steps = np.random.default_rng(0), 0.9, 200_000
    x = rng.normal(size=steps)
    h = g = 0.0
    states, slopes = np.empty(steps), np.empty(steps)
    for t in range(steps):
        h, g = kept * h + x[t], kept * g + h
        states[t], slopes[t] = h, g
    law = memory_sensitivity(kept, np.array([1.0]))
    assert np.mean(states**2) == pytest.approx(law.state_variance, rel=0.05)
    assert np.mean(slopes**2) == pytest.approx(law.sensitivity, rel=0.1)


def test_wrong_eigenvalues_are_named():
    with pytest.raises(ValueError, match="< 1; got 1.0"):
        memory_sensitivity(1.0, np.ones(1))
    with pytest.raises(ValueError, match="R\\(0\\)"):
        memory_sensitivity(0.5, np.ones(0))
