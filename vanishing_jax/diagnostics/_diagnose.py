"""One network, one batch, one answer: do gradients vanish, how far do they reach, and why."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, overload

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from .._chain import JacobianChain
from .._checks import (
    STATES_EXPLODE,
    NonFiniteError,
    as_arrays,
    check_finite,
    check_step,
    num_steps,
    warn_of_float64,
)
from .._linearize import NoForwardModeError, linearize
from .._suspicions import check_equal, warn_of_suspicious_state
from .._tree import StateLayout, describe, state_layout
from .._types import Array, PyTree
from ..cells import as_cell
from ..networks import RecurrentNetwork
from ..spectra import Spectrum, log_singular_values, lyapunov_exponents
from . import _judgement
from ._activation_history import activation_history, activation_names
from ._diagnosis import Diagnosis, Effect
from ._eigenvalues import step_eigenvalues
from ._gradient_profile import GradientProfile, adjoint_profile
from ._influence import influence_map
from ._interventions import Subject, interventions
from ._lengths import check_lengths, cut, filled, first, folded, visited
from ._memory import MEMORY_LIMIT, check_memory
from ._network_diagnosis import NetworkDiagnosis
from ._notes import notes_of
from ._prediction import prediction_of
from ._stack_layers import stack_layers
from ._transport import GONE, batch_direct_gradients, by_lag, gradient_rate, transport

_SPECTRUM_RECORDS = 32

# With fewer sequences than this, each is probed by several random vectors, which are averaged.
_FEW_SEQUENCES = 4
_PROBES = 8


class _Batch(NamedTuple):
    """What to run: one row per sequence, or per probe of a few sequences."""

    state0: PyTree
    inputs: PyTree
    loss: Callable[[PyTree], Array] | None  # of the batch of states
    probes: Float[Array, "batch state"]
    lengths: Int[Array, "batch"]
    num_sequences: int
    num_probes: int  # consecutive rows of one sequence
    source: str


@overload
def diagnose(
    cell: RecurrentNetwork,
    inputs: PyTree,
    *,
    state0: PyTree | None = None,
    loss: Callable[[PyTree], Array] | None = None,
    batched: bool | None = None,
    lengths: Any = None,
    memory_limit: int = MEMORY_LIMIT,
) -> NetworkDiagnosis: ...


@overload
def diagnose(
    cell,
    inputs: PyTree,
    *,
    state0: PyTree | None = None,
    loss: Callable[[PyTree], Array] | None = None,
    batched: bool | None = None,
    lengths: Any = None,
    memory_limit: int = MEMORY_LIMIT,
) -> Diagnosis: ...


def diagnose(
    cell,
    inputs: PyTree,
    *,
    state0: PyTree | None = None,
    loss: Callable[[PyTree], Array] | None = None,
    batched: bool | None = None,
    lengths: Any = None,
    memory_limit: int = MEMORY_LIMIT,
) -> Diagnosis | NetworkDiagnosis:
    """Return whether gradients vanish or explode in `cell` on `inputs`, how far they reach, why.

    The gradient of the loss at the last step that has one is carried back through the exact
    Jacobians; its average growth per step is the *rate*, and the number of steps until it falls
    below 1e-3 of its start in the median sequence the *horizon*. The verdict compares the growth
    over the whole sequence, with its 95 % interval over the batch, to a factor of 1e-3 and 1e3:
    *vanishing* or *exploding* if the interval lies beyond, *healthy* if it lies between,
    *inconclusive* otherwise (also for fewer than 8 steps, too few sequences for an interval, a
    gradient that is exactly 0 in some sequences only, or one that dips below 1e-3 and recovers).
    For sequences of different length, "whole" is the median. Each cause is an intervention
    re-measured on the same sequences, not a rule of thumb; so is each recommendation.

    **Arguments:**

    - `cell`: anything `as_cell` accepts, or a `RecurrentNetwork`: then `state0` holds one state per
      layer, and `loss(output)` reads the last layer's outputs, (time, size) or (batch, time, size).
    - `inputs`: time-major arrays (time, ...) of one sequence, or (batch, time, ...).
    - `state0`: initial state of one sequence; default the cell's own (zeros).
    - `loss`: `loss(states) -> scalar`; states as `rollout` returns them, leading axis (time+1,
      ...), or (batch, time+1, ...) for batched inputs. Without one, a random unit vector at the
      last state of each sequence is carried back (the mean log of eight of them when there are
      fewer than four sequences).
    - `batched`: whether inputs have a batch axis; needed only where both readings fit the cell.
    - `lengths`: number of steps of each sequence, integers (batch,), where the rest of the time
      axis is padding. What it holds changes no bit of the result, NaN included; a loss is given
      states that stay, from a sequence's end on, what they were there (the outputs of a network
      are 0 in the padding). None: no padding.
    - `memory_limit`: bytes that it may need by its own estimate, 8 GiB by default.

    **Returns:** a `Diagnosis`, of a network a `NetworkDiagnosis`: print it, `.plot()`,
    `.save(folder)`, `.to_dict()`.

    **Raises:** `NonFiniteError` for NaN or infinite inputs, weights or states, with the step;
    `ValueError` for shapes that do not fit, for a cell that gives different results on equal input
    (dropout left on), and where a cell does not know its initial state; `TypeError` for no cell;
    `MemoryError`, before anything is computed, beyond the limit. docs/input.md lists more.

    **Cost:** one forward and one backward pass over the batch per intervention (about a dozen, one
    compilation), and spectra of the first sequence, O(T n^3).

    **Validity:** logs throughout: right in float32 far beyond its range. The interval is about
    the sequences given, at these weights.

    **Example:**

    >>> import jax.random as jr, vanishing_jax as vj
    >>> cell = vj.cells.VanillaCell(1, 3, activation="sigmoid", key=jr.key(0))
    >>> inputs = jr.normal(jr.key(1), (4, 20, 1))
    >>> vj.diagnose(cell, inputs).verdict
    'vanishing'
    """
    if isinstance(cell, RecurrentNetwork):
        from ._diagnose_network import diagnose_network

        options: Any = {"state0": state0, "loss": loss, "batched": batched, "lengths": lengths}
        return diagnose_network(cell, inputs, memory_limit=memory_limit, **options)
    cell = as_cell(cell)
    warn_of_float64(weights=cell, state0=state0, inputs=inputs)
    options = (loss, batched, lengths, memory_limit)
    batch, layout = _batch(cell, as_arrays(inputs, "inputs"), state0, *options)
    _check(cell, batch)
    subject = _subject(cell, batch)
    log_norm, last, trajectories = transport(subject.neutral(), *batch[:5])
    states = _time_first(trajectories.states)
    check_finite(states, "states", axis_name="step", advice=STATES_EXPLODE)
    log_transport = by_lag(log_norm, last, batch.num_probes)
    base = gradient_rate(log_transport)
    if np.isnan(base.rate):
        raise ValueError(
            "expected a loss whose gradient with respect to some state is not zero; it is zero at "
            "every state of every sequence. Check that the loss reads the states it is given."
        )
    effects, skipped = _effects(subject, batch)
    profile = _profile(cell, trajectories, batch)
    reach, ends = int(np.median(last)), np.asarray(batch.lengths)
    longest, whole = int(ends.max()), trajectories
    log_transport, trajectories = log_transport[:, : longest + 1], cut(trajectories, longest)
    verdict, reason = _judgement.verdict(base, reach)

    chain, mode = _chain(cell, first(trajectories, ends))
    spectrum, survivors, condition = _spectrum(chain)
    return Diagnosis(
        verdict=verdict,
        reason=reason,
        rate=base.rate,
        rate_error=base.rate_error,
        horizon=base.horizon,
        horizon_is_extrapolated=base.horizon_is_extrapolated,
        zero_share=base.zero_share,
        num_steps=longest,
        num_sequences=batch.num_sequences,
        state_size=chain.state_size,
        gradient_source=batch.source,
        lags=np.arange(longest + 1),
        log_transport=log_transport,
        profile=profile,
        spectrum=spectrum,
        lyapunov=lyapunov_exponents(chain),
        influence=influence_map(chain),
        eigenvalues=step_eigenvalues(chain),
        activations=activation_history(cell, trajectories, lengths=ends),
        surviving_directions=survivors,
        log10_condition=condition,
        causes=_judgement.causes(verdict, base, effects),
        recommendations=_judgement.recommendations(verdict, base, effects, reach),
        effects=effects,
        skipped=skipped,
        layers=stack_layers(cell, whole, batch, chain),
        dtype=str(layout.dtype),
        notes=notes_of(layout, batch.state0, mode),
        prediction=prediction_of(cell, batch, reach),
    )


def _batch(cell, inputs, state0, loss, batched, lengths, limit) -> tuple[_Batch, StateLayout]:
    """Return the rows to run, with the batch axis made explicit and checked; a state's layout."""
    state0 = cell.initial_state() if state0 is None else as_arrays(state0, "state0")
    layout = state_layout(state0)
    check_finite(state0, "initial state")
    if not _has_batch(cell, state0, inputs, batched):
        inputs = jax.tree.map(lambda leaf: leaf[None], inputs)
        single = loss
        loss = None if single is None else lambda s: single(jax.tree.map(lambda x: x[0], s))
    sequences, steps = jax.tree.leaves(inputs)[0].shape[:2]
    lengths = check_lengths(lengths, sequences, steps)
    inputs = filled(inputs, lengths)
    check_finite(_time_first(inputs), "inputs", axis_name="step index")
    num_probes = _PROBES if loss is None and sequences < _FEW_SEQUENCES else 1
    rows = sequences * num_probes
    check_memory(rows, steps, layout, limit)
    inputs = jax.tree.map(lambda leaf: jnp.repeat(leaf, num_probes, axis=0), inputs)
    states = jax.tree.map(lambda leaf: jnp.stack([leaf] * rows), state0)
    probes = jax.random.normal(jax.random.key(0), (rows, layout.size), jnp.float32)
    probes = (probes / jnp.linalg.norm(probes, axis=1, keepdims=True)).astype(layout.dtype)
    source = "random last-state probe" if loss is None else "loss gradient"
    ends = jnp.repeat(jnp.asarray(lengths), num_probes)
    return _Batch(states, inputs, loss, probes, ends, sequences, num_probes, source), layout


