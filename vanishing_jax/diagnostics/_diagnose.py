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
    check_step,
    num_steps,
    warn_of_float64,
)
from .._linearization import dense_bytes, gib
from .._tree import StateLayout, describe, state_layout
from .._types import Array, PyTree
from ..cells import AbstractCell, as_cell
from . import _judgement
from ._activation_history import activation_names
from ._diagnosis import Diagnosis
from ._effects import measure_effects
from ._gradient_by_lag import Batch, Run, gradient_norms, make_batch, on_host, run
from ._gradient_rate import GradientRate, by_lag, gradient_rate
from ._interventions import IntervenedCell, Target, interventions, same_states
from ._kept import Kept
from ._lengths import check_lengths, first
from ._stack_layers import gradients_in_layers, layer_components

# What is alive at once: arrays like the states of all rows, and matrices of the state's size.
_LIKE_STATES, _MATRICES = 5, 20

# With fewer sequences than this, each is probed by several random vectors, which are averaged.
FEW_SEQUENCES = 4
PROBES = 8


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
    options = loss, batched, lengths, memory_limit
    batch, layout = _batch(cell, as_arrays(inputs, "inputs"), state0, *options)
    _check(cell, batch)
    mode = _mode(cell, batch, layout)
    target = _target(cell, batch)
    base = _run(target.neutral(), batch)
    layers = layer_components(cell, layout)
    groups = tuple(layers.values())
    log_norm, last = gradient_norms(target.neutral(), batch, base.states, groups)
    log_by_lag = by_lag(log_norm[..., 0], last, batch.num_probes)
    rate = gradient_rate(log_by_lag)
    if np.isnan(rate.rate):
        raise ValueError(
            "expected a loss whose gradient with respect to some state is not zero; it is zero at "
            "every state of every sequence. Check that the loss reads the states it is given."
        )
    neutral = target.neutral()

    def measure(changed: IntervenedCell) -> GradientRate:
        # Where only derivatives differ the states are known already.
        found = base if same_states(changed, neutral) else run(changed, batch)
        if not found.is_finite:
            raise NonFiniteError("states")
        norms, last = gradient_norms(changed, batch, found.states, groups)
        return gradient_rate(by_lag(norms[..., 0], last, batch.num_probes))

    effects, skipped = measure_effects(interventions(target), target, measure, "states")
    reach, longest = int(np.median(last)), int(batch.ends.max())
    verdict, reason = _judgement.verdict(rate, reach)
    gradients = None
    if layers:
        gradients = gradients_in_layers(
            tuple(layers), log_norm[..., 1:], last, batch.num_probes, longest
        )
    activity = tuple(zip(target.names, *map(np.ndarray.tolist, base.activity), strict=True))
    own = first(batch.trajectories(base.states, 1), batch.ends)
    return Diagnosis(
        verdict=verdict,
        reason=reason,
        gradient_rate=rate,
        num_steps=longest,
        num_sequences=batch.num_sequences,
        state_size=layout.size,
        gradient_source="random last-state probe" if batch.loss is None else "loss gradient",
        lags=np.arange(longest + 1),
        log_gradient_by_lag=log_by_lag[:, : longest + 1],
        causes=_judgement.causes(verdict, rate, effects),
        recommendations=_judgement.recommendations(verdict, rate, effects, reach),
        effects=effects,
        skipped=skipped,
        dtype=str(layout.dtype),
        notes=_notes(layout, batch.state0, mode),
        kept=Kept(cell, batch, own, layout, mode, reach, gradients, activity),
    )


class OfOne(eqx.Module):
    """The loss of a batch of one sequence. No lambda: equal losses are one compiled program."""

    loss: Callable[[PyTree], Array]

    def __call__(self, states: PyTree) -> Array:
        """Return the loss of the only sequence."""
        return self.loss(jax.tree.map(lambda leaf: leaf[0], states))


