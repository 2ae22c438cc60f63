import numpy as np
import pytest

from . import fakes

nan = np.nan


@pytest.fixture
def plot_gradient_history():
    from vanishing_jax.plots import plot_gradient_history

    return plot_gradient_history


def mesh(ax):
    """Return the values of the heat map, (time, record)."""
    return ax.collections[0].get_array()


def note(ax):
    return " ".join(ax.texts[-1].get_text().split("\n")) if ax.texts else ""


def bar_label(ax):
    (bar,) = [other for other in ax.figure.axes if other is not ax]
    return bar.get_ylabel()


def test_relative_to_the_last_step_of_each_update(plot_gradient_history):
    ax = plot_gradient_history(fakes.training_history([1.0, 0.5, 0.4], num_steps=6))
    np.testing.assert_allclose(mesh(ax), np.arange(-6, 1)[:, None] / np.log(10) * np.ones(3))
    corners = ax.collections[0].get_coordinates()
    np.testing.assert_allclose(corners[0, :, 0], [5, 15, 25, 35])
    np.testing.assert_allclose(corners[:, 0, 1], np.arange(8) - 0.5)
    limits = ax.collections[0].get_clim()
    assert limits[0] == -limits[1] and "s_T" in bar_label(ax) and "decades" in bar_label(ax)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("training updates", "time $t$ (steps)")


def test_a_given_scale_shows_what_lies_beyond_it(plot_gradient_history):
    from matplotlib.colors import CenteredNorm

    ax = plot_gradient_history(
        fakes.training_history([1.0], num_steps=12), norm=CenteredNorm(0.0, 2.0)
    )
    assert ax.collections[0].get_clim() == (-2, 2)
    assert ax.collections[0].colorbar.extend == "min"


def test_the_dashed_line_is_where_a_thousandth_is_left(plot_gradient_history):
    history = fakes.training_history([1.0, 0.5], num_steps=9)
    history.records["gradient_profile"][1] = np.linspace(-1.0, 0.0, 10)
    (line,) = plot_gradient_history(history).lines
    # One nat per step: e^-6 is more than 0.001 and e^-7 less.
    np.testing.assert_array_equal(line.get_ydata(), [3, 0])
    assert not plot_gradient_history(fakes.training_history([1.0], num_steps=5)).lines


def test_the_run_of_a_comparison(plot_gradient_history):
    losses = {"a": [[1.0, 0.5, 0.1]] * 2, "b": [[1.0, nan, nan], [1.0, 0.4, nan]]}
    ends = {"diverged": {("b", 0): 13}, "reached": {("b", 1): 20}, "target": "loss < 0.5"}
    comparison = fakes.comparison(losses, **ends)
    ax = plot_gradient_history(comparison, recipe="b", seed=1)
    assert ax.get_title(loc="left") == "Gradient while training: b, seed 1"
    assert mesh(ax).mask[:, 2].all() and not mesh(ax).mask[:, :2].any()
    assert "reached the target at update 20" in note(ax) and "not finite" not in note(ax)
    ax = plot_gradient_history(comparison, recipe="b", seed=0)
    assert note(ax).startswith("diverged (NaN) at update 13")
    for chosen, message in (
        ({}, "`recipe` as one of 'a', 'b'; got None"),
        ({"recipe": "c", "seed": 0}, "'a', 'b'; got 'c'"),
        ({"recipe": "a"}, "`seed` as one of 0, 1; got None"),
        ({"recipe": "a", "seed": 2}, "0, 1; got 2"),
    ):
        with pytest.raises(ValueError, match=message):
            plot_gradient_history(comparison, **chosen)
    plot_gradient_history(fakes.comparison({"a": [[1.0]]}))  # nothing to choose


def test_what_was_not_recorded_is_said(plot_gradient_history):
    for one in (fakes.comparison(profiles=False), fakes.training_history([1.0], profiles=False)):
        with pytest.raises(
            ValueError, match=r'no gradient profile: .*record=\["gradient_profile"\]'
        ):
            plot_gradient_history(one)
    with pytest.raises(ValueError, match="a History is one run"):
        plot_gradient_history(fakes.training_history([1.0]), seed=0)


def test_zeros_undefined_and_nothing(plot_gradient_history):
    history = fakes.training_history([1.0, 0.5], num_steps=4)
    log_norm = history.records["gradient_profile"]
    log_norm[0, :2], log_norm[1, 1] = -np.inf, nan
    ax = plot_gradient_history(history)
    assert "2 exact zeros in black; 1 not finite in gray" in note(ax)
    assert len(ax.collections) == 3
    log_norm[:] = nan
    assert "no data" in [t.get_text() for t in plot_gradient_history(history).texts]
