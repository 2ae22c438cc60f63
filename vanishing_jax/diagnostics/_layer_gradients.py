"""How large the gradient is in each layer of a stack or network: where it is gone first."""

import math

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from .._chain import JacobianChain
from .._tree import StateLayout
from ..cells import AbstractCell
from ..spectra import block_log_singular_values
from ._gradient_rate import GONE, at_index
from ._words import count_text


class LayerGradients(eqx.Module):
    """The gradient of one step with respect to the states of each layer, against the lag.

    - `names`: the layers of a stack ("layer0", ...), or the parts of a network.
    - `log_norm`: natural log of ||dL/ds||, s being the layer's whole state `lag` steps away from
      the step that the loss reads; shape (layer, batch, lag); NaN where there is no state.
    - `gone_at`: for each layer the first lag at which its gradient is below 1e-3 of its largest,
      in the median sequence; inf if it never is, NaN for a layer that gets none beyond lag 0: a
      backward layer has no states that an output further on could depend on.
    - `toward`: "past" if the lag counts back in time, "future" if it counts ahead.
    """

    names: tuple[str, ...]
    log_norm: Float[np.ndarray, "layer batch lag"]
    gone_at: Float[np.ndarray, "layer"]
    toward: str

    def first_gone(self) -> str | None:
        """Return the layer whose gradient is gone at the smallest lag; None if none is."""
        if not np.any(np.isfinite(self.gone_at)):
            return None
        return self.names[int(np.nanargmin(self.gone_at))]

    def sentence(self) -> str:
        """Return in which layer the gradient is gone first, in words."""
        reach = self.log_norm.shape[2] - 1
        order = np.argsort(self.gone_at, kind="stable")
        gone = [i for i in order if math.isfinite(self.gone_at[i])]
        if not gone:
            return f"no layer's gradient falls below 1e-3 of its largest within {reach} steps"
        others = [f"{self.names[i]} after {self.gone_at[i]:.0f}" for i in gone[1:]]
        never = [self.names[i] for i in order if np.isposinf(self.gone_at[i])]
        others += [f"{', '.join(never)} not within {reach}"] if never else []
        first = gone[0]
        text = f"{self.names[first]} first, below 1e-3 of its largest gradient after "
        text += count_text(int(self.gone_at[first]), "step")
        return f"{text} ({'; '.join(others)})" if others else text

    def __repr__(self) -> str:
        return f"LayerGradients({self.toward}: {self.sentence()})"


def layer_gradients(
    names: tuple[str, ...], log_norm: Float[np.ndarray, "layer batch lag"], toward: str
) -> LayerGradients:
    """Return the gradients with the lags at which they are gone."""
    return LayerGradients(names, log_norm, np.array([_gone_at(g) for g in log_norm]), toward)


def _gone_at(log_norm):
    """Return the median sequence's first lag, from its largest gradient on, that is below 1e-3."""
    rows = log_norm[np.isfinite(log_norm[:, 1:]).any(axis=1)]
    if len(rows) == 0:
        return math.nan
    largest = np.nanmax(rows, axis=1, keepdims=True)
    after = np.arange(rows.shape[1]) >= np.nanargmax(rows, axis=1)[:, None]
    gone = after & (rows - largest <= math.log(GONE))  # False for NaN
    first = np.where(gone.any(axis=1), gone.argmax(axis=1), np.inf)
    return float(np.quantile(first, 0.5, method="higher"))


class StackLayers(eqx.Module):
    """What a stack of cells does to gradients, layer by layer.

    - `gradients`: the gradient that `diagnose` carries back, split among the states of the layers:
      its squared norm is the sum of theirs. As everywhere in a stack, whose state is one, a layer's
      state acts on the other layers from the next step on; in a `NetworkReach` at once.
    - `log_singular_values`: for each layer those of its own block of the product of Jacobians over
      the first sequence, ds_T/ds_0 of the layer: its own recurrence, its inputs given. Natural
      logs, descending.
    """

    gradients: LayerGradients
    log_singular_values: dict[str, Float[np.ndarray, "layer_state"]]


def layer_components(cell: AbstractCell, layout: StateLayout) -> dict[str, tuple[int, ...]]:
    """Return which components of the state each layer of a stack has; {} for any other cell.

    Layers are told by the names of the state's leaves: "layer0" of "layer0.h".
    """
    leaves = [leaf for leaf in layout.leaves if leaf.dtype is not None]
    names = cell.state_names or tuple(leaf.path for leaf in leaves)
    found: dict[str, tuple[int, ...]] = {}
    for name, leaf in zip(names, leaves, strict=False):
        head, _, rest = name.partition(".")
        if rest and head[:5] == "layer" and head[5:].isdigit():
            indices = tuple(range(leaf.start, leaf.start + leaf.size))
            found[head] = found.get(head, ()) + indices
    return found if len(found) > 1 else {}


def gradients_in_layers(
    names: tuple[str, ...],
    log_norm: Float[np.ndarray, "row time_plus_one layer"],
    last: Int[np.ndarray, "row"],
    num_probes: int,
    longest: int,
) -> LayerGradients:
    """Return gradients that were carried back from the steps `last`, against the lag."""
    index = last[:, None] - np.arange(longest + 1)
    by_lag = np.stack([at_index(log_norm[..., i], index) for i in range(len(names))])
    by_lag = by_lag.reshape(len(names), -1, num_probes, longest + 1).mean(axis=2)
    return layer_gradients(names, by_lag, "past")


def stack_layers(chain: JacobianChain, gradients: LayerGradients) -> StackLayers:
    """Return the gradients of the layers with the spectrum of each layer's own block."""
    spectra = {
        name: block_log_singular_values(chain, name, name).log_singular_values
        for name in gradients.names
    }
    return StackLayers(gradients, spectra)
