"""The diagnosis of a network of several layers, in one direction or both."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from ._diagnosis import Diagnosis
from ._effects import Effect
from ._gradient_rate import GradientRate, Rated
from ._layer_gradients import LayerGradients
from ._result import DiagnosisResult, Verdict
from ._text import labelled, network_rows


@dataclasses.dataclass(frozen=True, eq=False)
class NetworkReach(Rated):
    """How far the gradient at one end of the output travels, through all layers and directions.

    - `toward`: "past": back in time from the last output that the loss reads; "future": ahead in
      time from the first output that it reads, which only backward layers do.
    - `verdict`, `reason`, `gradient_rate` (`rate`, `horizon`, ...): as in `Diagnosis`, of the norm
      of the gradient over all states of all layers that belong to one step of the sequence.
    - `log_gradient_by_lag`: log of that norm relative to lag 0, shape (batch, lag).
    - `gradients`: the same in each layer.
    """

    toward: str
    verdict: Verdict
    reason: str
    gradient_rate: GradientRate
    log_gradient_by_lag: Float[np.ndarray, "batch lag"]
    gradients: LayerGradients


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class NetworkDiagnosis(DiagnosisResult):
    """Whether gradients vanish or explode in a network of recurrent layers, where, and why.

    Made by `diagnose` from a `RecurrentNetwork`. Two questions, both answered exactly:

    - Does the network as a whole carry a gradient? `reaches["past"]`, and `reaches["future"]` of a
      bidirectional network, follow the gradient of one output through every layer and direction.
    - Which recurrence loses it? `parts` holds the `Diagnosis` of every direction of every layer:
      its own chain of Jacobians, the inputs that it gets from the layer below given, with spectra,
      causes and remedies re-measured in this part alone.

    `verdict`, `reason` and `gradient_rate` (`rate` ± `rate_error`, `horizon`, ...) are those of the
    worse of the two reaches: exploding before vanishing before inconclusive before healthy.
    `causes` and `recommendations` are those of the `weakest` part. `num_steps`, `num_sequences`,
    `state_size` (of all parts together), `gradient_source` are as in `Diagnosis`. All logs are
    natural.
    """

    _TITLE: ClassVar = "Gradient diagnosis of a network"
    to_read: ClassVar = "reaches", "parts", "causes", "recommendations"

    num_steps: int
    num_sequences: int
    state_size: int
    reaches: dict[str, NetworkReach]
    parts: dict[str, Diagnosis]

    @property
    def weakest(self) -> str:
        """Name of the part with the worst verdict; of parts alike, that of the shortest horizon."""
        return worst(self.parts)

    @property
    def causes(self) -> list[Effect]:
        """What the weakest part's gradient suffers from."""
        return self.parts[self.weakest].causes

    @property
    def recommendations(self) -> list[Effect]:
        """What helps the weakest part."""
        return self.parts[self.weakest].recommendations

    def details(self) -> str:
        """Return all that there is to say: the whole, the layers, and each part."""
        return labelled(self, network_rows(self))


_SEVERITY = ("exploding", "vanishing", "inconclusive", "healthy")


def worst(diagnosed: Mapping[str, NetworkReach] | Mapping[str, Diagnosis]) -> str:
    """Return the name with the worst verdict; of those alike, that with the shortest horizon."""
    return min(
        diagnosed, key=lambda n: (_SEVERITY.index(diagnosed[n].verdict), diagnosed[n].horizon)
    )
