"""`diagnose` of a network of several layers."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._checks import STATES_EXPLODE, as_arrays, check_finite
from .._progress import with_progress
from .._tree import state_layout
from .._types import Array, ArrayLike, PyTree
from ..networks import NetworkTrajectory, RecurrentNetwork
from ._back_propagate import Scaled, loss_gradient
from ._diagnose_cell import diagnose_cell
from ._gradient_by_lag import in_buffers
from ._inputs import as_sequences, no_gradient, on_host, probes_of_each, unit_vectors
from ._network_adjoint import batch_network_adjoint, output_size
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
    states = network.initial_state() if state0 is None else tuple(as_arrays(state0, "state0"))
    part_states = network.part_states(states)
    options = {"loss": loss, "batched": batched, "lengths": lengths}
    given = as_sequences(network.parts[0].cell, part_states[0], inputs, **options)
    ends, (sequences, steps) = given.lengths, jax.tree.leaves(given.inputs)[0].shape[:2]
    check_finite(eqx.filter(network, eqx.is_inexact_array), "weights")
    runs = jax.vmap(lambda x, n: network(x, lengths=n, state0=states))(
        in_buffers(given.inputs, ends), ends
    )
    for name, trajectory in zip(runs.names, runs.trajectories, strict=True):
        time_first = jax.tree.map(lambda leaf: np.moveaxis(leaf, 1, 0), _on_host(trajectory.states))
        what = f"states of {name}"
        check_finite(time_first, what, axis_name="step", advice=STATES_EXPLODE)
    # What the loss asks of the outputs; without one, each reach is probed by unit vectors.
    direct = None if given.loss is None else _direct(given.loss, runs, steps)
    reaches = _reaches(network, runs, direct, ends, probes_of_each(given.loss, sequences))
    # A part alone is diagnosed with what the layers above ask of its states as its loss.
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


def _on_host(tree):
    return jax.tree.map(on_host, tree)


def _direct(loss, runs: NetworkTrajectory, steps: int) -> Float[np.ndarray, "batch time size"]:
    """Return the gradient of the loss with respect to the outputs, 0 in the padding."""
    output = np.asarray(runs.output)
    gradient = np.asarray(_loss_gradient(output[:, :steps], loss, 2))
    direct = np.where(runs.keep[:, :steps, None], gradient, 0)
    if not np.any(direct):
        raise no_gradient(
            "some output",
            "at every step of every sequence",
            "The loss of a network is loss(output), the last layer's outputs (batch, time, size); "
            "beyond a sequence's length they are 0.",
        )
    more = output.shape[1] - steps
    return np.pad(direct, ((0, 0), (0, more), (0, 0))).astype(output.dtype)


_loss_gradient = eqx.filter_jit(loss_gradient)


def _reaches(network, runs, direct, ends, probes):
    """Return how far the gradient travels into the past, and into the future if it does."""
    if probes > 1:
        runs = jax.tree.map(lambda leaf: on_host(leaf).repeat(probes, axis=0), runs)
        ends = np.repeat(ends, probes)
    found = {}
    for toward in ("past", "future") if network.is_bidirectional else ("past",):
        given = _probe(network, runs, ends, toward) if direct is None else direct
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
        half = np.arange(shape[2]) < output_size(last[0].cell, runs.trajectories[-2])
        half = half if toward == "past" else ~half
    probe = unit_vectors(shape[0], shape[2], runs.output.dtype, where=half)
    direct = np.zeros(shape, runs.output.dtype)
    direct[np.arange(shape[0]), ends - 1 if toward == "past" else 0] = probe
    return direct


def _asked(network, runs, direct, steps) -> dict[str, _LinearLoss]:
    """Return the loss that each part sees: nothing for one that gets no gradient."""
    if direct is None:
        return {}
    found = batch_network_adjoint(network, runs, direct)
    losses = {}
    for name, part in found.items():
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
