"""The diagnosis of a network of several layers, in one direction or both."""

import dataclasses
import json
import os
import pathlib
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from .._files import write_atomically
from .._lazy import from_above
from ._diagnosis import Diagnosis, Verdict, _plain
from ._layer_gradients import LayerGradients

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True, eq=False)
class NetworkReach:
    """How far the gradient at one end of the output travels, through all layers and directions.

    - `toward`: "past": from the last output taught back in time; "future": from the first output
      taught ahead in time, which only backward layers do.
    - `verdict`, `reason`, `rate` ± `rate_error`, `horizon`, `horizon_is_extrapolated`,
      `zero_share`: as in `Diagnosis`, of the norm of the gradient over all states of all layers
      that belong to one step of the sequence.
    - `log_transport`: log of that norm relative to lag 0, shape (batch, lag).
    - `gradients`: the same in each layer.
    """

    toward: str
    verdict: Verdict
    reason: str
    rate: float
    rate_error: float
    horizon: float
    horizon_is_extrapolated: bool
    zero_share: float
    log_transport: Float[np.ndarray, "batch lag"]
    gradients: LayerGradients


@dataclasses.dataclass(frozen=True, eq=False)
class NetworkDiagnosis:
    """Whether gradients vanish or explode in a network of recurrent layers, where, and why.

    Made by `diagnose` from a `RecurrentNetwork`. Two questions, both answered exactly:

    - Does the network as a whole carry a gradient? `reaches["past"]`, and `reaches["future"]` of a
      bidirectional network, follow the gradient of one output through every layer and direction.
    - Which recurrence loses it? `parts` holds the `Diagnosis` of every direction of every layer:
      its own chain of Jacobians, the inputs that it gets from the layer below given, with spectra,
      causes and remedies re-measured in this part alone.

    `verdict`, `reason`, `rate` ± `rate_error`, `horizon`, `horizon_is_extrapolated` and
    `zero_share` are those of the worse of the two reaches: exploding before vanishing before
    inconclusive before healthy. `num_steps`, `num_sequences`, `state_size` (of all parts
    together), `gradient_source` are as in `Diagnosis`. All logs are natural.
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
    reaches: dict[str, NetworkReach]
    parts: dict[str, Diagnosis]

    def __str__(self) -> str:
        from ._network_text import network_text

        return network_text(self)

    def __repr__(self) -> str:
        return f"NetworkDiagnosis({self.verdict}: {self.reason})"

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values; NaN and infinities become strings."""
        return {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}

    def plot(self) -> "Figure":
        """Return the one-page figure (`vanishing_jax.plots.plot_network`)."""
        return from_above("plots.plot_network")(self)

    def save(self, folder: str | os.PathLike) -> pathlib.Path:
        """Write `diagnosis.json`, `report.html` and the figures as PNG into `folder`; return it.

        The figures of each part lie in a folder of its name. Each file is written beside its place
        and then moved there, so a failure leaves earlier results whole.
        """
        folder = pathlib.Path(folder)
        text = json.dumps(self.to_dict(), indent=1)
        write_atomically(folder / "diagnosis.json", text.encode())
        from_above("report.save_report")(folder, self, title="Gradient diagnosis of a network")
        return folder


_SEVERITY = ("exploding", "vanishing", "inconclusive", "healthy")


def worst(reaches: dict[str, NetworkReach]) -> NetworkReach:
    """Return the reach with the worse verdict; of two alike, that with the shorter horizon."""
    return min(reaches.values(), key=lambda r: (_SEVERITY.index(r.verdict), r.horizon))
