from typing import Any

import numpy as np
import pytest
from matplotlib.collections import QuadMesh

from . import fakes


def meshes(ax):
    return [one for one in ax.collections if isinstance(one, QuadMesh)]


def test_map_line_and_crossings_are_those_of_the_dataset():
    from vanishing_jax.plots._phase_diagram import plot_phase

    phase = fakes.phase()
    ax = plot_phase(phase)
    (mesh,) = meshes(ax)
    values = np.asarray(mesh.get_array()).reshape(3, 4)
    np.testing.assert_allclose(values, phase.exponent.median("seed").values.T)
    low, high = mesh.get_clim()
    assert low == -high  # white is 0
    line = ax.lines[0]
    np.testing.assert_allclose(np.asarray(line.get_xdata()), phase.critical_gain)
    assert np.asarray(line.get_ydata()).tolist() == [0, 1, 2]
    (crossings,) = ax.containers
    np.testing.assert_allclose(crossings[0].get_xdata(), phase.measured_critical_gain)
    bars = crossings[2][0].get_segments()
    widths = [segment[1, 0] - segment[0, 0] for segment in bars]
    np.testing.assert_allclose(widths, 4 * phase.critical_gain_error)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0", "0.1", "1"]


@pytest.mark.parametrize("kind", ["exponent", "horizon"])
def test_measured_and_predicted_share_their_colors(kind):
    from vanishing_jax.plots._phase_diagram import plot_phase

    phase = fakes.phase()
    measured, predicted = (plot_phase(phase, of=name) for name in (kind, f"predicted_{kind}"))
    assert meshes(measured)[0].get_clim() == meshes(predicted)[0].get_clim()
    assert not predicted.containers  # what was measured is not drawn on the prediction


def test_what_is_beyond_or_undefined_is_told_apart():
    from vanishing_jax.plots._phase_diagram import plot_phase

    phase = fakes.phase(seeds=1)
    phase.exponent[0, 0] = np.nan
    assert len(meshes(plot_phase(phase))) == 2  # one cell painted gray
    drawn: Any = meshes(plot_phase(phase, of="horizon"))[0].get_array()
    horizon = np.ma.getmaskarray(drawn)
    expected = np.isinf(phase.horizon.values[..., 0].T)
    np.testing.assert_array_equal(horizon.reshape(expected.shape), expected)
    phase.exponent[:] = np.nan
    assert "not finite" in [text.get_text() for text in plot_phase(phase).texts]


def test_all_four_maps_on_one_page():
    from vanishing_jax.plots import plot_phase_diagram

    figure = plot_phase_diagram(fakes.phase("bias_variance"))
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert [title for title in titles if title] == [
        "Measured exponent", "Predicted exponent", "Measured horizon", "Predicted horizon",
    ]  # fmt: skip
    assert figure.get_suptitle() == (
        "tanh, gaussian weights, input 0.2: 8 units, 3 networks per point"
    )
    assert "biases" in figure.axes[0].get_ylabel() and figure.axes[1].get_ylabel() == ""
