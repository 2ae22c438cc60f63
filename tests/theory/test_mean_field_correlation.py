import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vanishing_jax.theory import mean_field_correlation, mean_field_susceptibility
from vanishing_jax.theory.mean_field._averages import gaussian_pair_average

from ..helpers import root


def test_pair_averages_in_closed_form():
    with jax.enable_x64(True):

        def averages(q, c):
            erf, relu = jax.scipy.special.erf, jax.nn.relu
            return gaussian_pair_average(erf, q, c), gaussian_pair_average(relu, q, c)

        averages = jax.jit(averages)
        for q, c in [(1e-8, 0.3), (0.5, -0.7), (2.0, 1.0), (30.0, 0.999), (100.0, -1.0)]:
            erf, relu = averages(jnp.asarray(q), jnp.asarray(c))
            # Williams (1998); Cho and Saul (2009).
            expected = 2 / np.pi * np.arcsin(2 * q * c / (1 + 2 * q))
            assert erf == pytest.approx(expected, rel=1e-8)
            angle = np.arccos(c)
            expected = q / (2 * np.pi) * (np.sqrt(1 - c**2) + (np.pi - angle) * c)
            assert relu == pytest.approx(expected, rel=1e-8, abs=1e-12)


@pytest.mark.parametrize(
    ("gain", "variance", "shared"), [(2.0, 0.0, 1.0), (3.0, 0.5, 1.0), (0.8, 0.3, 0.4)]
)
def test_fixed_points_of_erf_networks(gain, variance, shared):
    def overlap(q, c):
        return gain**2 * 2 / np.pi * np.arcsin(2 * q * c / (1 + 2 * q))

    q = root(lambda q: overlap(q, 1.0) + variance - q, 1e-6, 100)
    found = mean_field_correlation(
        activation="erf", gain=gain, input_variance=variance, input_correlation=shared
    )
    if variance == 0:
        expected = 0.0
    else:
        expected = root(lambda c: overlap(q, c) + shared * variance - c * q, -1, 1 - 1e-4)
    assert found.correlation == pytest.approx(expected, abs=1e-7)
    chi = gain**2 * 4 / np.pi / np.sqrt((1 + 2 * q) ** 2 - (2 * q * expected) ** 2)
    assert found.susceptibility == pytest.approx(chi, rel=1e-6)
    assert found.decay_time == pytest.approx(-1 / np.log(chi), rel=1e-5)


def test_below_chaos_trajectories_with_the_same_inputs_meet():
    found = mean_field_correlation(activation="erf", gain=0.8, input_variance=0.3)
    with jax.enable_x64(True):
        chi = mean_field_susceptibility(activation="erf", gain=0.8, input_variance=0.3)
    assert found.correlation == 1 and found.susceptibility == pytest.approx(float(chi))
    silent = mean_field_correlation(activation="erf", gain=0.5)
    assert np.isnan(silent.correlation)
    assert silent.susceptibility == pytest.approx(1 / np.pi, rel=1e-9)
    with pytest.raises(ValueError, match="`input_correlation` from -1 to 1; got 2"):
        mean_field_correlation(activation="erf", gain=1.0, input_correlation=2.0)


@pytest.mark.slow
def test_two_simulated_trajectories():
    n, gain, variance = 1000, 2.0, 0.3
    predicted = mean_field_correlation(activation="erf", gain=gain, input_variance=variance)
    assert 0.3 < predicted.correlation < 0.9
    from scipy.special import erf

    rng = np.random.default_rng(2)
    W = gain / np.sqrt(n) * rng.standard_normal((n, n))
    h = rng.standard_normal((n, 1)) + 1e-3 * rng.standard_normal((n, 2))
    found = []
    for _ in range(150):
        a = W @ h + np.sqrt(variance) * rng.standard_normal((n, 1))
        h = erf(a)
        found.append(a[:, 0] @ a[:, 1] / np.linalg.norm(a[:, 0]) / np.linalg.norm(a[:, 1]))
    assert np.mean(found[50:]) == pytest.approx(predicted.correlation, abs=0.03)
