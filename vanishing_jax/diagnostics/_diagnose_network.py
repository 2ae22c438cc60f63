"""`diagnose` of a network of several layers."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._checks import STATES_EXPLODE, as_arrays, check_finite, check_loss
from .._progress import with_progress
from .._tree import state_layout
from .._types import Array, ArrayLike, PyTree
from ..cells import hidden_output
from ..networks import NetworkTrajectory, Part, RecurrentNetwork
from ._back_propagate import Scaled
from ._diagnose import (
    FEW_SEQUENCES,
    PROBES,
    OfOne,
    check_inputs,
    diagnose_cell,
    has_batch,
)
from ._gradient_by_lag import in_buffers, on_host
from ._lengths import check_lengths
from ._network_adjoint import batch_network_adjoint, run_network
from ._network_diagnosis import NetworkDiagnosis, worst
from ._network_reach import network_reach


class _LinearLoss(eqx.Module):
    """A loss of states with the given direct gradients: what the layers above ask of a part."""

    weights: Float[ArrayLike, "batch time_plus_one state"]

    def __call__(self, states: PyTree) -> Array:
        layout = state_layout(jax.tree.map(lambda leaf: leaf[0, 0], states))
        return jnp.sum(self.weights * jax.vmap(jax.vmap(layout.ravel))(states))


def diagnose_network(
    network: RecurrentNetwork,
    inputs: PyTree,
    *,
    state0: Any,
    loss: Any,
    batched: Any,
    lengths: Any,
    memory_limit: int,
) -> NetworkDiagnosis:
    """Return the diagnosis of a network; the arguments are those of `diagnose`."""
    inputs = jax.tree.map(on_host, as_arrays(inputs, "inputs"))
    states = network.initial_state() if state0 is None else tuple(as_arrays(state0, "state0"))
    if len(states) != len(network.layers):
        raise ValueError(
            f"expected state0 of {len(network.layers)} layers; got {len(states)} states."
        )
    part_states = _by_part(network, states)
    if not has_batch(network.parts[0].cell, part_states[0], inputs, batched):
        inputs = jax.tree.map(lambda leaf: leaf[None], inputs)
        loss = None if loss is None else OfOne(loss)
    sequences, steps = jax.tree.leaves(inputs)[0].shape[:2]
    ends = check_lengths(lengths, sequences, steps)
    check_inputs(inputs, ends)
    check_finite(eqx.filter(network, eqx.is_inexact_array), "weights")
    runs = run_network(network, in_buffers(inputs, ends), ends, states)
    for name, trajectory in zip(runs.names, runs.trajectories, strict=True):
        time_first = jax.tree.map(lambda leaf: np.moveaxis(leaf, 1, 0), _on_host(trajectory.states))
        what = f"states of {name}"
        check_finite(time_first, what, axis_name="step", advice=STATES_EXPLODE)
    direct = None if loss is None else _direct(loss, runs, steps)
    probes = PROBES if loss is None and sequences < FEW_SEQUENCES else 1
    reaches = _reaches(network, runs, direct, ends, probes)
    asked = _asked(network, runs, direct, steps)
    parts = {}
    rows = list(zip(network.parts, runs.trajectories, part_states, strict=True))
    for part, trajectory, state in with_progress(rows, "parts"):
        own = jax.tree.map(lambda leaf: leaf[:, :steps], _on_host(trajectory.inputs))
        options = {"state0": state, "batched": True, "lengths": ends, "memory_limit": memory_limit}
        parts[part.name] = diagnose_cell(part.cell, own, loss=asked.get(part.name), **options)
    deciding = reaches[worst(reaches)]
    where = f"into the {deciding.toward} " if len(reaches) > 1 else ""
    return NetworkDiagnosis(
        verdict=deciding.verdict,
        reason=where + deciding.reason,
        gradient_rate=deciding.gradient_rate,
        num_steps=int(ends.max()),
        num_sequences=sequences,
        state_size=sum(part.state_size for part in parts.values()),
        gradient_source="random probe of the output" if loss is None else "loss gradient",
        reaches=reaches,
        parts=parts,
    )


def _by_part(network: RecurrentNetwork, states: tuple) -> list[PyTree]:
    """Return one initial state for each part, from one for each layer."""
    found = []
    for part in network.parts:
        state = states[part.layer]
        if part.name.endswith(("forward", "backward")):
            state = state[part.direction == "backward"]
        found.append(state)
    return found


def _on_host(tree):
    return jax.tree.map(on_host, tree)


def _direct(loss, runs: NetworkTrajectory, steps: int) -> Float[np.ndarray, "batch time size"]:
    """Return the gradient of the loss with respect to the outputs, 0 in the padding."""
    output = np.asarray(runs.output)
    check_loss(loss, jax.ShapeDtypeStruct((len(output), steps, output.shape[2]), output.dtype))
    gradient = np.asarray(_gradient(loss, output[:, :steps]))
    direct = np.where(runs.keep[:, :steps, None], gradient, 0)
    if not np.any(direct):
        raise ValueError(
            "expected a loss whose gradient with respect to some output is not zero; it is zero "
            "at every step of every sequence. The loss of a network is loss(output), the last "
            "layer's outputs (batch, time, size); beyond a sequence's length they are 0."
        )
    more = output.shape[1] - steps
    return np.pad(direct, ((0, 0), (0, more), (0, 0))).astype(output.dtype)


@eqx.filter_jit
def _gradient(loss, output):
    return jax.grad(loss)(output)


def _reaches(network, runs, direct, ends, probes):
    """Return how far the gradient travels into the past, and into the future if it does."""
    if probes > 1:
        runs = jax.tree.map(lambda leaf: on_host(leaf).repeat(probes, axis=0), runs)
        ends = np.repeat(ends, probes)
    found = {}
    for toward in ("past", "future") if network.is_bidirectional else ("past",):
        given = _probe(network, runs, ends, toward) if direct is None else direct
        if given is None:
            continue
        reach = network_reach(network, runs, given, ends, toward, probes)
        if reach is not None:
            found[toward] = reach
    return found


def _probe(network, runs, ends, toward):
    """Return a random unit vector on the last output of each sequence, or on the first.

    Of a bidirectional last layer, only on the half whose direction ends there.
    """
    last = [part for part in network.parts if part.layer == len(network.layers) - 1]
    shape = runs.output.shape
    half = np.ones(shape[2], bool)
    if len(last) == 2:
        half = np.arange(shape[2]) < _forward_size(network, runs)
        half = half if toward == "past" else ~half
    rng = np.random.default_rng(0)
    probe = np.where(half, rng.standard_normal((shape[0], shape[2])), 0)
    probe /= np.linalg.norm(probe, axis=1, keepdims=True)
    direct = np.zeros(shape, runs.output.dtype)
    direct[np.arange(shape[0]), ends - 1 if toward == "past" else 0] = probe
    return direct


def _forward_size(network: RecurrentNetwork, runs: NetworkTrajectory) -> int:
    part: Part = network.parts[-2]
    state = jax.tree.map(lambda leaf: on_host(leaf)[0, 0], runs.trajectories[-2].states)
    return jax.eval_shape(lambda s: hidden_output(part.cell, s), state).shape[0]


def _asked(network, runs, direct, steps) -> dict[str, _LinearLoss]:
    """Return the loss that each part sees: nothing for one that gets no gradient."""
    if direct is None:
        return {}
    found = batch_network_adjoint(network, runs, direct)
    losses = {}
    for name, part in zip(network.names, found, strict=True):
        weights = _common_scale(part.direct)[:, : steps + 1]
        if np.any(weights):
            losses[name] = _LinearLoss(weights)
    return losses


def _common_scale(direct: Scaled) -> np.ndarray:
    """Return gradients of s_0..s_T, each sequence's divided by a power of two."""
    vectors, exponents = np.asarray(direct.vectors), np.asarray(direct.exponents)
    there = np.any(vectors != 0, axis=2)
    largest = np.max(np.where(there, exponents, np.iinfo(np.int32).min), axis=1, keepdims=True)
    shift = np.where(there, np.clip(exponents - largest, -2000, 0), 0)
    return np.ldexp(vectors, shift[:, :, None])
