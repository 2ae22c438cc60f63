import numpy as np
import pytest

from . import fakes


@pytest.fixture
def plot_influence():
    from vanishing_jax.plots import plot_influence

    return plot_influence


def test_lower_triangle_centered_at_zero(plot_influence):
    influence = fakes.influence(num_steps=16, m=9)
    ax = plot_influence(influence)
    shown = ax.collections[0].get_array()
    assert np.array_equal(np.ma.getmaskarray(shown), np.isnan(influence.log_norm))
    known = ~np.isnan(influence.log_norm)
    np.testing.assert_allclose(shown[known], influence.log_norm[known] / np.log(10))
    low, high = ax.collections[0].get_clim()
    assert low == -high < 0
    assert (ax.get_xlabel(), ax.get_ylabel()) == (
        "earlier state $s$ (step)",
        "later state $t$ (step)",
    )
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # rows run down, as in the matrix
    assert ax.figure.axes[1].get_ylabel() == r"$\log_{10}\,\|\partial s_t/\partial s_s\|$"


def test_zeros_and_undefined_values_have_their_own_colors(plot_influence):
    influence = fakes.influence(zeros=True)
    influence.log_norm[2, 1] = np.nan
    ax = plot_influence(influence)
    zeros = int(np.isneginf(influence.log_norm).sum())
    assert ax.texts[0].get_text() == f"{zeros} exact zeros in black; 1 not finite in gray"
    assert len(ax.collections) == 3


def test_nothing_to_draw_and_one_state(plot_influence):
    influence = fakes.influence()
    influence.log_norm[:] = np.nan
    assert plot_influence(influence).texts[0].get_text() == "not finite"
    empty = fakes.influence()
    empty.times, empty.log_norm = np.zeros(0, int), np.zeros((0, 0))
    assert plot_influence(empty).texts[0].get_text() == "no data"
    one = fakes.influence()
    one.times, one.log_norm = np.zeros(1, int), np.zeros((1, 1))
    assert plot_influence(one).collections[0].get_array().size == 1
