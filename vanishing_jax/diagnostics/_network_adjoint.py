"""The gradient of a loss of a network's output with respect to the states of every layer, in logs.

Layer by layer from the top: the direct gradients of a layer's states come from the layer above
through its inputs, each step's with an integer exponent of its own, so nothing underflows however
long the sequence is. Layers of one kind and size share their programs.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from .._mantissa_exponent import normalized
from .._rollout import Trajectory
from .._tree import state_layout
from .._types import Array
from ..cells import AbstractCell, MaskedCell, hidden_output
from ..networks import NetworkTrajectory, RecurrentNetwork
from ._back_propagate import Scaled, add, scaled
from ._gradient_by_lag import compiled
from ._gradient_profile import back_through_time, none_of


class PartGradient(NamedTuple):
    """dL/ds_t of one part, t = 0..T in the order in which it steps, and what came from above.

    - `log_norm`: natural log of ||dL/ds_t||, shape (time+1,).
    - `direct`: the part of dL/ds_t that does not come from the part's own next state, t = 0..T.
    """

    log_norm: Float[Array, "time_plus_one"]
    direct: Scaled


def batch_network_adjoint(
    network: RecurrentNetwork,
    runs: NetworkTrajectory,
    direct: Float[Any, "batch time size"],
) -> dict[str, PartGradient]:
    """Return the total gradients of the states of each part of `network`, by its name.

    `direct` is the gradient of the loss with respect to the last layer's output.
    """
    keep = np.asarray(runs.keep)
    lengths = keep.sum(axis=1)
    parts = list(zip(network.parts, runs.trajectories, strict=True))
    found: dict[str, PartGradient] = {}
    above = _scaled(direct)
    for layer in reversed(range(len(network.layers))):
        vectors, exponents = map(np.asarray, above)
        start, below = 0, []
        for part, run in [(part, run) for part, run in parts if part.layer == layer]:
            end = start + output_size(part.cell, run)
            own, start = Scaled(vectors[..., start:end], exponents), end
            backward = part.direction == "backward"
            own = _reversed(own, lengths) if backward else own
            # Nobody asks for the gradient of the network's own inputs.
            found[part.name], to_input = _part_adjoint(part.cell, run, keep, own, layer > 0)
            if layer > 0:
                below.append(_reversed(to_input, lengths) if backward else to_input)
        if below:
            above = _sums(*below) if len(below) == 2 else below[0]
    return {name: found[name] for name in network.names}


_scaled = jax.jit(scaled)


@jax.jit
def _sums(one: Scaled, other: Scaled) -> Scaled:
    return jax.vmap(jax.vmap(add))(one, other)


def _reversed(rows: Scaled, lengths: Int[np.ndarray, "batch"]) -> Scaled:
    """Return each sequence from its last valid step to its first; padding stays where it is."""
    vectors, exponents = map(np.asarray, rows)
    steps = np.arange(exponents.shape[1])
    index = np.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)
    sequences = np.arange(len(lengths))[:, None]
    return Scaled(vectors[sequences, index], exponents[sequences, index])


def output_size(cell: AbstractCell, run: Trajectory) -> int:
    """Return the size of the hidden output of a part, from its run on a batch."""

    def shape(leaf):
        return jax.ShapeDtypeStruct(leaf.shape[2:], leaf.dtype)

    state = jax.tree.map(shape, run.states)
    return jax.eval_shape(lambda state: hidden_output(cell, state), state).shape[0]


@compiled
def _part_adjoint(cell, parts, keep, above: Scaled, with_inputs: bool):
    """Return the `PartGradient` of one direction and the gradient of its inputs, step by step."""

    def one(part, keep, above):
        direct = _direct_of_states(cell, part, above)
        masked = Trajectory(part.states, (part.inputs, keep))
        wanted = none_of, eqx.is_inexact_array if with_inputs else none_of
        log_norm, _, to_inputs = back_through_time(MaskedCell(cell), masked, direct, wanted)
        (vectors, _), exponents = to_inputs
        below = jax.vmap(normalized)(vectors, exponents) if with_inputs else (None, None)
        return PartGradient(log_norm, direct), Scaled(*below)

    return jax.vmap(one)(parts, keep, above)


def _direct_of_states(cell, part, above: Scaled) -> Scaled:
    """Return the gradient that a part's states s_0..s_T get through its hidden outputs."""
    layout = state_layout(jax.tree.map(lambda leaf: leaf[0], part.states))

    def from_output(state, cotangent):
        def read(vector):
            return hidden_output(cell, layout.unravel(vector, state))

        return jax.vjp(read, layout.ravel(state))[1](cotangent)[0].astype(layout.dtype)

    after = jax.tree.map(lambda leaf: leaf[1:], part.states)
    rows = jax.vmap(from_output)(after, above.vectors)
    # The initial state is read by nobody but the first step.
    return Scaled(jnp.pad(rows, ((1, 0), (0, 0))), jnp.pad(above.exponents, (1, 0)))
