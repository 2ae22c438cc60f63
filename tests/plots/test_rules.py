"""What holds for every plot: axes given are axes used, globals stay, nothing is shown."""

import matplotlib
import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from . import fakes

ROWS = {
    "plot_gradient_by_lag": lambda d: d,
    "plot_gradient_profile": lambda d: d.profile,
    "plot_spectrum": lambda d: d.spectrum,
    "plot_spectrum_density": lambda d: d.spectrum,
    "plot_influence": lambda d: d.influence,
    "plot_eigenvalues": lambda d: d.eigenvalues,
    "plot_lyapunov": lambda d: d.lyapunov,
    "plot_activations": lambda d: d.activations,
    "plot_saturation": lambda d: d.activations,
    "plot_gates": lambda d: d.activations,
    "plot_layer_gradients": lambda d: fakes.layer_gradients(),
    "plot_effects": lambda d: d,
    "plot_claim": lambda d: fakes.claim_result(),
    "plot_comparison": lambda d: fakes.comparison(),
    "plot_test_scores": lambda d: fakes.comparison(),
    "plot_trainability": lambda d: fakes.trainability(),
    "plot_gradient_history": lambda d: fakes.training_history([1.0, 0.5]),
}


def test_every_plot_has_a_row():
    from vanishing_jax import plots

    public = {name for name in dir(plots) if name.startswith("plot_")}
    assert public == {*ROWS, "plot_diagnosis", "plot_network", "plot_phase_diagram"}


@pytest.mark.parametrize("name", ROWS)
def test_rules(name, monkeypatch):
    from vanishing_jax import plots

    def refuse():
        raise AssertionError("a plot must not be shown")

    monkeypatch.setattr(plt, "show", refuse)
    settings = dict(matplotlib.rcParams)
    result = ROWS[name](fakes.diagnosis())
    figure = Figure(layout="constrained")
    given = figure.subplots()
    ax = getattr(plots, name)(result, ax=given)
    figure.canvas.draw()
    assert ax is given
    assert plt.get_fignums() == []
    assert getattr(plots, name)(result).figure.number == 1
    assert dict(matplotlib.rcParams) == settings
    assert ax.get_title(loc="left") and ax.get_xlabel()
