"""The result of `diagnose`: what it holds, how it prints, how it is saved."""

import dataclasses
import functools as ft
from typing import ClassVar

from ..spectra import LyapunovExponents, Spectrum, lyapunov_exponents
from ..theory import Prediction
from ._activation_history import ActivationHistory
from ._eigenvalues import StepEigenvalues, step_eigenvalues
from ._gradient_profile import GradientProfile
from ._influence import InfluenceMap, influence_map
from ._kept import ALL_VALUES_PRINTED, Directions, Kept, directions_of, spectrum_of
from ._layer_gradients import StackLayers, stack_layers
from ._result import ChainDiagnosis
from ._text import cell_rows, labelled


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Diagnosis(ChainDiagnosis):
    """Whether gradients vanish or explode in one network on one batch, and why.

    All logs are natural; rates are nats per step. Made by `diagnose`, which computes what is
    printed. The rest is computed when it is first read, and kept: `to_dict` and `save` read all
    of it, `plot` what it draws.

    - `verdict`, `reason`: the answer and one sentence of why.
    - `gradient_rate`: the `GradientRate`, whose parts can be read here too:
      `rate` ± `rate_error`: average growth of the gradient carried back from the last
      step with a direct loss gradient;
      `horizon`: steps until it falls below 1e-3 of its start in the median sequence (inf: never),
      `horizon_is_extrapolated` if that lies beyond the sequences; `zero_share`: share of sequences
      in which it becomes exactly 0 (they do not enter the rate).
    - `num_steps` T, `num_sequences`, `state_size` n, `gradient_source`: what was carried back.
    - `lags` (time+1,), `log_gradient_by_lag` (batch, time+1): log of the norm of that gradient
      relative to its start.
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

    _WHEN_READ: ClassVar = (
        "profile", "spectrum", "lyapunov", "influence", "eigenvalues", "activations",
        "surviving_directions", "log10_condition", "layers", "prediction",
    )  # fmt: skip
    to_read: ClassVar = "spectrum", "lyapunov", "influence", "eigenvalues", "profile"

    num_steps: int
    num_sequences: int
    state_size: int
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
        return spectrum_of(self.kept.chain, self.kept.leading)

    @ft.cached_property
    def lyapunov(self) -> LyapunovExponents:
        """Lyapunov exponents."""
        return lyapunov_exponents(self.kept.chain, k=self.kept.leading)

    @ft.cached_property
    def influence(self) -> InfluenceMap:
        """Norms of the products between times."""
        return influence_map(self.kept.chain)

    @ft.cached_property
    def eigenvalues(self) -> StepEigenvalues:
        """Eigenvalues of a few one-step Jacobians."""
        return step_eigenvalues(self.kept.chain)

    @ft.cached_property
    def activations(self) -> ActivationHistory:
        """Saturation and gates."""
        return self.kept.activations()

    @ft.cached_property
    def layers(self) -> StackLayers | None:
        """What each layer of a stack does."""
        gradients = self.kept.layer_gradients
        return None if gradients is None else stack_layers(self.kept.chain, gradients)

    @ft.cached_property
    def prediction(self) -> Prediction | None:
        """What theory says."""
        return self.kept.prediction()

    @ft.cached_property
    def _directions(self) -> Directions:
        if self.state_size <= ALL_VALUES_PRINTED:
            return self.kept.printed
        return directions_of(self.spectrum, self.kept.chain)

    def details(self) -> str:
        """Return all that there is to say: theory, exponents, directions, activations, notes."""
        return labelled(self, cell_rows(self))
