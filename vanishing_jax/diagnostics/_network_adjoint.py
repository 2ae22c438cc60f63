"""The gradient of a loss of a network's output with respect to the states of every layer, in logs.

Layer by layer from the top: the direct gradients of a layer's states come from the layer above
through its inputs, each step's with an integer exponent of its own, so nothing underflows however
long the sequence is. Layers of one kind and size share their programs.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from .._checks import num_steps
from .._mantissa_exponent import normalized
from .._tree import state_layout
from .._types import Array, PyTree
from ..cells import BidirectionalCell, MaskedCell, hidden_output
from ..networks import NetworkTrajectory, RecurrentNetwork
from ..networks._network import reverse, run_direction, zero_where_not
from ._back_propagate import Scaled, add, back_propagate, pull_back, scaled
from ._gradient_by_lag import compiled


class PartGradient(NamedTuple):
    """dL/ds_t of one part, t = 0..T in the order in which it steps, and what came from above.

    - `log_norm`: natural log of ||dL/ds_t||, shape (time+1,).
    - `direct`: the part of dL/ds_t that does not come from the part's own next state, t = 0..T.
    """

    log_norm: Float[Array, "time_plus_one"]
    direct: Scaled


def run_network(
    network: RecurrentNetwork,
    inputs: PyTree,
    lengths: Int[np.ndarray, "batch"],
    states: tuple[PyTree, ...],
) -> NetworkTrajectory:
    """Return what `network` goes through on a batch: `network(x, lengths=n)` of each sequence."""
    trajectories, outputs = [], []
    for layer, state in zip(network.layers, states, strict=True):
        pair = isinstance(layer, BidirectionalCell)
        cells = (layer.forward, layer.backward) if pair else (layer,)
        own = state if pair else (state,)
        found = [
            _run_part(cell, s, inputs, lengths, backward)
            for cell, s, backward in zip(cells, own, (False, True), strict=False)
        ]
        trajectories += [trajectory for trajectory, _ in found]
        outputs.append(np.concatenate([np.asarray(output) for _, output in found], axis=-1))
        inputs = outputs[-1]
    steps = jax.tree.leaves(inputs)[0].shape[1]
    keep = np.arange(steps) < lengths[:, None]
    return NetworkTrajectory(network.names, tuple(trajectories), tuple(outputs), keep)


@compiled
def _run_part(cell, state, inputs, lengths, backward: bool):
    """Return the trajectories of one direction of a layer, and its outputs in the order of time."""

    def one(inputs, length):
        keep = jnp.arange(num_steps(inputs), dtype=jnp.int32) < length
        inputs = zero_where_not(keep, inputs)
        inputs = reverse(inputs, length) if backward else inputs
        trajectory, output = run_direction(cell, state, inputs, keep)
        return trajectory, reverse(output, length) if backward else output

    return jax.vmap(one)(inputs, lengths)


def batch_network_adjoint(
    network: RecurrentNetwork,
    trajectories: NetworkTrajectory,
    direct: Float[Any, "batch time size"],
) -> tuple[PartGradient, ...]:
    """Return the total gradients of the states of each part of `network`, in the order of `names`.

    `direct` is the gradient of the loss with respect to the last layer's output.
    """
    keep = np.asarray(trajectories.keep)
    lengths = keep.sum(axis=1)
    above = _scaled(direct)
    remaining = list(trajectories.trajectories)
    found: list[PartGradient] = []
    for index, layer in reversed(list(enumerate(network.layers))):
        pair = isinstance(layer, BidirectionalCell)
        cells = (layer.forward, layer.backward) if pair else (layer,)
        parts = remaining[-len(cells) :]
        del remaining[-len(cells) :]
        arrived, start, below = [], 0, []
        for cell, part, backward in zip(cells, parts, (False, True), strict=False):
            size = _output_size(cell, part)
            vectors, exponents = map(np.asarray, above)
            mine = Scaled(vectors[..., start : start + size], exponents)
            start += size
            mine = _reversed(mine, lengths) if backward else mine
            one, to_input = _part_adjoint(cell, part, keep, mine, index > 0)
            arrived.append(one)
            below.append(_reversed(to_input, lengths) if backward and index > 0 else to_input)
        found[:0] = arrived
        if index > 0:  # nobody asks for the gradient of the network's own inputs
            above = _sums(*below) if pair else below[0]
    return tuple(found)


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


def _output_size(cell, part) -> int:
    def shape(leaf):
        return jax.ShapeDtypeStruct(leaf.shape[2:], leaf.dtype)

    first = jax.tree.map(shape, part.states)
    return jax.eval_shape(lambda state: hidden_output(cell, state), first).shape[0]


@compiled
def _part_adjoint(cell, parts, keep, above: Scaled, with_inputs: bool):
    """Return the `PartGradient` of one direction and the gradient of its inputs, step by step."""
    return jax.vmap(lambda p, k, a: _adjoint(cell, p, k, a, with_inputs))(parts, keep, above)


def _adjoint(cell, part, keep, above: Scaled, with_inputs: bool):
    layout = state_layout(jax.tree.map(lambda leaf: leaf[0], part.states))
    masked = MaskedCell(cell)
    before = jax.tree.map(lambda leaf: leaf[:-1], part.states)
    after = jax.tree.map(lambda leaf: leaf[1:], part.states)

    def from_output(state, cotangent):
        def read(vector):
            return hidden_output(cell, layout.unravel(vector, state))

        return jax.vjp(read, layout.ravel(state))[1](cotangent)[0].astype(layout.dtype)

    # The initial state is read by nobody but the first step.
    rows = jax.vmap(from_output)(after, above.vectors)
    direct = Scaled(jnp.pad(rows, ((1, 0), (0, 0))), jnp.pad(above.exponents, (1, 0)))

    def pull(gradient: Scaled, point):
        state, input, keep = point

        def step(vector, input):
            return layout.ravel(masked(layout.unravel(vector, state), (input, keep)))

        start = layout.ravel(state)
        if not with_inputs:
            arrived, _ = pull_back(lambda vector: step(vector, input), start, gradient)
            return arrived, None
        arrived, (to_input,) = pull_back(step, start, gradient, input)
        return arrived, Scaled(*normalized(to_input, gradient.exponents))

    log_norm, to_inputs = back_propagate(pull, (before, part.inputs, keep), direct)
    return PartGradient(log_norm, direct), to_inputs
