"""One network, one batch, one answer: do gradients vanish, how far do they reach, and why."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._chain import JacobianChain
from .._checks import NonFiniteError, as_arrays, check_finite, check_step, num_steps
from .._linearize import linearize
from .._tree import describe, state_layout
from .._types import Array, PyTree
from ..cells import as_cell
from ..spectra import Spectrum, log_singular_values, lyapunov_exponents
from ..theory import Prediction, can_predict, predict
from . import _judgement
from ._activation_history import activation_history, activation_names
from ._diagnosis import Diagnosis, Effect
from ._eigenvalues import step_eigenvalues
from ._gradient_profile import GradientProfile, adjoint_profile
from ._influence import influence_map
from ._interventions import Subject, interventions
from ._transport import GONE, batch_direct_gradients, by_lag, gradient_rate, transport

_SPECTRUM_RECORDS = 32

# With fewer sequences than this, each is probed by several random vectors, which are averaged.
_FEW_SEQUENCES = 4
_PROBES = 8

_OVERFLOW = (
    "Weights and inputs are finite, so the states themselves explode: diagnose the steps before "
    "that, scale the recurrent weights down, or compute in float64."
)


class _Batch(NamedTuple):
    """What to run: one row per sequence, or per probe of a few sequences."""

    state0: PyTree
    inputs: PyTree
    loss: Callable[[PyTree], Array] | None  # of the batch of states
    probes: Float[Array, "batch state"]
    num_sequences: int
    num_probes: int  # consecutive rows of one sequence
    source: str


def diagnose(
    cell,
    inputs: PyTree,
    *,
    state0: PyTree | None = None,
    loss: Callable[[PyTree], Array] | None = None,
    batched: bool | None = None,
) -> Diagnosis:
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

    - `cell`: anything `as_cell` accepts.
    - `inputs`: time-major arrays (time, ...) of one sequence, or (batch, time, ...).
    - `state0`: initial state of one sequence; default the cell's own (zeros).
    - `loss`: `loss(states) -> scalar`; states as `rollout` returns them, leading axis (time+1,
      ...), or (batch, time+1, ...) for batched inputs. Without one, a random unit vector at the
      last state of each sequence is carried back (the mean log of eight of them when there are
      fewer than four sequences).
    - `batched`: whether inputs have a batch axis; needed only where both readings fit the cell.

    **Returns:** a `Diagnosis`: print it, `.plot()`, `.save(folder)`, `.to_dict()`.

    **Raises:** `NonFiniteError` for NaN or infinite inputs, weights or states, with the step;
    `ValueError` for shapes that do not fit, for a cell that gives different results on equal input
    (dropout left on), and where a cell does not know its initial state; `TypeError` for no cell.

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
    cell = as_cell(cell)
    batch = _batch(cell, as_arrays(inputs, "inputs"), state0, loss, batched)
    _check(cell, batch)
    subject = _subject(cell, batch)
    log_norm, last, trajectories = transport(subject.neutral(), *batch[:4])
    check_finite(_time_first(trajectories.states), "states", axis_name="step", advice=_OVERFLOW)
    log_transport = by_lag(log_norm, last, batch.num_probes)
    base = gradient_rate(log_transport)
    if np.isnan(base.rate):
        raise ValueError(
            "expected a loss whose gradient with respect to some state is not zero; it is zero at "
            "every state of every sequence. Check that the loss reads the states it is given."
        )
    effects, skipped = _effects(subject, batch)
    reach = int(np.median(last))
    verdict, reason = _judgement.verdict(base, reach)

    chain = _chain(cell, jax.tree.map(lambda leaf: leaf[0], trajectories))
    spectrum, survivors, condition = _spectrum(chain)
    return Diagnosis(
        verdict=verdict,
        reason=reason,
        rate=base.rate,
        rate_error=base.rate_error,
        horizon=base.horizon,
        horizon_is_extrapolated=base.horizon_is_extrapolated,
        zero_share=base.zero_share,
        num_steps=chain.num_steps,
        num_sequences=batch.num_sequences,
        state_size=chain.state_size,
        gradient_source=batch.source,
        lags=np.arange(chain.num_steps + 1),
        log_transport=log_transport,
        profile=_profile(cell, trajectories, batch.loss),
        spectrum=spectrum,
        lyapunov=lyapunov_exponents(chain),
        influence=influence_map(chain),
        eigenvalues=step_eigenvalues(chain),
        activations=activation_history(cell, trajectories),
        surviving_directions=survivors,
        log10_condition=condition,
        causes=_judgement.causes(verdict, base, effects),
        recommendations=_judgement.recommendations(verdict, base, effects, reach),
        effects=effects,
        skipped=skipped,
        prediction=_prediction(cell, batch, reach),
    )


def _batch(cell, inputs, state0, loss, batched) -> _Batch:
    """Return the rows to run, with the batch axis made explicit and checked."""
    state0 = cell.initial_state() if state0 is None else as_arrays(state0, "state0")
    layout = state_layout(state0)
    if not _has_batch(cell, state0, inputs, batched):
        inputs = jax.tree.map(lambda leaf: leaf[None], inputs)
        single = loss
        loss = None if single is None else lambda s: single(jax.tree.map(lambda x: x[0], s))
    sequences = jax.tree.leaves(inputs)[0].shape[0]
    num_probes = _PROBES if loss is None and sequences < _FEW_SEQUENCES else 1
    inputs = jax.tree.map(lambda leaf: jnp.repeat(leaf, num_probes, axis=0), inputs)
    rows = sequences * num_probes
    states = jax.tree.map(lambda leaf: jnp.stack([leaf] * rows), state0)
    probes = jax.random.normal(jax.random.key(0), (rows, layout.size), jnp.float32)
    probes = (probes / jnp.linalg.norm(probes, axis=1, keepdims=True)).astype(layout.dtype)
    source = "random last-state probe" if loss is None else "loss gradient"
    return _Batch(states, inputs, loss, probes, sequences, num_probes, source)


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
        if str(as_single) == str(as_batch):  # nothing to do with the shape of the inputs
            raise as_single
        raise ValueError(
            f"expected inputs (time, ...) or (batch, time, ...) whose steps fit the cell; got "
            f"{describe(inputs)}.\nAs one sequence: {as_single}\nAs a batch: {as_batch}"
        ) from as_single
    return as_single is not None


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
    """Raise for NaN inputs or weights and for a cell that is not a function of its arguments."""
    check_finite(_time_first(batch.inputs), "inputs", axis_name="step index")
    check_finite(eqx.filter(cell, eqx.is_inexact_array), "weights")
    first = jax.tree.map(lambda leaf: leaf[0], batch.state0)
    input = jax.tree.map(lambda leaf: leaf[0, 0], batch.inputs)
    once, again = (jax.tree.leaves(cell(first, input)) for _ in range(2))
    for a, b in zip(once, again, strict=True):
        if _is_inexact(a) and not np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True):
            raise ValueError(
                "expected a deterministic cell; two calls on equal state and input differ. Switch "
                "dropout (or other noise) off, or pass its key through the inputs."
            )


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
        log_norm, last, trajectories = transport(changed, *batch[:4])
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


def _prediction(cell, batch, reach) -> Prediction | None:
    """Return what theory says of the rate of the first sequences, or None if it knows no theory."""
    if reach == 0 or not can_predict(cell):
        return None
    first = slice(None, None, batch.num_probes)
    return predict(
        cell,
        np.asarray(batch.inputs)[first, :reach],
        state0=np.asarray(batch.state0)[0],
        num_sequences=batch.num_sequences,
    )


def _chain(cell, trajectory) -> JacobianChain:
    """Return the chain in float64 where the cell allows it: saturation must not pass for 0."""
    try:
        return linearize(cell, trajectory, precision="float64")
    except (ValueError, TypeError, MemoryError):  # a cell with a dtype of its own, or a large state
        return linearize(cell, trajectory)


def _spectrum(chain: JacobianChain) -> tuple[Spectrum, dict[int, float], dict[int, float]]:
    """Return the backward spectrum over lags; survivors and log10 condition at three of them."""
    steps = chain.num_steps
    summary = sorted({min(10, steps), max(1, steps // 2), steps})
    grid = np.linspace(1, steps, min(steps, _SPECTRUM_RECORDS)).round().astype(int)
    lags = sorted({*grid.tolist(), *summary})
    spectrum = log_singular_values(chain, direction="backward", lags=lags)
    survivors, condition = {}, {}
    for lag in summary:
        logs = spectrum.log_singular_values[lags.index(lag)]
        survivors[lag] = float(np.sum(logs > np.log(GONE)))
        # The first is the largest: where it is exactly 0 so are all, and no ratio exists.
        ratio = logs[0] - logs[-1] if np.isfinite(logs[0]) else np.inf
        condition[lag] = float(ratio / np.log(10))
    return spectrum, survivors, condition


@eqx.filter_jit
def _batch_profile(cell, trajectories, loss):
    local = batch_direct_gradients(loss, trajectories)
    return jax.vmap(lambda t, g: adjoint_profile(cell, t, g))(trajectories, local)


def _profile(cell, trajectories, loss):
    """Return the gradient profile of each sequence, or None without a loss."""
    if loss is None:
        return None
    profile = _batch_profile(cell, trajectories, loss)
    return GradientProfile(np.asarray(profile.log_norm), np.asarray(profile.log_parameter_norm))
