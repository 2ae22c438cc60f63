import numpy as np
import pytest

from . import fakes


@pytest.fixture
def plot_trainability():
    from vanishing_jax.plots import plot_trainability

    return plot_trainability


def test_map_boundary_and_scales(plot_trainability):
    found = fakes.trainability()
    ax = plot_trainability(found)
    values = np.asarray(ax.collections[0].get_array()).reshape(3, 4)
    np.testing.assert_allclose(values, found.accuracy.mean("seed").values.T)
    assert ax.collections[0].get_clim() == (0.25, 1.0)  # from chance
    lines = {line.get_label(): line for line in ax.lines}
    assert ax.get_yscale() == "log"
    signal = lines[f"{found.attrs['signal_multiple']:.1f} × signal time"]
    expected = found.attrs["signal_multiple"] * found.signal_time.values
    finite = np.isfinite(expected)
    np.testing.assert_allclose(signal.get_ydata()[finite], expected[finite])
    assert (signal.get_ydata()[~finite] > ax.get_ylim()[1]).all()
    assert lines["_critical gain"].get_xdata()[0] == 1.1
    circles = lines["measured boundary"]
    np.testing.assert_allclose(circles.get_ydata(), found.boundary.values[:2])
    outside = {line.get_marker(): line for line in ax.lines if line.get_label() == "_outside"}
    assert outside["^"].get_xdata().tolist() == [1.2] and outside["v"].get_xdata().tolist() == [2.0]
    assert "7 updates, 2 networks per point" in ax.texts[0].get_text()


def test_nothing_and_undefined(plot_trainability):
    nothing = fakes.trainability(np.full((4, 3, 1), np.nan))
    assert "not finite" in [text.get_text() for text in plot_trainability(nothing).texts]
    partial = np.full((4, 3, 1), 0.25)
    partial[0, 0] = np.nan
    ax = plot_trainability(fakes.trainability(partial))
    assert len(ax.collections) == 2  # one cell painted gray
    # No boundary inside: no multiple is known, and no scale is drawn.
    assert not [line for line in ax.lines if "time" in str(line.get_label())]
