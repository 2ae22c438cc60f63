import numpy as np
import pytest
from matplotlib.figure import Figure


@pytest.fixture
def heat_map():
    from vanishing_jax.plots import _heat_map

    return _heat_map


def test_zeros_undefined_values_and_empty_places_look_different(heat_map):
    values = np.array([[1.0, -np.inf, np.nan], [np.inf, 2.0, 3.0]])
    known = np.array([[True, True, True], [True, True, False]])
    ax = Figure().subplots()
    edges = np.arange(4.0), np.arange(3.0)
    mesh, notes = heat_map.draw_cells(ax, edges, values, {"vmax": 9.0}, known=known, cmap="gray")
    assert notes == ["1 exact zero in black", "2 not finite in gray"]
    np.testing.assert_array_equal(mesh.get_array().filled(0), [[1, 0, 0], [0, 2, 0]])
    assert mesh.get_clim()[1] == 9 and mesh.get_cmap().name == "gray"
    masks = [np.ma.getmaskarray(np.ma.asarray(one.get_array())) for one in ax.collections[1:]]
    painted = [np.argwhere(~mask).tolist() for mask in masks]
    assert painted == [[[0, 1]], [[0, 2], [1, 0]]]
    looks = [tuple(one.get_cmap()(0.0)[:3]) for one in ax.collections[1:]]
    assert len({*looks, tuple(ax.get_facecolor()[:3])}) == 3


def test_finite_values_have_no_notes(heat_map):
    ax = Figure().subplots()
    _, notes = heat_map.draw_cells(ax, (np.arange(3.0), np.arange(2.0)), np.ones((1, 2)), {})
    assert notes == [] and len(ax.collections) == 1


def test_signed_colors_lie_about_zero(heat_map):
    for values, reach in (([-3.0, 1.0, np.inf], 3), ([0.1], 1), ([], 1)):
        norm = heat_map.signed_colors(np.array(values))["norm"]
        assert (norm.vmin, norm.vmax) == (-reach, reach)
