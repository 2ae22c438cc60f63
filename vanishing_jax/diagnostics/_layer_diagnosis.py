"""The result of `diagnose_layers`: what it holds, how it prints, how it is saved."""

import dataclasses
import functools as ft
import json
import os
import pathlib
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float, Int

from .._files import write_atomically
from ..spectra import Spectrum
from ._diagnosis import Effect, Verdict, _plain
from ._gradient_profile import GradientProfile
from ._influence import InfluenceMap
from ._kept import LayersKept

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_WHEN_READ = "profile", "spectrum", "influence", "surviving_directions", "log10_condition"


@dataclasses.dataclass(frozen=True, eq=False)
class LayerDiagnosis:
    """Whether gradients vanish or explode on their way through the layers of a network, and why.

    All logs are natural; rates are nats per layer. Made by `diagnose_layers`.

    - `verdict`, `reason`: the answer and one sentence of why.
    - `rate` ± `rate_error`: average growth of the gradient per layer, carried back from the output;
      `horizon`: layers until it falls below 1e-3 of its start in the median sample (inf: never),
      `horizon_is_extrapolated` if the network is not so deep; `zero_share`: share of samples in
      which it becomes exactly 0 (they do not enter the rate).
    - `widths`: sizes of x_0, ..., x_L; `num_samples`; `gradient_source`: what was carried back.
    - `lags` (L + 1,), `log_transport` (samples, L + 1): log of that gradient relative to its start,
      against the number of layers it has come back.
    - `log_growth` (L,): mean log change through layer l = 1..L; its mean is the rate.
    - `causes`: effects that remove a cause and bring the rate closer to 0, the strongest first.
    - `recommendations`: remedies that help, the longest re-measured horizon first.
    - `effects`: everything that was measured; `skipped`: intervention -> why it does not apply.
    - `kept`: what the following is computed from, when it is read.

    Computed when read:

    - `profile`: the `GradientProfile` of the loss, one row per sample; None without a loss.
    - `spectrum`, `influence`: of the first sample's Jacobians; None where those are too
      large (`skipped["spectra"]` says so).
    - `surviving_directions`: lag -> number of singular values above 1e-3; `log10_condition`: lag ->
      log10 of the ratio of the largest to the smallest of them, as many as the narrowest width.
    """

    verdict: Verdict
    reason: str
    rate: float
    rate_error: float
    horizon: float
    horizon_is_extrapolated: bool
    zero_share: float
    widths: tuple[int, ...]
    num_samples: int
    gradient_source: str
    lags: Int[np.ndarray, "time_plus_one"]
    log_transport: Float[np.ndarray, "batch time_plus_one"]
    log_growth: Float[np.ndarray, "time"]
    causes: list[Effect]
    recommendations: list[Effect]
    effects: list[Effect]
    skipped: dict[str, str]
    kept: LayersKept = dataclasses.field(repr=False)
    axis: Literal["layer"] = "layer"

    @ft.cached_property
    def profile(self) -> GradientProfile | None:
        """The gradient of the loss at each activation."""
        return self.kept.profile()

    @ft.cached_property
    def spectrum(self) -> Spectrum | None:
        """Log singular values behind the output, over lags."""
        return self.kept.spectrum()

    @ft.cached_property
    def influence(self) -> InfluenceMap | None:
        """Norms of the products between layers."""
        return self.kept.influence()

    @property
    def surviving_directions(self) -> dict[int, float]:
        """Lag -> number of singular values above 1e-3."""
        return self.kept.directions.surviving

    @property
    def log10_condition(self) -> dict[int, float]:
        """Lag -> log10 of the condition number."""
        return self.kept.directions.log10_condition

    @property
    def num_steps(self) -> int:
        """Number of layers L."""
        return len(self.widths) - 1

    @property
    def state_size(self) -> int:
        """The narrowest width: how many directions can pass from end to end."""
        return min(self.widths)

    def __str__(self) -> str:
        from ._text import layer_diagnosis_text

        return layer_diagnosis_text(self)

    def __repr__(self) -> str:
        return f"LayerDiagnosis({self.verdict}: {self.reason})"

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values; NaN and infinities become strings."""
        names = [f.name for f in dataclasses.fields(self) if f.name != "kept"]
        return {name: _plain(getattr(self, name)) for name in [*names, *_WHEN_READ]}

    def plot(self) -> "Figure":
        """Return the 2 x 2 summary figure (`vanishing_jax.plots.plot_diagnosis`)."""
        from ..plots import plot_diagnosis

        return plot_diagnosis(self)

    def save(self, folder: str | os.PathLike) -> pathlib.Path:
        """Write `diagnosis.json`, `diagnosis.txt` and `diagnosis.png` into `folder`; return it."""
        import io

        import matplotlib.pyplot as plt

        folder = pathlib.Path(folder)
        figure, picture = self.plot(), io.BytesIO()
        figure.savefig(picture, format="png", dpi=110)
        plt.close(figure)
        text = json.dumps(self.to_dict(), indent=1)
        write_atomically(folder / "diagnosis.json", text.encode())
        write_atomically(folder / "diagnosis.txt", f"{self}\n".encode())
        write_atomically(folder / "diagnosis.png", picture.getvalue())
        return folder