def _batch(cell, inputs, state0, loss, batched, lengths, limit) -> tuple[Batch, StateLayout]:
    """Return the rows to run, with the batch axis made explicit and checked; a state's layout."""
    state0 = cell.initial_state() if state0 is None else as_arrays(state0, "state0")
    layout = state_layout(state0)
    check_finite(state0, "initial state")
    inputs = jax.tree.map(on_host, inputs)
    if not has_batch(cell, state0, inputs, batched):
        inputs = jax.tree.map(lambda leaf: leaf[None], inputs)
        loss = None if loss is None else OfOne(loss)
    sequences, steps = jax.tree.leaves(inputs)[0].shape[:2]
    lengths = check_lengths(lengths, sequences, steps)
    check_inputs(inputs, lengths)
    num_probes = PROBES if loss is None and sequences < FEW_SEQUENCES else 1
    _check_memory(sequences * num_probes, steps, layout, limit)
    return make_batch(state0, inputs, loss, lengths, num_probes), layout


def check_inputs(inputs: PyTree, lengths: np.ndarray) -> None:
    """Raise for NaN or infinite inputs (batch, time, ...) within the sequences."""

    def time_first(leaf):
        if not _is_inexact(leaf):
            return leaf
        within = np.arange(leaf.shape[1]) < lengths[:, None]
        inside = within.reshape(*within.shape, *[1] * (leaf.ndim - 2))
        return np.moveaxis(np.where(inside, leaf, np.zeros((), leaf.dtype)), 1, 0)

    check_finite(jax.tree.map(time_first, inputs), "inputs", axis_name="step index")


def _check_memory(rows: int, steps: int, layout: StateLayout, limit: int) -> None:
    """Raise if the run is estimated to need more memory than the limit."""
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


def has_batch(cell: AbstractCell, state0: PyTree, inputs: PyTree, batched: bool | None) -> bool:
    """Say whether inputs are (batch, time, ...): try both readings on the cell, compute nothing."""
    num_steps(inputs)
    if batched is not None:
        problem = _misfit(cell, state0, inputs, 2 if batched else 1)
        if problem is not None:
            raise problem
        return batched
    as_single, as_batch = (_misfit(cell, state0, inputs, axes) for axes in (1, 2))
    if as_single is None and as_batch is None:
        raise ValueError(
            f"inputs {describe(inputs)} fit the cell as (time, ...) and as (batch, time, ...). "
            "Say which: diagnose(..., batched=False) or batched=True."
        )
    if as_single is not None and as_batch is not None:
        if _reason(as_single) == _reason(as_batch):  # nothing to do with the inputs' shape
            raise as_single
        raise ValueError(
            f"expected inputs (time, ...) or (batch, time, ...) whose steps fit the cell; got "
            f"{describe(inputs)}.\nAs one sequence: {as_single}\nAs a batch: {as_batch}"
        ) from as_single
    return as_single is not None


def _reason(error: Exception) -> str:
    return str(error.__cause__ or error)


def _misfit(cell, state0, inputs, leading_axes):
    """Return the error of taking the first `leading_axes` axes off the inputs, or None."""
    for leaf in jax.tree.leaves(inputs):
        if leaf.ndim < leading_axes:
            return ValueError(f"an input of shape {leaf.shape} has no axes (batch, time, ...).")
        if 0 in leaf.shape[:leading_axes]:
            return ValueError(f"an input of shape {leaf.shape} has no sequence or no step.")

    def one_step(leaf):
        return jax.ShapeDtypeStruct(leaf.shape[leading_axes:], leaf.dtype)

    try:
        check_step(cell, state0, jax.tree.map(one_step, inputs))
    except Exception as error:  # a user's cell may raise anything on an input of the wrong rank
        return error
    return None


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


def _is_inexact(leaf):
    return jnp.issubdtype(leaf.dtype, jnp.inexact)


def _target(cell, batch):
    state, input = _first_step(batch)
    floating = any(_is_inexact(leaf) for leaf in jax.tree.leaves(batch.inputs))
    return Target(cell, *activation_names(cell, state, input), floating)


def _run(cell: IntervenedCell, batch: Batch) -> Run:
    """Return the run of the network as it is; raise where its states overflow."""
    found = run(cell, batch)
    if not found.is_finite:
        runs = batch.trajectories(found.states)
        states = jax.tree.map(lambda leaf: np.moveaxis(leaf, 1, 0), runs.states)
        check_finite(states, "states", axis_name="step", advice=STATES_EXPLODE)
    return found
