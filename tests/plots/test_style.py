import matplotlib.pyplot as plt
import numpy as np
import pytest


@pytest.fixture
def style():
    from vanishing_jax.plots import _style

    return _style


def test_a_magnitude_beyond_floats_has_a_label(style):
    _, ax = plt.subplots()
    ax.plot(style.to_log10([0.0, -10000.0, 10000.0]))
    style.set_decades(ax, [np.ones(1)])
    ax.figure.canvas.draw()
    labels = {tick.get_text() for tick in ax.get_yticklabels()}
    assert {"1", "$10^{-3000}$", "$10^{3000}$"} <= labels


def test_an_axis_of_magnitudes_spans_two_decades_at_least(style):
    _, ax = plt.subplots()
    ax.plot([0.0, 0.0])
    style.set_decades(ax, [np.zeros(2)])
    assert np.ptp(ax.get_ylim()) > 2


def test_the_floor_of_nothing_but_zeros_has_no_value(style):
    _, ax = plt.subplots()
    zeros = np.full(3, -np.inf)
    assert style.draw_log_lines(ax, [(np.arange(3), zeros, {})])
    style.set_decades(ax, [zeros])
    assert list(ax.get_yticks()) == []


def test_zeros_are_drawn_at_the_floor_and_counted(style):
    _, ax = plt.subplots()
    values = np.array([0.0, -4.0, -np.inf, -np.inf])
    notes = style.draw_log_lines(ax, [(np.arange(4), values, {})])
    assert notes == ["2 exact zeros drawn at the floor"]
    x, y = np.asarray(ax.collections[0].get_offsets()).T
    assert list(x) == [2, 3] and np.all(y == style.floor_of(values)) and y[0] < -4


def test_a_point_between_undefined_values_is_visible(style):
    _, ax = plt.subplots()
    notes = style.draw_log_lines(ax, [(np.arange(3), np.array([np.nan, 1.0, np.inf]), {})])
    assert notes == ["2 values not finite, not drawn"]
    assert ax.lines[0].get_marker() == "o"
    assert ax.lines[0].get_markevery() == [1]


@pytest.mark.parametrize(
    "horizon, extrapolated, text",
    [
        (14.0, False, "14 steps"),
        (1.0, False, "1 step"),
        (13.83, False, "14 steps"),
        (90.1, True, "about 90 steps (extrapolated)"),
        (1234.5, True, "about 1234 steps (extrapolated)"),
        (2e9, True, "about 2.0e+09 steps (extrapolated)"),
        (np.inf, False, "never"),
        (np.nan, False, "not measured"),
    ],
)
def test_horizon_text(horizon, extrapolated, text):
    from vanishing_jax.diagnostics import _words as words

    assert words.horizon_text(horizon, extrapolated) == text


@pytest.mark.parametrize(
    "rate, error, text",
    [
        (-0.4912, 0.0312, "−0.491 ± 0.031"),
        (0.25, 0.5, "+0.25 ± 0.50"),
        (-0.5, np.nan, "−0.5"),
        (-0.5, 0.0, "−0.5000 ± 0.0000"),
        (-np.inf, 0.0, "−∞ (gradient exactly 0)"),
        (np.inf, 0.0, "+∞"),
        (np.nan, 0.1, "not measured"),
    ],
)
def test_rate_text(rate, error, text):
    from vanishing_jax.diagnostics import _words as words

    assert words.rate_text(rate, error) == text


@pytest.mark.parametrize(
    "share, text",
    [
        (0.4, "gradient exactly 0 in 40 % of the sequences"),
        (0.004, "gradient exactly 0 in 0.4 % of the sequences"),
        (0.996, "gradient exactly 0 in 99.6 % of the sequences"),
        (1.0, "gradient exactly 0 in every sequence"),
    ],
)
def test_zero_share_text(share, text):
    from vanishing_jax.diagnostics import _words as words

    assert words.zero_share_text(share) == text


def test_labels_are_drawn_as_they_are(style):
    _, ax = plt.subplots()
    for label in ["a$b", "_hidden", r"$\nonsense{$", "two\nlines"]:
        ax.plot([0, 1], label=style.plain(label))
    style.add_legend(ax, "upper left")
    ax.figure.canvas.draw()  # a label taken for a formula would fail here
    legend = ax.get_legend()
    assert legend is not None and len(legend.get_texts()) == 4
    assert len(style.plain("x" * 1000)) < 100


def test_the_first_thirty_lines_differ(style):
    looks = [style.line_options(index, {}) for index in range(30)]
    assert len({(look["color"], look["linestyle"]) for look in looks}) == 30


def test_a_lone_point_of_a_line_with_spaced_markers_is_visible(style):
    _, ax = plt.subplots()
    values = np.array([0.0, np.nan, 1.0, np.nan])
    style.draw_log_lines(ax, [(np.arange(4), values, style.line_options(8, {}))])
    assert ax.lines[0].get_marker() == "o" and ax.lines[0].get_markevery() is None
    ax.figure.canvas.draw()


def test_edges_lie_between_uneven_centers(style):
    np.testing.assert_allclose(style.cell_edges([0, 1, 4]), [-0.5, 0.5, 2.5, 5.5])
    np.testing.assert_allclose(style.cell_edges([3]), [2.5, 3.5])


def test_the_callers_line_keywords_win_under_any_alias(style):
    options = style.line_options(0, {"lw": 5, "c": "red"})
    assert options["linewidth"] == 5 and options["color"] == "red"
