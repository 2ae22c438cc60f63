import numpy as np
import pytest

from . import fakes


@pytest.fixture
def plots():
    from vanishing_jax import plots

    return plots


def test_a_fan_has_one_line_per_index(plots):
    spectrum = fakes.spectrum(num_steps=16, n=6)
    ax = plots.plot_spectrum(spectrum, linewidth=3)
    assert len(ax.lines) == 6 + 1  # and the line at 1
    expected = spectrum.log_singular_values[:, 2] / np.log(10)
    np.testing.assert_allclose(ax.lines[2].get_ydata(), expected)
    assert ax.lines[2].get_linewidth() == 3
    assert len({line.get_color() for line in ax.lines[:6]}) == 6
    assert ax.get_xlabel() == "lag $t - s$ (steps)"
    assert ax.get_ylabel() == r"singular value $\sigma_i$"
    assert ax.figure.axes[1].get_ylabel() == "index $i$ (1 = largest)"


def test_records_are_drawn_in_order_of_their_lag(plots):
    spectrum = fakes.spectrum()
    for name in ("log_singular_values", "error_bound", "windows"):
        setattr(spectrum, name, getattr(spectrum, name)[::-1])
    assert list(plots.plot_spectrum(spectrum).lines[0].get_xdata()) == list(range(17))


def test_sliding_windows_are_drawn_against_their_end(plots):
    spectrum = fakes.spectrum(num_steps=3)
    spectrum.windows = np.array([[0, 5], [1, 6], [2, 7], [3, 8]])
    ax = plots.plot_spectrum(spectrum)
    assert ax.get_xlabel() == "end $t$ of the 5-step window (steps)"
    assert list(ax.lines[0].get_xdata()) == [5, 6, 7, 8]


def test_one_record_against_the_index_with_error_bars(plots):
    ax = plots.plot_spectrum(fakes.single_spectrum(6))
    assert list(ax.lines[0].get_xdata()) == [1, 2, 3, 4, 5, 6]
    assert len(ax.containers) == 1
    assert "s_{16}/\\partial s_{0}" in ax.get_title(loc="left")


def test_notes_on_zeros_and_on_visible_errors(plots):
    spectrum = fakes.spectrum(zeros_after=10)
    spectrum.error_bound[3, 2] = spectrum.estimated_error = 2.3
    count = int(np.isneginf(spectrum.log_singular_values).sum())
    note = plots.plot_spectrum(spectrum).texts[0].get_text()
    assert note == f"{count} exact zeros drawn at the floor; largest error bound 1 decades"


@pytest.mark.parametrize("values, message", [(np.nan, "not finite"), (np.inf, "not finite")])
def test_nothing_to_draw(plots, values, message):
    spectrum = fakes.spectrum()
    spectrum.log_singular_values[:] = values
    for plot in (plots.plot_spectrum, plots.plot_spectrum_density):
        assert message in [text.get_text() for text in plot(spectrum).texts]


def test_no_records(plots):
    spectrum = fakes.spectrum()
    spectrum.log_singular_values = spectrum.error_bound = np.zeros((0, 6))
    spectrum.windows = np.zeros((0, 2), int)
    for plot in (plots.plot_spectrum, plots.plot_spectrum_density):
        assert "no data" in [text.get_text() for text in plot(spectrum).texts]


def test_one_unit_and_one_step(plots):
    spectrum = fakes.spectrum(num_steps=1, n=1)
    assert len(plots.plot_spectrum(spectrum).figure.axes) == 1  # no colorbar for one line
    assert [t.get_text() for t in plots.plot_spectrum_density(spectrum).get_yticklabels()] == [
        "lag 1"
    ]


def test_densities_at_four_lags(plots):
    spectrum = fakes.spectrum(num_steps=16, n=30, zeros_after=12)
    ax = plots.plot_spectrum_density(spectrum)
    labels = [tick.get_text() for tick in ax.get_yticklabels()]
    assert len(labels) == 4 and labels[::3] == ["lag 16", "lag 1"]
    assert ax.get_xlabel() == r"$\log_{10}\,\sigma$"
    assert "15 × 0" in [text.get_text() for text in ax.texts]


def test_a_density_ends_where_the_values_end(plots):
    spectrum = fakes.spectrum(num_steps=1, n=30)
    ax = plots.plot_spectrum_density(spectrum)
    values = spectrum.log_singular_values[-1] / np.log(10)
    drawn = np.concatenate([line.get_xdata() for line in ax.lines if len(line.get_xdata()) > 2])
    assert abs(drawn.min() - values.min()) < 1e-3 * np.ptp(values)
    assert abs(drawn.max() - values.max()) < 1e-3 * np.ptp(values)


def test_the_colorbar_has_the_largest_on_top_as_the_lines_do(plots):
    bar = plots.plot_spectrum(fakes.spectrum(num_steps=16, n=6)).figure.axes[1]
    assert bar.yaxis_inverted()
