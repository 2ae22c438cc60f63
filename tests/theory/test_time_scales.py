import mpmath
import numpy as np
import pytest

from vanishing_jax import theory


@pytest.mark.parametrize("bias", [-40.0, 0.0, 3.0, 30.0])
def test_time_scale_and_retention_in_high_precision(bias):
    with mpmath.workdps(60):
        gate = 1 / (1 + mpmath.exp(-bias))
        assert theory.gate_time_scale(bias) == pytest.approx(float(-1 / mpmath.log(gate)))
        expected = float(100 * mpmath.log(gate))
    assert theory.gate_log_retention(bias, steps=100) == pytest.approx(expected, rel=1e-13)


def test_cell_state_of_an_lstm_is_kept_as_predicted():
    # An LSTM without weights, step by step: input gate 1/2, new content tanh(0) = 0.
    c, bias = np.array([1.0, -3.0, 0.1]), 2.0
    start = c.copy()
    for _ in range(4):
        c = 0.5 * np.tanh(0.0) + c / (1 + np.exp(-bias))
    np.testing.assert_allclose(np.log(c / start), theory.gate_log_retention(bias, steps=4))


@pytest.mark.parametrize("steps, longest", [(0, 3), (1, 100), (200, 100), (784, 784), (20, 5000)])
def test_chrono_layer_by_quadrature_and_by_drawing(steps, longest):
    with mpmath.workdps(30):
        cuts = mpmath.linspace(0, mpmath.log(longest - 1), 9)
        mean = mpmath.quad(lambda b: mpmath.exp(b) * (1 + mpmath.exp(-b)) ** -steps, cuts)
        expected = float(mean / (longest - 2))
    found = theory.chrono_retention(steps, longest=longest)
    assert found == pytest.approx(expected, rel=1e-12)
    u = np.random.default_rng(0).uniform(1, longest - 1, 100_000)
    drawn = (u / (1 + u)) ** steps
    assert abs(drawn.mean() - found) <= 4 * drawn.std() / 100_000**0.5 + 1e-12


def test_slowest_unit_of_a_chrono_layer():
    for longest, expected in ((10, 0.3486784401), (100, 0.36603234127323), (784, 0.36764469941117)):
        assert theory.chrono_longest_share(longest) == pytest.approx(expected, rel=1e-10)
    slow = theory.gate_time_scale(np.log(99.0))
    assert slow == pytest.approx(99.499162473422, rel=1e-12)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="finite `bias`"):
        theory.gate_time_scale(np.nan)
    with pytest.raises(ValueError, match="`steps` >= 0"):
        theory.gate_log_retention(0.0, steps=-1)
    with pytest.raises(ValueError, match="`longest` >= 3"):
        theory.chrono_retention(1, longest=2)
    with pytest.raises(ValueError, match="`longest` of at least 2"):
        theory.chrono_longest_share(1)
