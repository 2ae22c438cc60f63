import numpy as np
import pytest

from . import fakes

nan = np.nan


@pytest.fixture
def plot_test_scores():
    from vanishing_jax.plots import plot_test_scores

    return plot_test_scores


LOSSES = {"tanh": [[0.5], [0.4], [0.6]], "irnn": [[nan], [0.01], [nan]]}
DIVERGED = {("irnn", 0): 3, ("irnn", 2): 7}


def points(ax, index):
    return ax.collections[index].get_offsets().data


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_every_seed_is_seen(plot_test_scores):
    ax = plot_test_scores(fakes.comparison(LOSSES, diverged=DIVERGED))
    np.testing.assert_allclose(points(ax, 0)[:, 0], [0.5, 0.4, 0.6])
    np.testing.assert_allclose(points(ax, 1)[:, 0], [0.01])
    crosses = points(ax, 2)
    assert len(crosses) == 2 and (crosses[:, 0] > 1).all()  # beside the axes
    # The same seed lies at the same place in each row.
    heights = points(ax, 0)[:, 1] + 1
    np.testing.assert_allclose(points(ax, 1)[:, 1], heights[1:2])
    np.testing.assert_allclose(crosses[:, 1], heights[[0, 2]])
    assert [t.get_text() for t in ax.get_yticklabels()] == ["tanh", "irnn"]
    assert ax.get_xscale() == "log" and ax.get_xlabel() == "loss of the final model"


def test_medians_count_diverged_seeds(plot_test_scores):
    ax = plot_test_scores(fakes.comparison(LOSSES, diverged=DIVERGED))
    (bar,) = ax.collections[3].get_segments()  # of the finite median
    np.testing.assert_allclose(bar[:, 0], 0.5)
    assert {"NaN", "median", "0.5", "∞"} <= set(texts(ax))
    ax = plot_test_scores(fakes.comparison({"tanh": [[0.5], [0.7]]}))
    assert "NaN" not in texts(ax) and ax.get_xscale() == "linear"


def test_hollow_dots_did_not_reach_the_target(plot_test_scores):
    comparison = fakes.comparison(
        {"a": [[0.1], [0.3]]}, reached={("a", 0): 10}, target="loss < 0.2"
    )
    ax = plot_test_scores(comparison)
    faces = ax.collections[0].get_facecolors()
    assert (faces[0] != 1).any() and (faces[1] == 1).all()
    assert "filled: reached loss < 0.2" in "".join(texts(ax))
    assert (ax.lines[0].get_xdata()[0], ax.lines[0].get_linestyle()) == (0.5, "--")


def test_all_diverged_and_one_seed(plot_test_scores):
    ax = plot_test_scores(fakes.comparison({"a": [[nan]]}, diverged={("a", 0): 1}))
    assert "all seeds diverged" in texts(ax)
    assert "dot: the one seed" in "".join(texts(plot_test_scores(fakes.comparison({"a": [[1.0]]}))))
