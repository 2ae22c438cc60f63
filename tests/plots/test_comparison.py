import numpy as np
import pytest

from . import fakes

nan = np.nan


@pytest.fixture
def plot_comparison():
    from vanishing_jax.plots import plot_comparison

    return plot_comparison


def curves(ax):
    """Return the median lines by recipe."""
    return {x.get_label(): x for x in ax.lines if not x.get_label().startswith("_")}


def labeled(ax, label):
    return [line for line in ax.lines if line.get_label() == label]


def names_beside(ax):
    """Return the legend's names, from top to bottom."""
    return [text.get_text() for text in ax.get_legend().get_texts()]


def note(ax):
    """Return the lines between title and axes as one text."""
    return " ".join(ax.texts[-1].get_text().split("\n"))


def test_median_and_range_of_few_seeds(plot_comparison):
    ax = plot_comparison(fakes.comparison({"tanh": [[3, 1], [1, 5], [2, 2]], "lstm": [[1, 1]] * 3}))
    np.testing.assert_array_equal(curves(ax)["tanh"].get_xdata(), [10, 20])
    np.testing.assert_array_equal(curves(ax)["tanh"].get_ydata(), [2, 2])
    (band,) = ax.collections
    assert {tuple(v) for v in band.get_paths()[0].vertices} >= {(10, 1), (10, 3), (20, 1), (20, 5)}
    assert note(ax) == "line: median of 3 seeds; band: smallest to largest"
    assert names_beside(ax) == ["tanh", "lstm", "memoryless baseline 0.5"]  # as the lines end
    assert ax.get_yscale() == "linear"
    assert ax.get_ylabel() == "training loss (mean over 10 updates)"


def test_quartiles_of_many_seeds_and_one_seed_alone(plot_comparison):
    ax = plot_comparison(fakes.comparison({"tanh": [[k] for k in (5, 1, 4, 2, 3)]}))
    assert "band: quartiles" in note(ax)
    heights = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (2, 4)
    ax = plot_comparison(fakes.comparison({"tanh": [[2.0, 1.0]]}))
    assert not ax.collections and note(ax) == "one seed"


def test_a_diverged_seed_is_marked_and_counts_as_infinite(plot_comparison):
    losses = {
        "tanh": [[1, 2, 3], [2, 7, nan], [4, 4, 4]],
        "irnn": [[1, nan, nan], [9, nan, nan], [2] * 3],
    }
    diverged = {("tanh", 1): 15, ("irnn", 0): 8, ("irnn", 1): 13}
    ax = plot_comparison(fakes.comparison(losses, diverged=diverged))
    # Of 1, 2, 4, then of 2, inf, 4, then of 3, inf, 4.
    np.testing.assert_array_equal(curves(ax)["tanh"].get_ydata(), [2, 4, 4])
    np.testing.assert_array_equal(curves(ax)["irnn"].get_ydata(), [9, nan, nan])
    assert [(x.get_xdata()[0], x.get_ydata()[0]) for x in labeled(ax, "_divergence")] == [
        (15, 2), (8, ax.get_ylim()[1]), (13, 9)
    ]  # fmt: skip
    np.testing.assert_array_equal(labeled(ax, "_diverged seed")[0].get_ydata(), [2, nan, nan])
    assert set(names_beside(ax)) >= {"tanh (1 diverged)", "irnn (2 diverged)"}
    assert "cross: a seed diverged (NaN) and counts as infinite" in note(ax)
    assert ax.collections[0].get_paths()[0].vertices[:, 1].max() > ax.get_ylim()[1]


def test_a_seed_at_the_target_keeps_its_value(plot_comparison):
    losses = {"lstm": [[0.1, nan, nan], [0.3, 0.2, 0.6], [0.4, 0.4, 0.4]]}
    comparison = fakes.comparison(losses, reached={("lstm", 0): 10}, target="loss < 0.15")
    ax = plot_comparison(comparison)
    np.testing.assert_allclose(curves(ax)["lstm"].get_ydata(), [0.3, 0.2, 0.4])
    assert set(names_beside(ax)) >= {"lstm (1 solved)", "target: loss < 0.15"}
    levels = [line.get_ydata()[0] for line in labeled(ax, "_level")]
    assert levels == [0.5, 0.15] and "keeps its last value" in note(ax)


def test_scale_follows_the_values(plot_comparison):
    ax = plot_comparison(fakes.comparison({"a": [[1.0, 0.01]]}))
    assert ax.get_yscale() == "log"
    assert plot_comparison(fakes.comparison({"a": [[1.0, 0.0]]})).get_yscale() == "linear"
    # One recipe that diverges leaves the axes to the others.
    ax = plot_comparison(fakes.comparison({"a": [[1.0, 0.4]], "b": [[1.0, 1e30]]}))
    assert ax.get_yscale() == "linear" and ax.get_ylim()[1] < 2
    assert "values above 1 are not shown" in note(ax)
    np.testing.assert_array_equal(curves(ax)["b"].get_ydata(), [1.0, 1e30])


def test_nothing_finite_and_one_record(plot_comparison):
    diverged = {("a", 0): 4, ("a", 1): 5}
    ax = plot_comparison(fakes.comparison({"a": [[nan], [nan]]}, diverged=diverged))
    assert any("not finite" in text.get_text() for text in ax.texts)
    ax = plot_comparison(fakes.comparison({"a": [[0.1]]}))
    assert curves(ax)["a"].get_marker() == "o"


def test_the_callers_keywords_win(plot_comparison):
    ax = plot_comparison(fakes.comparison({"$x_": [[1.0]]}), linewidth=5)
    assert r"\$x_" in names_beside(ax) and curves(ax)[r"\$x_"].get_linewidth() == 5
