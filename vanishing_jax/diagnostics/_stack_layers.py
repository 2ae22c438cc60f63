"""The layers of a stack, each for itself: gradients and spectra out of the chain of the whole."""

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from .._chain import JacobianChain
from .._tree import StateLayout
from ..cells import AbstractCell
from ..spectra import block_log_singular_values
from ._layer_gradients import LayerGradients, layer_gradients


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
    rows, moments = log_norm.shape[:2]
    by_lag = np.full((len(names), rows, moments), np.nan)
    for row, end in enumerate(last):
        by_lag[:, row, : end + 1] = log_norm[row, end::-1].T
    by_lag = by_lag.reshape(len(names), -1, num_probes, moments).mean(axis=2)
    return layer_gradients(names, by_lag[:, :, : longest + 1], "past")


def stack_layers(chain: JacobianChain, gradients: LayerGradients) -> StackLayers:
    """Return the gradients of the layers with the spectrum of each layer's own block."""
    spectra = {
        name: block_log_singular_values(chain, name, name).log_singular_values
        for name in gradients.names
    }
    return StackLayers(gradients, spectra)
