import matplotlib.pyplot as plt
import numpy as np
import pytest

from . import fakes


@pytest.fixture
def plot_norm_triangle():
    from vanishing_jax.plots._norm_triangle import plot_norm_triangle

    return plot_norm_triangle


def test_values_axes_and_color_bar(plot_norm_triangle):
    result = fakes.norm_triangle()
    ax = plot_norm_triangle(result)
    shown = ax.collections[0].get_array()
    assert np.array_equal(np.ma.getmaskarray(shown), np.isnan(result.log_norm))
    known = np.tril_indices(6)
    np.testing.assert_allclose(shown[known], result.log_norm[known] / np.log(10))
    low, high = ax.collections[0].get_clim()
    assert low == -high == pytest.approx(-16 / np.log(10))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("from step $s$", "to step $t$")
    assert ax.get_ylim()[0] < ax.get_ylim()[1]  # later is higher
    assert ax.figure.axes[1].get_ylabel().endswith("(decades)")


def test_the_line_of_a_thousandth(plot_norm_triangle):
    ax = plot_norm_triangle(fakes.norm_triangle())
    (line,) = [path.vertices for path in ax.collections[-1].get_paths()]
    segment = np.asarray(line)
    # With rate -1 it lies at t - s = 3 log 10.
    np.testing.assert_allclose(segment[:, 1] - segment[:, 0], 3 * np.log(10), atol=1e-9)
    assert ax.texts[0].get_text() == "dashed: $10^{-3}$ left"
    assert len(plot_norm_triangle(fakes.norm_triangle(rate=-0.1)).texts) == 0  # not reached
    assert len(plot_norm_triangle(fakes.norm_triangle(rate=0.5)).texts) == 0


def test_zeros_undefined_and_uncertain_values(plot_norm_triangle):
    result = fakes.norm_triangle(rate=-0.1)
    result.log_norm[4:, 0] = -np.inf
    result.log_norm[2, 1] = np.nan
    result.error[3, 3] = 1.0
    ax = plot_norm_triangle(result)
    assert ax.texts[0].get_text().replace("\n", "; ") == (
        "2 exact zeros in black; 1 not finite in gray; "
        "1 entry uncertain by over 0.1 decades; dashed: $10^{-3}$ left"
    )
    black, gray = ax.collections[1:3]
    assert black.get_array().count() == 2 and gray.get_array().count() == 1


def test_nothing_to_draw_and_one_time(plot_norm_triangle):
    result = fakes.norm_triangle()
    result.log_norm[:] = np.nan
    assert "not finite" in [text.get_text() for text in plot_norm_triangle(result).texts]
    empty = fakes.norm_triangle(times=())
    empty.log_norm = empty.error = np.zeros((0, 0))
    assert "no data" in [text.get_text() for text in plot_norm_triangle(empty).texts]
    assert plot_norm_triangle(fakes.norm_triangle(times=(3,))).collections[0].get_array().size == 1


def test_axes_given_are_axes_used(plot_norm_triangle):
    figure, given = plt.subplots()
    assert plot_norm_triangle(fakes.norm_triangle(), ax=given, cmap="viridis") is given
    assert given.collections[0].get_cmap().name == "viridis"
    figure.canvas.draw()


def test_real_result(plot_norm_triangle):
    from vanishing_jax.spectra._norm_triangle import spectral_norm_triangle

    import vanishing_jax as vj

    result = spectral_norm_triangle(vj.JacobianChain(np.stack([0.1 * np.eye(2)] * 9)))
    ax = plot_norm_triangle(result)
    ax.figure.canvas.draw()
    assert ax.texts[0].get_text().startswith("dashed")
