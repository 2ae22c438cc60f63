import numpy as np
import pytest

from vanishing_jax.theory import mean_field_transient


def test_power_law_at_the_edge_of_chaos():
    q, growth = mean_field_transient(4000, activation="tanh", gain=1.0, state_variance=1.0)
    t = np.arange(1, 4001)
    # q -> q - 2 q^2 + ...: 1 / (2 t); chi = 1 - 2 q + ...: a norm that falls as t^(-1/2).
    assert 2 * t[-1] * q[-1] == pytest.approx(1, abs=3e-3)
    assert (growth[-1] - growth[999]) / np.log(4) == pytest.approx(-0.5, abs=2e-3)


def test_a_network_follows_it_from_the_first_step():
    n, steps, gain, input_variance, start = 1000, 8, 1.3, 0.2, 4.0
    options = {"gain": gain, "input_variance": input_variance, "state_variance": start}
    predicted = mean_field_transient(steps, activation="tanh", **options)
    rng = np.random.default_rng(1)
    W = gain / np.sqrt(n) * rng.standard_normal((n, n))
    h = np.sqrt(start) * rng.standard_normal(n)
    V = np.linalg.qr(rng.standard_normal((n, 30))).Q  # 30 unit vectors, so a mean over them
    for t in range(steps):
        a = W @ h + np.sqrt(input_variance) * rng.standard_normal(n)
        h = np.tanh(a)
        V = (1 - h**2)[:, None] * (W @ V)
        assert np.mean(a**2) == pytest.approx(predicted.variance[t], rel=0.2)
        growth = np.log(np.sum(V**2) / 30) / 2
        assert growth == pytest.approx(predicted.log_growth[t], abs=0.1)


def test_no_step_is_refused():
    with pytest.raises(ValueError, match="`num_steps` of at least 1; got 0"):
        mean_field_transient(0, activation="tanh", gain=1.0)
