import numpy as np
import pytest

from . import fakes


@pytest.fixture
def plot_gradient_by_lag():
    from vanishing_jax.plots import plot_gradient_by_lag

    return plot_gradient_by_lag


def test_each_sequence_and_their_mean(plot_gradient_by_lag):
    d = fakes.diagnosis(num_sequences=5)
    ax = plot_gradient_by_lag(d, color="red")
    *sequences, mean = ax.lines[:6]
    np.testing.assert_allclose(mean.get_ydata(), d.log_gradient_by_lag.mean(axis=0) / np.log(10))
    np.testing.assert_allclose(sequences[2].get_ydata(), d.log_gradient_by_lag[2] / np.log(10))
    assert mean.get_color() == "red"
    assert ax.get_xlabel() == "lag $t - s$ (steps)"
    assert ax.get_ylabel() == "gradient relative to lag 0"
    assert {line.get_ydata()[0] for line in ax.lines[6:8]} == {0.0, -3.0}  # 1 and 0.001


def test_the_horizon_is_marked_where_the_data_reach_it(plot_gradient_by_lag):
    def verticals(ax):
        return [line for line in ax.lines if np.array_equal(line.get_ydata(), [0, 1])]

    near = plot_gradient_by_lag(fakes.diagnosis(horizon=7.0, horizon_is_extrapolated=False))
    assert [line.get_xdata()[0] for line in verticals(near)] == [7.0]
    far = plot_gradient_by_lag(fakes.diagnosis(horizon=70.0, horizon_is_extrapolated=True))
    assert verticals(far) == []
    assert "about 70 steps (extrapolated)" in far.texts[0].get_text()


def test_zeros_are_not_dropped(plot_gradient_by_lag):
    d = fakes.diagnosis(zeros=True)
    ax = plot_gradient_by_lag(d)
    count = int(np.isneginf(d.log_gradient_by_lag).sum())
    assert f"{count} exact zeros drawn at the floor" in ax.texts[0].get_text()
    assert "mean of 5 sequences, where not exactly 0" in ax.get_legend().get_texts()[1].get_text()


def test_the_legend_counts_the_sequences_that_have_a_gradient(plot_gradient_by_lag):
    d = fakes.diagnosis(num_sequences=5)
    d.log_gradient_by_lag[3:] = np.nan
    legend = plot_gradient_by_lag(d).get_legend()
    assert legend.get_texts()[1].get_text() == "mean of 3 of 5 sequences"


def test_one_is_said_in_words(plot_gradient_by_lag):
    def labels(d):
        return [text.get_text() for text in plot_gradient_by_lag(d).get_legend().get_texts()]

    assert labels(fakes.diagnosis(num_sequences=1)) == ["one sequence"]
    alone = fakes.diagnosis(num_sequences=3)
    alone.log_gradient_by_lag[1:] = np.nan
    assert labels(alone)[1] == "one of 3 sequences"


def test_the_share_of_zero_gradients_is_noted(plot_gradient_by_lag):
    note = plot_gradient_by_lag(fakes.diagnosis(zero_share=0.4)).texts[0].get_text()
    assert "gradient exactly 0 in 40 % of the sequences" in note
    assert "exactly 0" not in plot_gradient_by_lag(fakes.diagnosis()).texts[0].get_text()


def test_the_legend_of_many_stands_beside(plot_gradient_by_lag):
    ax = plot_gradient_by_lag({f"run {i}": fakes.diagnosis() for i in range(8)})
    ax.figure.canvas.draw()
    assert ax.get_legend().get_window_extent().x0 >= ax.get_window_extent().x1


def test_before_and_after(plot_gradient_by_lag):
    runs = {"tanh": fakes.diagnosis(), "after _$": fakes.healthy()}
    ax = plot_gradient_by_lag(runs)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["tanh", r"after _\$"]
    styles = {handle.get_linestyle() for handle in ax.get_legend().legend_handles}
    assert len(styles) == 2  # line style repeats what color says
    assert "dashed: horizon" not in "".join(text.get_text() for text in ax.texts)
    runs["near"] = fakes.diagnosis(horizon=7.0, horizon_is_extrapolated=False)
    assert plot_gradient_by_lag(runs).texts[0].get_text().startswith("dashed: horizon")


def test_empty_undefined_and_tiny_data(plot_gradient_by_lag):
    nothing = fakes.diagnosis(log_gradient_by_lag=np.zeros((0, 17)))
    assert "no data" in [text.get_text() for text in plot_gradient_by_lag(nothing).texts]
    undefined = fakes.diagnosis(log_gradient_by_lag=np.full((2, 17), np.nan), horizon=np.nan)
    assert "not finite" in [text.get_text() for text in plot_gradient_by_lag(undefined).texts]
    assert len(plot_gradient_by_lag(fakes.one_step()).lines[0].get_xdata()) == 2
    flat = fakes.diagnosis(num_sequences=1, log_gradient_by_lag=np.zeros((1, 17)))
    assert np.ptp(plot_gradient_by_lag(flat).get_ylim()) > 2
