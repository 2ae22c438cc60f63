"""The figures of a report: what each one is, how to read it, and its PNG bytes."""

import contextlib
import contextvars
import io
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .. import plots
from .._files import write_atomically
from ..plots._activations import height_for
from ..plots._effects import MOST

_DPI = 160


class FigureSpec(NamedTuple):
    """One figure: file name, title, a sentence on how to read it, drawing, size in inches."""

    name: str
    title: str
    reading: str
    draw: Callable[[Any, Any], Any]
    is_available: Callable[[Any], bool] = lambda diagnosis: True
    height: Callable[[Any], float] = lambda data: 3.9
    width: float = 5.6
    dpi: int = _DPI


_LAYERS = FigureSpec(
    "layers",
    "Gradient in each layer",
    "The layer whose line falls first has the smallest gradient; lines that fall side by side "
    "share the cause.",
    lambda d, ax: plots.plot_layer_gradients(d.layers.gradients, ax=ax),
    lambda d: getattr(d, "layers", None) is not None,
)
FIGURES = (
    FigureSpec(
        "gradient_by_lag",
        "Gradient carried back through time",
        "The steeper the fall, the faster the gradient vanishes, and a line that stays near 1 is "
        "healthy; the horizon is where the median sequence crosses 0.001.",
        lambda d, ax: plots.plot_gradient_by_lag(d, ax=ax),
    ),
    FigureSpec(
        "gradient_profile",
        "Gradient of the loss at each step",
        "Where the lines are many decades below their right end, the loss hardly depends on the "
        "states, and training hardly uses the inputs, of those steps.",
        lambda d, ax: plots.plot_gradient_profile(d.profile, prediction=d.prediction, ax=ax),
        lambda d: d.profile is not None,
    ),
    _LAYERS,
    FigureSpec(
        "spectrum",
        "Singular values of the product of Jacobians",
        "Each line is one direction: lines near 1 survive, falling lines are forgotten, and a wide "
        "fan means that few directions carry everything.",
        lambda d, ax: plots.plot_spectrum(d.spectrum, prediction=d.prediction, ax=ax),
    ),
    FigureSpec(
        "spectrum_density",
        "Density of the singular values",
        "A narrow peak at 0 keeps all directions alike; a peak that moves left and widens with the "
        "lag loses them.",
        lambda d, ax: plots.plot_spectrum_density(d.spectrum, ax=ax),
    ),
    FigureSpec(
        "influence",
        "Influence of earlier states",
        "Read along a row: white keeps, blue forgets, red amplifies; an edge at one column is a "
        "single step that cuts the memory.",
        lambda d, ax: plots.plot_influence(d.influence, ax=ax),
    ),
    FigureSpec(
        "eigenvalues",
        "Eigenvalues of the one-step Jacobians",
        "Points near the unit circle are slow memory, points well inside forget within a few "
        "steps, points outside grow.",
        lambda d, ax: plots.plot_eigenvalues(d.eigenvalues, ax=ax),
    ),
    FigureSpec(
        "lyapunov",
        "Lyapunov exponents",
        "Exponents near 0 are directions that live long; a first exponent above 0 means chaos and "
        "exploding gradients.",
        lambda d, ax: plots.plot_lyapunov(d.lyapunov, prediction=d.prediction, ax=ax),
    ),
    FigureSpec(
        "effects",
        "Rate after each intervention",
        "The dashed line is the network as it is, 0 a gradient carried back unchanged; what stays "
        "on the dashed line changes nothing.",
        lambda d, ax: plots.plot_effects(d, ax=ax),
        lambda d: bool(d.effects),
        lambda d: max(3.9, 1.5 + 0.42 * min(len(d.effects), MOST)),
    ),
    FigureSpec(
        "activations",
        "Values of one activation over time",
        "Bright bands at the ends of a tanh or a sigmoid are saturated units; a bright band at 0 "
        "of a ReLU is units that are off.",
        lambda d, ax: plots.plot_activations(d.activations, ax=ax),
        lambda d: bool(d.activations.names),
    ),
    FigureSpec(
        "saturation",
        "Saturated units",
        "A share near 1 blocks the gradient whatever the weights are; a share near 0 rules "
        "saturation out.",
        lambda d, ax: plots.plot_saturation(d.activations, ax=ax),
        lambda d: not all(d.activations.is_gate),
        lambda d: height_for(len(d.activations.is_gate) - sum(d.activations.is_gate)),
    ),
    FigureSpec(
        "gates",
        "Gates",
        "A forget or update gate that averages 0.5 halves what the cell carries at each step; near "
        "1 it carries on.",
        lambda d, ax: plots.plot_gates(d.activations, ax=ax),
        lambda d: any(d.activations.is_gate),
        lambda d: height_for(sum(d.activations.is_gate)),
    ),
)
OVERLAY = FigureSpec(
    "comparison",
    "Gradient carried back through time, compared",
    "The line that stays near 1 the longest reaches furthest back; dashed verticals mark the "
    "horizons that lie within the data.",
    lambda diagnoses, ax: plots.plot_gradient_by_lag(diagnoses, ax=ax),
)