def _has_batch(cell, state0, inputs, batched):
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


def _check(cell, batch):
    """Raise for NaN weights and for a cell that is not a function of its arguments."""
    check_finite(eqx.filter(cell, eqx.is_inexact_array), "weights")
    first = jax.tree.map(lambda leaf: leaf[0], batch.state0)
    input = jax.tree.map(lambda leaf: leaf[0, 0], batch.inputs)
    check_equal(cell(first, input), cell(first, input))
    warn_of_suspicious_state(cell, first, input)


def _is_inexact(leaf):
    return jnp.issubdtype(leaf.dtype, jnp.inexact)


def _time_first(tree):
    """Return floating leaves with time before the batch, on the host: nothing to compile."""

    def swap(leaf):
        return np.moveaxis(np.asarray(leaf), 1, 0) if _is_inexact(leaf) else leaf

    return jax.tree.map(swap, tree)


def _subject(cell, batch):
    state0 = jax.tree.map(lambda leaf: leaf[:, None], batch.state0)
    floating = any(_is_inexact(leaf) for leaf in jax.tree.leaves(batch.inputs))
    return Subject(cell, *activation_names(cell, state0, batch.inputs), floating)


def _effects(subject, batch):
    """Return every intervention's effect, and why some do not apply."""
    effects, skipped = [], {}
    for intervention in interventions(subject):
        changed = intervention.apply(subject)
        if isinstance(changed, str):
            skipped[intervention.name] = changed
            continue
        log_norm, last, trajectories = transport(changed, *batch[:5])
        try:
            check_finite(trajectories.states, "states")
            rate = gradient_rate(by_lag(log_norm, last, batch.num_probes))
        except NonFiniteError:
            skipped[intervention.name] = "its states overflow or its gradient is NaN"
            continue
        if np.isnan(rate.rate):
            skipped[intervention.name] = "the loss has no gradient there"
            continue
        effects.append(Effect(*intervention[:5], *rate))
    return effects, skipped


