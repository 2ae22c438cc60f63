import numpy as np
import pytest

from . import fakes


@pytest.fixture
def plot_eigenvalues():
    from vanishing_jax.plots import plot_eigenvalues

    return plot_eigenvalues


def test_points_and_unit_circle(plot_eigenvalues):
    eigenvalues = fakes.eigenvalues(records=3, n=6)
    ax = plot_eigenvalues(eigenvalues, s=30)
    values = eigenvalues.eigenvalues.ravel()
    points = np.asarray(ax.collections[0].get_offsets())
    np.testing.assert_allclose(points, np.stack([values.real, values.imag], axis=1))
    np.testing.assert_allclose(np.hypot(*ax.lines[0].get_data()), 1.0)
    assert ax.get_aspect() == 1.0
    assert (ax.get_xlabel(), ax.get_ylabel()) == (
        r"$\mathrm{Re}\,\lambda$",
        r"$\mathrm{Im}\,\lambda$",
    )
    assert ax.figure.axes[1].get_ylabel() == "time $t$ (steps)"


def test_one_eigenvalue_undefined_ones_and_none(plot_eigenvalues):
    one = plot_eigenvalues(fakes.eigenvalues(records=1, n=1))
    assert len(one.figure.axes) == 1  # one time needs no colorbar
    some = fakes.eigenvalues()
    some.eigenvalues = some.eigenvalues.astype(complex)
    some.eigenvalues[0, 0] = np.nan
    assert plot_eigenvalues(some).texts[0].get_text() == "1 value not finite, not drawn"
    none = fakes.eigenvalues()
    none.eigenvalues = np.full((3, 2), np.nan + 0j)
    assert "not finite" in [text.get_text() for text in plot_eigenvalues(none).texts]
    none.eigenvalues, none.times = np.zeros((0, 6), complex), np.zeros(0, int)
    assert plot_eigenvalues(none).texts[0].get_text() == "no data"
