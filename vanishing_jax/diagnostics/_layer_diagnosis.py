"""The result of `diagnose_layers`: what it holds, how it prints, how it is saved."""

import dataclasses
import functools as ft
import pathlib
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from .._files import write_atomically
from ..spectra import Spectrum
from ._gradient_profile import GradientProfile
from ._influence import InfluenceMap, influence_map
from ._kept import Directions, LayersKept, spectrum_of
from ._result import ChainDiagnosis
from ._text import labelled, layer_rows


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LayerDiagnosis(ChainDiagnosis):
    """Whether gradients vanish or explode on their way through the layers of a network, and why.

    All logs are natural; rates are nats per layer. Made by `diagnose_layers`.

    - `verdict`, `reason`: the answer and one sentence of why.
    - `gradient_rate`: the `GradientRate`, whose parts can be read here too:
      `rate` ± `rate_error`: average growth of the gradient per layer, carried back from the output;
      `horizon`: layers until it falls below 1e-3 of its start in the median sample (inf: never),
      `horizon_is_extrapolated` if the network is not so deep; `zero_share`: share of samples in
      which it becomes exactly 0 (they do not enter the rate).
    - `widths`: sizes of x_0, ..., x_L; `num_samples`; `gradient_source`: what was carried back.
    - `lags` (L + 1,), `log_gradient_by_lag` (samples, L + 1): log of the norm of that gradient
      relative to its start, against the number of layers it has come back.
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

    _WHEN_READ: ClassVar = (
        "profile", "spectrum", "influence", "surviving_directions", "log10_condition"
    )  # fmt: skip
    unit: ClassVar[str] = "layer"
    to_read: ClassVar = "log_growth", "spectrum", "influence", "profile"

    widths: tuple[int, ...]
    num_samples: int
    log_growth: Float[np.ndarray, "time"]
    kept: LayersKept = dataclasses.field(repr=False)
    axis: Literal["layer"] = "layer"

    @ft.cached_property
    def profile(self) -> GradientProfile | None:
        """The gradient of the loss at each activation."""
        return self.kept.profile()

    @ft.cached_property
    def spectrum(self) -> Spectrum | None:
        """Log singular values behind the output, over lags."""
        return None if self.kept.missing else spectrum_of(self.kept.chain)

    @ft.cached_property
    def influence(self) -> InfluenceMap | None:
        """Norms of the products between layers."""
        return None if self.kept.missing else influence_map(self.kept.chain)

    @property
    def _directions(self) -> Directions:
        return self.kept.directions

    @property
    def num_steps(self) -> int:
        """Number of layers L."""
        return len(self.widths) - 1

    @property
    def state_size(self) -> int:
        """The narrowest width: how many directions can pass from end to end."""
        return min(self.widths)

    def details(self) -> str:
        """Return all that there is to say: by layer, directions, causes, remedies."""
        return labelled(self, layer_rows(self))

    def _save_pages(self, folder: pathlib.Path) -> None:
        """Write `diagnosis.txt` and `diagnosis.png`: the report is about a recurrence."""
        import io

        import matplotlib.pyplot as plt

        figure, picture = self.plot(), io.BytesIO()
        figure.savefig(picture, format="png", dpi=110)
        plt.close(figure)
        write_atomically(folder / "diagnosis.txt", f"{self.details()}\n".encode())
        write_atomically(folder / "diagnosis.png", picture.getvalue())