def network_figures(diagnosis: Any) -> list[FigureSpec]:
    """Return the figures of a network as a whole: one for each way its gradient travels."""
    return [
        _LAYERS._replace(
            name=f"layers_{toward}",
            title=f"Gradient in each layer, into the {toward}",
            draw=lambda d, ax, toward=toward: plots.plot_layer_gradients(
                d.reaches[toward].gradients, ax=ax
            ),
        )
        for toward in diagnosis.reaches
    ]


def figures_of(diagnosis: Any) -> list[FigureSpec]:
    """Return the figures that this diagnosis has data for."""
    return [spec for spec in FIGURES if spec.is_available(diagnosis)]


Picture = tuple[bytes, int, int]

# (name of the figure, id of the data) -> the data, so that its id stays its own, and the picture.
_drawn: contextvars.ContextVar[dict[tuple[str, int], tuple[Any, Picture]] | None] = (
    contextvars.ContextVar("drawn", default=None)
)


@contextlib.contextmanager
def drawn_once() -> Iterator[None]:
    """Draw each figure of a diagnosis once in this context, however often it is written."""
    token = _drawn.set({})
    try:
        yield
    finally:
        _drawn.reset(token)


def draw_png(spec: FigureSpec, data: Any) -> Picture:
    """Return the PNG of one figure, and its width and height in CSS pixels."""
    drawn = _drawn.get()
    if drawn is None:
        return _draw_png(spec, data)
    place = spec.name, id(data)
    if place not in drawn:
        drawn[place] = data, _draw_png(spec, data)
    return drawn[place][1]


def _draw_png(spec: FigureSpec, data: Any) -> Picture:
    # Not pyplot: a report written from a thread or a server must not touch its list of figures.
    from matplotlib.figure import Figure

    height = spec.height(data)
    figure = Figure(figsize=(spec.width, height), layout="constrained")
    spec.draw(data, figure.subplots())
    return _png(figure, spec.dpi), round(spec.width * 100), round(height * 100)


def _png(figure: Any, dpi: int = _DPI) -> bytes:
    buffer = io.BytesIO()
    # Without the software's version the same figure gives the same bytes.
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def save_figures(folder: str | Path, diagnoses: Any) -> list[Path]:
    """Write every figure of one or several diagnoses as PNG files; return their paths.

    The files are called as their plots (`gradient_by_lag.png`, `spectrum.png`, ..., and
    `summary.png` for the one-page picture). Those of a dict lie in one subfolder per label
    (`lstm/spectrum.png`), and with two labels or more `comparison.png` overlays them. Each file is
    replaced at once or not at all.

    **Arguments:**

    - `folder`: where to write; made when missing.
    - `diagnoses`: a `Diagnosis`, a dict from label to `Diagnosis`, or a `NetworkDiagnosis`, whose
      parts are such a dict.

    **Returns:** the paths: the comparison first, then each diagnosis, its summary first.
    """
    folder = Path(folder)
    if is_network(diagnoses):
        return [*_save_one(folder, diagnoses), *save_figures(folder, diagnoses.parts)]
    if not isinstance(diagnoses, Mapping):
        return _save_one(folder, diagnoses)
    paths = [save_figure(folder, OVERLAY, diagnoses)] if len(diagnoses) > 1 else []
    for slug, diagnosis in zip(slugs(list(diagnoses)), diagnoses.values(), strict=True):
        paths += _save_one(folder / slug, diagnosis)
    return paths


def is_network(diagnoses: Any) -> bool:
    """Say whether this is the diagnosis of a network of several layers."""
    return hasattr(diagnoses, "reaches")


def save_figure(folder: str | Path, spec: FigureSpec, data: Any) -> Path:
    """Write one figure under its name as PNG; return the path."""
    return write_atomically(Path(folder, f"{spec.name}.png"), draw_png(spec, data)[0])


def _save_one(folder: Path, diagnosis: Any) -> list[Path]:
    """Write the one-page picture, then each figure of a cell's or a network's diagnosis."""
    from matplotlib.figure import Figure

    if is_network(diagnosis):
        draw, specs = plots.plot_network, network_figures(diagnosis)
        size = 5.6 * (len(diagnosis.reaches) + 1), 4.5
    else:
        draw, specs, size = plots.plot_diagnosis, figures_of(diagnosis), (11.5, 8.6)
    summary = Figure(figsize=size, layout="constrained")
    draw(diagnosis, figure=summary)
    path = write_atomically(folder / "summary.png", _png(summary))
    return [path, *(save_figure(folder, spec, diagnosis) for spec in specs)]


def slugs(labels: list[str]) -> list[str]:
    """Return labels as unique names that are safe in a path and as an HTML id."""
    names: list[str] = []
    for number, label in enumerate(labels, start=1):
        name = re.sub(r"[^a-z0-9]+", "-", str(label).lower()).strip("-")[:40] or f"run-{number}"
        while name in names:
            name = f"{name}-{number}"
        names.append(name)
    return names