def _chain(cell, trajectory) -> tuple[JacobianChain, Literal["fwd", "rev"]]:
    """Return the chain, and the mode in which the cell can be differentiated.

    In float64 where the cell allows it: saturation must not pass for 0.
    """
    for precision in ("float64", None):
        try:
            return linearize(cell, trajectory, precision=precision), "fwd"
        except NoForwardModeError:
            break
        except (ValueError, TypeError, MemoryError):  # a dtype of its own, or a large state
            if precision is None:
                raise
    try:
        return linearize(cell, trajectory, mode="rev", precision="float64"), "rev"
    except (ValueError, TypeError, MemoryError):
        return linearize(cell, trajectory, mode="rev"), "rev"


def _spectrum(chain: JacobianChain) -> tuple[Spectrum, dict[int, float], dict[int, float]]:
    """Return the backward spectrum over lags; survivors and log10 condition at three of them."""
    steps = chain.num_steps
    summary = sorted({min(10, steps), max(1, steps // 2), steps})
    grid = np.linspace(1, steps, min(steps, _SPECTRUM_RECORDS)).round().astype(int)
    lags = sorted({*grid.tolist(), *summary})
    spectrum = log_singular_values(chain, direction="backward", lags=lags)
    survivors, condition = {}, {}
    for lag in summary:
        count = chain.bottleneck(steps - lag, steps)
        logs = spectrum.log_singular_values[lags.index(lag), :count]
        survivors[lag] = float(np.sum(logs > np.log(GONE)))
        # The first is the largest: where it is exactly 0 so are all, and no ratio exists.
        ratio = logs[0] - logs[-1] if np.isfinite(logs[0]) else np.inf
        condition[lag] = float(ratio / np.log(10))
    return spectrum, survivors, condition


@eqx.filter_jit
def _batch_profile(cell, trajectories, loss, lengths):
    local = folded(batch_direct_gradients(loss, trajectories), lengths)
    along = visited(trajectories, lengths)
    return jax.vmap(lambda t, g: adjoint_profile(cell, t, g))(along, local)


def _profile(cell, trajectories, batch):
    """Return the gradient profile of each sequence, NaN in the padding, or None without a loss."""
    if batch.loss is None:
        return None
    profile = _batch_profile(cell, trajectories, batch.loss, batch.lengths)
    ends = np.asarray(batch.lengths)
    by_state, by_step = np.array(profile.log_norm), np.array(profile.log_parameter_norm)
    steps = np.arange(by_state.shape[1])
    by_state[steps > ends[:, None]] = np.nan
    by_step[steps[1:] > ends[:, None]] = np.nan
    return GradientProfile(by_state[:, : ends.max() + 1], by_step[:, : ends.max()])
