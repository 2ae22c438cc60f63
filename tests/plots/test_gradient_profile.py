import numpy as np
import pytest

from . import fakes


@pytest.fixture
def plot_gradient_profile():
    from vanishing_jax.plots import plot_gradient_profile

    return plot_gradient_profile


def test_states_from_0_and_parameters_from_1(plot_gradient_profile):
    profile = fakes.profile(num_steps=16)
    ax = plot_gradient_profile(profile)
    states, parameters = ax.lines
    assert (states.get_xdata()[0], parameters.get_xdata()[0]) == (0, 1)
    np.testing.assert_allclose(states.get_ydata(), profile.log_norm / np.log(10))
    np.testing.assert_allclose(parameters.get_ydata(), profile.log_parameter_norm / np.log(10))
    assert ax.get_xlabel() == "time $t$ (steps)"
    assert states.get_linestyle() != parameters.get_linestyle()


def test_a_batch_of_profiles(plot_gradient_profile):
    profile = fakes.profile(num_steps=16)
    profile.log_norm = profile.log_norm * np.array([[1.0], [2.0], [3.0]])
    profile.log_parameter_norm = profile.log_norm[:, 1:]
    ax = plot_gradient_profile(profile)
    assert len(ax.lines) == 2 * (3 + 1)
    np.testing.assert_allclose(ax.lines[3].get_ydata(), profile.log_norm[1] / np.log(10))
    assert len(ax.get_legend().get_texts()) == 2


def test_zeros_undefined_and_one_step(plot_gradient_profile):
    profile = fakes.profile()
    profile.log_norm[:3] = -np.inf
    profile.log_norm[4] = np.nan
    note = plot_gradient_profile(profile).texts[0].get_text()
    assert note == "3 exact zeros drawn at the floor; 1 value not finite, not drawn"
    assert plot_gradient_profile(fakes.profile(num_steps=1)).lines[1].get_marker() == "o"
