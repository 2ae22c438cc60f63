"""The result of `diagnose_layers`: what it holds, how it prints, how it is saved."""

import dataclasses
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

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    - `profile`: the `GradientProfile` of the loss, one row per sample; None without a loss.
    - `spectrum`, `influence`: of the first sample's Jacobians; None where those are too
      large (`skipped["spectra"]` says so).
    - `surviving_directions`: lag -> number of singular values above 1e-3; `log10_condition`: lag ->
      log10 of the ratio of the largest to the smallest of them, as many as the narrowest width.
    - `causes`: effects that remove a cause and bring the rate closer to 0, the strongest first.
    - `recommendations`: remedies that help, the longest re-measured horizon first.
    - `effects`: everything that was measured; `skipped`: intervention -> why it does not apply.
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
    lags: Int[np.ndarray, "moment"]
    log_transport: Float[np.ndarray, "batch moment"]
    log_growth: Float[np.ndarray, "time"]
    profile: GradientProfile | None
    spectrum: Spectrum | None
    influence: InfluenceMap | None
    surviving_directions: dict[int, float]
    log10_condition: dict[int, float]
    causes: list[Effect]
    recommendations: list[Effect]
    effects: list[Effect]
    skipped: dict[str, str]
    axis: Literal["layer"] = "layer"

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
        return {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}

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
