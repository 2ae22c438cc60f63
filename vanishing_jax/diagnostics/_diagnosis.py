"""The result of `diagnose`: what it holds, how it prints, how it is saved."""

import dataclasses
import functools as ft
import json
import math
import os
import pathlib
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float, Int

from .._files import write_atomically
from ..spectra import LyapunovExponents, Spectrum
from ..theory import Prediction
from ._activation_history import ActivationHistory
from ._eigenvalues import StepEigenvalues
from ._gradient_profile import GradientProfile
from ._influence import InfluenceMap
from ._kept import ALL_VALUES_PRINTED, Directions, Kept, directions_of
from ._stack_layers import StackLayers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WHEN_READ = (
    "profile", "spectrum", "lyapunov", "influence", "eigenvalues", "activations",
    "surviving_directions", "log10_condition", "layers", "prediction",
)  # fmt: skip

Verdict = Literal["healthy", "vanishing", "exploding", "inconclusive"]


@dataclasses.dataclass(frozen=True)
class Effect:
    """What one intervention does to the gradient, re-measured on the same sequences.

    - `name`, `description`: the change; `kind`: "remedy" (can be built) or "cause" (thought
      experiment).
    - `blames`: the cause it removes, in words, or None; `is_bound`: whether it is the extreme case
      of that cause, which may overshoot 0.
    - `rate`, `rate_error`: nats per step with its 95 % half width; `horizon`: steps until the
      gradient is below 1e-3 of its start, `horizon_is_extrapolated` if beyond the sequences;
      `zero_share` as in `Diagnosis`.
    """

    name: str
    description: str
    kind: str
    blames: str | None
    is_bound: bool
    rate: float
    rate_error: float
    horizon: float
    horizon_is_extrapolated: bool
    zero_share: float


