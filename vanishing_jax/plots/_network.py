"""The one-page picture of a network of several layers."""

from typing import Any

from . import _style as style
from ._gradient_by_lag import plot_gradient_by_lag
from ._layer_gradients import plot_layer_gradients
from ._style import Figure


def plot_network(diagnosis: Any, *, figure: Any = None) -> Figure:
    """Draw the diagnosis of a network on one page: the whole, its layers, and each part alone.

    The first panels follow the gradient of one output through the whole network, layer by layer:
    into the past and, in a bidirectional network, into the future. The next one overlays the parts,
    each of which carries a gradient through its own recurrence alone. The verdict with its numbers
    is the title.

    **Arguments:**

    - `diagnosis`: a `NetworkDiagnosis`.
    - `figure`: an empty figure to draw on; None makes one.

    **Returns:** the figure, of one panel for each reach and one for the parts.
    """
    reaches = list(diagnosis.reaches.values())
    figure = style.new_figure(figure, (5.6 * (len(reaches) + 1), 4.5))
    panels = figure.subfigures(1, len(reaches) + 1, wspace=0.04)
    for panel, reach in zip(panels, reaches, strict=False):
        plot_layer_gradients(reach.gradients, ax=panel.subplots())
    ax = plot_gradient_by_lag(diagnosis.parts, ax=panels[-1].subplots())
    notes = [line for text in ax.texts for line in text.get_text().splitlines()]
    title = "Each part alone, its inputs given"
    place = {"loc": "left", "pad": 7 + 13 * len(notes)}  # above the notes
    ax.set_title(title, fontsize="medium", fontweight="bold", **place)
    style.write_verdict(figure, diagnosis)
    return figure
