"""The one-page picture of a diagnosis."""

from typing import Any

from . import _style as style
from ._activations import plot_saturation
from ._axis import words_of
from ._effects import plot_effects
from ._gradient_by_lag import plot_gradient_by_lag
from ._gradient_profile import plot_gradient_profile
from ._influence import plot_influence
from ._spectrum import plot_spectrum
from ._style import Figure


def plot_diagnosis(diagnosis: Any, *, figure: Any = None) -> Figure:
    """Draw a diagnosis on one page: gradient by lag, spectrum, influence, and what was tried.

    Read it from the upper left: how far the gradient reaches, how many directions it keeps, which
    steps cut it, and what the interventions change (the saturation of the units when none was
    measured). The verdict with its numbers is the title. Where activations are too wide for spectra
    (a network of layers), the gradient profile and a note take their place.

    **Arguments:**

    - `diagnosis`: a `Diagnosis` or a `LayerDiagnosis`.
    - `figure`: an empty figure to draw on; None makes one.

    **Returns:** the figure, of 2 x 2 panels.
    """
    figure = style.new_figure(figure, (11.5, 8.6))
    unit = words_of(diagnosis).unit
    # One subfigure per panel: in a common grid, one panel's colorbar narrows the other's axes.
    panels = figure.subfigures(2, 2, wspace=0.04, hspace=0.05)
    plot_gradient_by_lag(diagnosis, ax=panels[0, 0].subplots())
    if diagnosis.spectrum is None:
        plot_gradient_profile(diagnosis.profile, ax=panels[0, 1].subplots())
        ax = panels[1, 0].subplots()
        style.write_on_axes(ax, "no spectra: activations too wide")
        ax.set_axis_off()
    else:
        ax = panels[0, 1].subplots()
        prediction = getattr(diagnosis, "prediction", None)  # there is none through depth
        plot_spectrum(diagnosis.spectrum, prediction=prediction, ax=ax)
        plot_influence(diagnosis.influence, ax=panels[1, 0].subplots())
    if diagnosis.effects or unit == "layer":
        plot_effects(diagnosis, ax=panels[1, 1].subplots())
    else:
        plot_saturation(diagnosis.activations, ax=panels[1, 1].subplots())
    style.write_verdict(figure, diagnosis, unit)
    return figure
