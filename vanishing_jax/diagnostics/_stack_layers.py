"""The layers of a stack, each for itself: gradients and spectra out of the chain of the whole."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._activations import stable_derivatives
from .._chain import JacobianChain
from .._rollout import Trajectory
from .._scaling import normalized
from .._tree import state_layout
from ..cells._clipped_gradient import without_clips
from ..spectra import block_log_singular_values
from ._gradient_profile import _add, _log_norm, _pullback
from ._layer_gradients import LayerGradients, layer_gradients
from ._lengths import visited
from ._transport import last_direct


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


def layer_names(chain: JacobianChain) -> tuple[str, ...]:
    """Return the layers that the names of a chain's blocks tell of: "layer0" of "layer0.h"."""
    heads = [name.split(".")[0] for name in chain.blocks if "." in name]
    return tuple(dict.fromkeys(h for h in heads if h[:5] == "layer" and h[5:].isdigit()))


def stack_layers(cell, trajectories: Trajectory, batch, chain: JacobianChain) -> StackLayers | None:
    """Return what the layers of a stack do to the gradient of `batch`; None for any other cell."""
    names = layer_names(chain)
    if len(names) < 2:
        return None
    spectra = {n: block_log_singular_values(chain, n, n).log_singular_values for n in names}
    groups = tuple(_indices(chain, name) for name in names)
    norms, last = _batch_norms(cell, trajectories, batch.loss, batch.probes, batch.lengths, groups)
    norms, longest = np.asarray(norms, np.float64), int(np.asarray(batch.lengths).max())
    by_lag = np.full((len(names), *norms.shape[:2]), np.nan)
    for row, end in enumerate(np.asarray(last)):
        by_lag[:, row, : end + 1] = norms[row, end::-1].T
    by_lag = by_lag.reshape(len(names), -1, batch.num_probes, norms.shape[1]).mean(axis=2)
    return StackLayers(layer_gradients(names, by_lag[:, :, : longest + 1], "past"), spectra)


def _indices(chain, name) -> tuple[int, ...]:
    parts = [part for key, part in chain.blocks.items() if key.startswith(f"{name}.")]
    return tuple(i for part in parts for i in range(part.start, part.stop))


@eqx.filter_jit
def _batch_norms(cell, trajectories, loss, probes, lengths, groups):
    cell = without_clips(cell) if loss is None else cell
    local, last = last_direct(loss, trajectories, probes, lengths)
    norms = jax.vmap(lambda t, g: _norms(cell, t, g, groups))
    return norms(visited(trajectories, lengths), local), last


def _norms(cell, trajectory, local, groups):
    """Return log ||dL/ds_t|| of each group of components, shape (time+1, group)."""
    layout = state_layout(jax.tree.map(lambda leaf: leaf[0], trajectory.states))
    before = jax.tree.map(lambda leaf: leaf[:-1], trajectory.states)
    parts = eqx.partition(cell, lambda leaf: False)

    def norms(vector, exponent):
        return jnp.stack([_log_norm(vector[np.array(g)], exponent) for g in groups])

    def backward(carry, step):
        state, input, direct = step
        pulled, _ = _pullback(layout, parts, state, input, stable_derivatives, carry)
        carry = normalized(*_add(pulled, carry[1], direct))
        return carry, norms(*carry)

    last = normalized(local[-1], jnp.zeros((), jnp.int32))
    steps = (before, trajectory.inputs, local[:-1])
    _, earlier = jax.lax.scan(backward, last, steps, reverse=True)
    return jnp.concatenate([earlier, norms(*last)[None]])