@dataclasses.dataclass(frozen=True, eq=False)
class Diagnosis:
    """Whether gradients vanish or explode in one network on one batch, and why.

    All logs are natural; rates are nats per step. Made by `diagnose`, which computes what is
    printed. The rest is computed when it is first read, and kept: `to_dict` and `save` read all
    of it, `plot` what it draws.

    - `verdict`, `reason`: the answer and one sentence of why.
    - `rate` ± `rate_error`: average growth of the gradient carried back from the last step taught;
      `horizon`: steps until it falls below 1e-3 of its start in the median sequence (inf: never),
      `horizon_is_extrapolated` if that lies beyond the sequences; `zero_share`: share of sequences
      in which it becomes exactly 0 (they do not enter the rate).
    - `num_steps` T, `num_sequences`, `state_size` n, `gradient_source`: what was carried back.
    - `lags` (time+1,), `log_transport` (batch, time+1): log of that gradient relative to its start.
    - `causes`: effects that remove a cause and bring the rate closer to 0, the strongest first.
    - `recommendations`: remedies that help, the longest re-measured horizon first.
    - `effects`: everything that was measured; `skipped`: intervention -> why it does not apply.
    - `dtype`: in which the network was run; `notes`: what else to know of this measurement, such as
      leaves of the state that have no derivative.
    - `kept`: what the following is computed from, when it is read.

    Computed when read:

    - `profile`: the `GradientProfile` of the loss, one row per sequence; None without a loss.
    - `spectrum`, `lyapunov`, `influence`, `eigenvalues`: of the first sequence. Of a state of more
      than 256 components the 16 leading singular values and exponents.
    - `surviving_directions`: lag -> number of singular values above 1e-3, of those in the
      spectrum; `log10_condition`: lag -> log10 of the condition number, NaN where not all singular
      values are known.
    - `activations`: saturation and gates over the batch.
    - `layers`: of a `StackedCell` of several layers, the gradient in each of them and its own
      block's spectrum; None for other cells.
    - `prediction`: what `theory.predict` says of the rate, for random weights on these inputs;
      None where no theory is there for the cell.
    """

    verdict: Verdict
    reason: str
    rate: float
    rate_error: float
    horizon: float
    horizon_is_extrapolated: bool
    zero_share: float
    num_steps: int
    num_sequences: int
    state_size: int
    gradient_source: str
    lags: Int[np.ndarray, "time_plus_one"]
    log_transport: Float[np.ndarray, "batch time_plus_one"]
    causes: list[Effect]
    recommendations: list[Effect]
    effects: list[Effect]
    skipped: dict[str, str]
    dtype: str
    notes: list[str]
    kept: Kept = dataclasses.field(repr=False)

    @ft.cached_property
    def profile(self) -> GradientProfile | None:
        """The gradient of the loss at each step."""
        return self.kept.profile()

    @ft.cached_property
    def spectrum(self) -> Spectrum:
        """Log singular values behind the last state, over lags."""
        return self.kept.spectrum()

    @ft.cached_property
    def lyapunov(self) -> LyapunovExponents:
        """Lyapunov exponents."""
        return self.kept.lyapunov()

    @ft.cached_property
    def influence(self) -> InfluenceMap:
        """Norms of the products between times."""
        return self.kept.influence()

    @ft.cached_property
    def eigenvalues(self) -> StepEigenvalues:
        """Eigenvalues of a few one-step Jacobians."""
        return self.kept.eigenvalues()

    @ft.cached_property
    def activations(self) -> ActivationHistory:
        """Saturation and gates."""
        return self.kept.activations()

    @ft.cached_property
    def layers(self) -> StackLayers | None:
        """What each layer of a stack does."""
        return self.kept.layers()

    @ft.cached_property
    def prediction(self) -> Prediction | None:
        """What theory says."""
        return self.kept.prediction()

    @property
    def surviving_directions(self) -> dict[int, float]:
        """Lag -> number of singular values above 1e-3."""
        return self._directions.surviving

    @property
    def log10_condition(self) -> dict[int, float]:
        """Lag -> log10 of the condition number."""
        return self._directions.log10_condition

    @ft.cached_property
    def _directions(self) -> Directions:
        if self.state_size <= ALL_VALUES_PRINTED:
            return self.kept.printed
        return directions_of(self.spectrum, self.kept.chain)

    def __str__(self) -> str:
        from ._text import diagnosis_text

        return diagnosis_text(self)

    def __repr__(self) -> str:
        return f"Diagnosis({self.verdict}: {self.reason})"

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values; NaN and infinities become strings."""
        names = [f.name for f in dataclasses.fields(self) if f.name != "kept"]
        return {name: _plain(getattr(self, name)) for name in [*names, *_WHEN_READ]}

    def plot(self) -> "Figure":
        """Return the 2 x 2 summary figure (`vanishing_jax.plots.plot_diagnosis`)."""
        from ..plots import plot_diagnosis

        return plot_diagnosis(self)

    def save(self, folder: str | os.PathLike) -> pathlib.Path:
        """Write `diagnosis.json`, `report.html` and the figures as PNG into `folder`; return it.

        Each file is written beside its place and then moved there, so a failure leaves earlier
        results whole.
        """
        from ..report import save_figures, write_report
        from ..report._figures import drawn_once

        folder = pathlib.Path(folder)
        text = json.dumps(self.to_dict(), indent=1)
        write_atomically(folder / "diagnosis.json", text.encode())
        with drawn_once():
            save_figures(folder, self)
            write_report(folder / "report.html", self, title="Gradient diagnosis")
        return folder


def _plain(value):
    if isinstance(value, bool | str | int) or value is None:
        return value
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Diagnosis):
        return value.to_dict()
    if dataclasses.is_dataclass(value):
        # What is computed when read stays out: the bound of every lag costs several sweeps.
        names = [f.name for f in dataclasses.fields(value) if not f.name.startswith("_")]
        return {name: _plain(getattr(value, name)) for name in names}
    array = np.asarray(value)
    if np.iscomplexobj(array):
        return {"real": _plain(np.real(array)), "imag": _plain(np.imag(array))}
    return _plain(array.tolist())
