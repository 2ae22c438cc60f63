"""The gradient of a loss of a network's output with respect to the states of every layer, in logs.

Layer by layer from the top: the direct gradients of a layer's states come from the layer above
through its inputs, each step's with an integer exponent of its own, so nothing underflows however
long the sequence is.
"""

import functools as ft
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from .._activations import stable_derivatives
from .._scaling import normalized
from .._tree import state_layout
from .._types import Array
from ..cells import BidirectionalCell, MaskedCell, hidden_output
from ..networks import NetworkTrajectory, RecurrentNetwork
from ..networks._network import reverse
from ._gradient_profile import _add, _log_norm


class Scaled(NamedTuple):
    """Vectors of moderate size with an exponent each: they stand for vectors * 2**exponents.

    A sequence of them, or a single one.
    """

    vectors: Float[Array, "*time size"]
    exponents: Int[Array, "*time"]


class PartGradient(NamedTuple):
    """dL/ds_t of one part, t = 0..T in the order in which it steps, and what came from above.

    - `log_norm`: natural log of ||dL/ds_t||, shape (time+1,).
    - `direct`: the part of dL/ds_t that does not come from the part's own next state.
    """

    log_norm: Float[Array, "moment"]
    direct: Scaled


def network_adjoint(
    network: RecurrentNetwork, trajectory: NetworkTrajectory, direct: Float[Array, "time size"]
) -> tuple[PartGradient, ...]:
    """Return the total gradients of the states of each part of `network`, in the order of `names`.

    `direct` is the gradient of the loss with respect to the last layer's output.
    """
    length = jnp.sum(trajectory.keep).astype(jnp.int32)
    above = scaled_rows(direct)
    remaining = list(trajectory.trajectories)
    found: list[PartGradient] = []
    for index, layer in reversed(list(enumerate(network.layers))):
        pair = isinstance(layer, BidirectionalCell)
        cells = (layer.forward, layer.backward) if pair else (layer,)
        parts = remaining[-len(cells) :]
        del remaining[-len(cells) :]
        arrived, start, below = [], 0, []
        for cell, part, backward in zip(cells, parts, (False, True), strict=False):
            size = _output_size(cell, part)
            mine = Scaled(above.vectors[:, start : start + size], above.exponents)
            start += size
            mine = reverse(mine, length) if backward else mine
            one, to_input = _part_adjoint(cell, part, trajectory.keep, mine, index > 0)
            arrived.append(one)
            below.append(reverse(to_input, length) if backward and index > 0 else to_input)
        found[:0] = arrived
        above = ft.reduce(jax.vmap(_sum), below)
    return tuple(found)


def scaled_rows(rows: Float[Array, "time size"]) -> Scaled:
    """Return the rows as `Scaled`."""
    return Scaled(*jax.vmap(lambda row: normalized(row, jnp.zeros((), jnp.int32)))(rows))


def _output_size(cell, part) -> int:
    first = jax.tree.map(lambda leaf: leaf[0], part.states)
    return jax.eval_shape(lambda state: hidden_output(cell, state), first).shape[0]


def _part_adjoint(cell, part, keep, above: Scaled, with_inputs: bool):
    """Return the `PartGradient` of one direction and the gradient of its inputs, step by step."""
    layout = state_layout(jax.tree.map(lambda leaf: leaf[0], part.states))
    masked = MaskedCell(cell)
    before = jax.tree.map(lambda leaf: leaf[:-1], part.states)
    after = jax.tree.map(lambda leaf: leaf[1:], part.states)

    def from_output(state, cotangent):
        def read(vector):
            return hidden_output(cell, layout.unravel(vector, state))

        return jax.vjp(read, layout.ravel(state))[1](cotangent)[0].astype(layout.dtype)

    direct = Scaled(jax.vmap(from_output)(after, above.vectors), above.exponents)

    def back(carry: Scaled, step):
        state, input, keep, direct = step
        total = Scaled(*normalized(*_sum(carry, direct)))

        def one(vector, input):
            return layout.ravel(masked(layout.unravel(vector, state), (input, keep)))

        if with_inputs:
            pull = jax.vjp(stable_derivatives(one), layout.ravel(state), input)[1]
            to_state, to_input = pull(total.vectors)
        else:
            run = stable_derivatives(lambda vector: one(vector, input))
            (to_state,) = jax.vjp(run, layout.ravel(state))[1](total.vectors)
            to_input = jnp.zeros(1, layout.dtype)
        reached = Scaled(*normalized(to_state, total.exponents))
        return reached, (_log_norm(*total), Scaled(*normalized(to_input, total.exponents)))

    zero = Scaled(jnp.zeros(layout.size, layout.dtype), jnp.zeros((), jnp.int32))
    steps = (before, part.inputs, keep, direct)
    first, (norms, to_inputs) = jax.lax.scan(back, zero, steps, reverse=True)
    log_norm = jnp.concatenate([_log_norm(*first)[None], norms])
    return PartGradient(log_norm, direct), to_inputs


def _sum(one: Scaled, other: Scaled) -> Scaled:
    """Return the sum of two single ones."""
    return Scaled(*_add(*one, *other))


@eqx.filter_jit
def batch_network_adjoint(network, trajectories, direct):
    """Return `network_adjoint` of each sequence of a batch."""
    return jax.vmap(lambda t, d: network_adjoint(network, t, d))(trajectories, direct)
