"""The diagnosis of one cell on one batch; what is checked before; the effects of remedies."""

from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._activations import stable_derivatives
from .._cell_checks import check_deterministic, warn_of_suspicious_state
from .._checks import (
    STATES_EXPLODE,
    NonFiniteError,
    as_arrays,
    check_finite,
    warn_of_float64,
)
from .._linearization import dense_bytes, gib
from .._tree import StateLayout, state_layout
from .._types import Array, PyTree
from ..cells import AbstractCell, as_cell
from ._activation_history import activation_names
from ._diagnosis import Diagnosis
from ._effects import measure_effects
from ._gradient_by_lag import Batch, Run, gradient_norms, make_batch, run
from ._gradient_rate import GradientRate, by_lag, gradient_rate
from ._inputs import as_sequences, no_gradient, on_host, probes_of_each
from ._interventions import IntervenedCell, Target, interventions, same_states
from ._judgement import judged
from ._kept import Kept
from ._layer_gradients import gradients_in_layers, layer_components

# What is alive at once: arrays like the states of all rows, and matrices of the state's size.
_LIKE_STATES, _MATRICES = 5, 20


def diagnose_cell(
    cell: Any,
    inputs: PyTree,
    *,
    state0: PyTree | None,
    loss: Callable[[PyTree], Array] | None,
    batched: bool | None,
    lengths: Any,
    memory_limit: int,
) -> Diagnosis:
    """Return the diagnosis of one cell: the arguments and the result are those of `diagnose`."""
    cell = as_cell(cell)
    warn_of_float64(weights=cell, state0=state0, inputs=inputs)
    state0 = cell.initial_state() if state0 is None else as_arrays(state0, "state0")
    layout = state_layout(state0)
    check_finite(state0, "initial state")
    given = as_sequences(cell, state0, inputs, loss=loss, batched=batched, lengths=lengths)
    num_probes = probes_of_each(given.loss, len(given.lengths))
    _check_memory(given.inputs, num_probes, layout, memory_limit)
    batch = make_batch(state0, given, num_probes)
    _check(cell, batch)
    mode = _mode(cell, batch, layout)
    target = _target(cell, batch)
    neutral = target.neutral()
    base = _run(neutral, batch)
    # The gradient in each layer of a stack costs nothing more: it is a part of the same vector.
    layers = layer_components(cell, layout)
    groups = tuple(layers.values())
    norms, last = gradient_norms(neutral, batch, base.states, groups)
    log_by_lag = by_lag(norms[..., 0], last, num_probes)
    rate = gradient_rate(log_by_lag)
    if np.isnan(rate.rate):
        raise no_gradient(
            "some state",
            "at every state of every sequence",
            "Check that the loss reads the states it is given.",
        )

    def measure(changed: IntervenedCell) -> GradientRate:
        # Where only derivatives differ the states are known already.
        found = base if same_states(changed, neutral) else run(changed, batch)
        if not found.is_finite:
            raise NonFiniteError("states")
        norms, last = gradient_norms(changed, batch, found.states, groups)  # the same program
        return gradient_rate(by_lag(norms[..., 0], last, num_probes))

    effects, skipped = measure_effects(interventions(target), target, measure, "states")
    reach, longest = int(np.median(last)), int(batch.ends.max())
    gradients = None
    if layers:
        gradients = gradients_in_layers(tuple(layers), norms[..., 1:], last, num_probes, longest)
    return Diagnosis(
        **judged(rate, effects, reach),
        num_steps=longest,
        num_sequences=batch.num_sequences,
        state_size=layout.size,
        gradient_source="random last-state probe" if loss is None else "loss gradient",
        lags=np.arange(longest + 1),
        log_gradient_by_lag=log_by_lag[:, : longest + 1],
        skipped=skipped,
        dtype=str(layout.dtype),
        notes=_notes(layout, state0, mode),
        kept=Kept(cell, batch, batch.first(base.states), layout, mode, reach, gradients),
    )


def _check_memory(inputs: PyTree, num_probes: int, layout: StateLayout, limit: int) -> None:
    """Raise if the run is estimated to need more memory than the limit."""
    sequences, steps = jax.tree.leaves(inputs)[0].shape[:2]
    rows = sequences * num_probes
    states = _LIKE_STATES * rows * (steps + 1) * layout.size * layout.dtype.itemsize
    matrices = _MATRICES * dense_bytes(1, layout.size, np.float64)
    if states + matrices > limit:
        raise MemoryError(
            f"diagnose needs about {gib(states + matrices)}: {gib(states)} for the states of "
            f"{rows} rows of {steps} steps, {gib(matrices)} for matrices of size {layout.size}; "
            f"memory_limit is {gib(limit)}. Pass fewer or shorter sequences, or raise "
            "memory_limit; for a large state, gradient_profile, and spectra.leading_singular_values"
            " of linearize(..., dense=False), need no matrix."
        )


def _first_step(batch):
    """Return the initial state and the first input of the first sequence."""
    return batch.state0, jax.tree.map(lambda leaf: on_host(leaf)[0, 0], batch.inputs)


def _check(cell, batch):
    """Raise for NaN weights and for a cell that is not a function of its arguments."""
    check_finite(eqx.filter(cell, eqx.is_inexact_array), "weights")
    check_deterministic(cell, *_first_step(batch))
    warn_of_suspicious_state(cell, *_first_step(batch))


def _mode(cell: AbstractCell, batch: Batch, layout: StateLayout) -> Literal["fwd", "rev"]:
    """Return the mode in which the cell can be differentiated; nothing is computed."""

    def pushed(state, input):
        def step(vector):
            return layout.ravel(cell(layout.unravel(vector, state), input))

        vector = layout.ravel(state)
        # Under vmap, or a custom_vjp would be found out only when the derivative is compiled.
        push = jax.linearize(stable_derivatives(step), vector)[1]
        return jax.vmap(push)(vector[None])

    try:
        jax.eval_shape(pushed, *_first_step(batch))
    except TypeError as error:
        if "custom_vjp" not in str(error):
            raise
        return "rev"
    return "fwd"


def _notes(layout: StateLayout, state0: PyTree, mode: str) -> list[str]:
    """Return what else there is to know of this measurement, in sentences."""
    notes = []
    if mode == "rev":
        notes.append(
            "the cell has a custom_vjp: Jacobians are what its own rule sends back, which training "
            "sees and which need not be the derivative of the step."
        )
    if any(jnp.iscomplexobj(leaf) for leaf in jax.tree.leaves(state0)):
        notes.append("the state is complex: its real and imaginary parts count as components.")
    if layout.left_out:
        notes.append(f"without a derivative, passed through: {', '.join(layout.left_out)}.")
    return notes


def _target(cell, batch):
    state, input = _first_step(batch)
    inputs = jax.tree.leaves(batch.inputs)
    floating = any(jnp.issubdtype(leaf.dtype, jnp.inexact) for leaf in inputs)
    return Target(cell, *activation_names(cell, state, input), floating)


def _run(cell: IntervenedCell, batch: Batch) -> Run:
    """Return the run of the network as it is; raise where its states overflow."""
    found = run(cell, batch)
    if not found.is_finite:
        runs = batch.trajectories(found.states)
        states = jax.tree.map(lambda leaf: np.moveaxis(leaf, 1, 0), runs.states)
        check_finite(states, "states", axis_name="step", advice=STATES_EXPLODE)
    return found
