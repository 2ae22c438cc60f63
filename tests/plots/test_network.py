import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from . import fakes


def test_a_panel_for_each_reach_and_one_for_the_parts():
    from vanishing_jax.plots import plot_network

    figure = Figure(layout="constrained")
    assert plot_network(fakes.network(), figure=figure) is figure
    assert [ax.get_title(loc="left") for ax in figure.axes] == [
        "Gradient in each layer, into the past",
        "Gradient in each layer, into the future",
        "Each part alone, its inputs given",
    ]
    assert figure.get_suptitle().startswith("VANISHING:  rate −0.200")
    assert plt.get_fignums() == []
    one = fakes.network()
    del one.reaches["future"]
    assert len(plot_network(one).axes) == 2
