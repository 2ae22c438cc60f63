import itertools

import numpy as np
import pytest
from matplotlib.figure import Figure


@pytest.fixture
def end_labels():
    from vanishing_jax.plots import _end_labels

    return _end_labels


def test_places_are_the_nearest_that_keep_the_gap(end_labels):
    """Compare with brute force: no other arrangement on a fine grid is nearer."""
    wanted, gap, grid = np.array([0.5, 0.45, 0.95, 0.1]), 0.15, np.linspace(0, 1, 41)
    found = end_labels.spread(wanted, gap)
    order = np.argsort(wanted)
    assert (np.diff(found[order]) >= gap - 1e-12).all() and 0 <= found.min() <= found.max() <= 1
    distances = [
        ((np.array(places) - wanted[order]) ** 2).sum()
        for places in itertools.combinations(grid, 4)
        if (np.diff(places) >= gap - 1e-9).all()
    ]
    assert ((found - wanted) ** 2).sum() <= min(distances) + 1e-12


def test_what_fits_stays_and_what_does_not_goes_below(end_labels):
    np.testing.assert_allclose(end_labels.spread(np.array([0.9, 0.1]), 0.1), [0.9, 0.1])
    np.testing.assert_allclose(end_labels.spread(np.array([1.0, 1.0, 1.0]), 0.1), [0.8, 0.9, 1.0])
    np.testing.assert_allclose(end_labels.spread(np.zeros(3), 0.6), [-0.2, 0.4, 1.0])


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_labels_do_not_overlap_and_lie_beside_the_axes(end_labels, scale):
    figure = Figure(layout="constrained")
    ax = figure.subplots()
    ax.set_yscale(scale)
    ax.set_ylim(1, 100)
    ends = [end_labels.End(y, f"line {y}", {"color": "k"}) for y in (30.0, 30.1, 31.0, np.inf, 0)]
    end_labels.label_ends(ax, ends)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert all(box.x0 > ax.bbox.x1 and box.x1 <= figure.bbox.x1 for box in boxes)
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    heights = {text.get_text(): text.get_position()[1] for text in ax.texts}
    assert heights["line inf"] == 1.0 and heights["line 0"] == 0.0
    expected = np.log10(30.1) / 2 if scale == "log" else 29.1 / 99
    assert abs(heights["line 30.1"] - expected) < 0.01
