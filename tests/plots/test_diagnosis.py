import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from . import fakes


@pytest.fixture
def plots():
    from vanishing_jax import plots

    return plots


def panel_titles(figure):
    return [ax.get_title(loc="left") for ax in figure.axes if ax.get_title(loc="left")]


@pytest.mark.parametrize("zeros", [False, True])
def test_four_panels_and_the_verdict(plots, zeros):
    figure = plots.plot_diagnosis(fakes.diagnosis(zeros=zeros))
    assert len(panel_titles(figure)) == 4
    assert panel_titles(figure)[-1] == "Rate after each intervention"
    assert figure.get_suptitle().startswith("VANISHING:  rate −0.200 ± 0.030 nats per step")
    figure.canvas.draw()


def test_saturation_stands_in_for_effects_that_were_not_measured(plots):
    figure = plots.plot_diagnosis(fakes.one_step())
    assert panel_titles(figure)[-1] == "Saturated units"
    figure.canvas.draw()


def test_it_draws_on_a_given_figure_without_pyplot(plots):
    figure = Figure(layout="constrained")
    assert plots.plot_diagnosis(fakes.diagnosis(), figure=figure) is figure
    assert plt.get_fignums() == []
