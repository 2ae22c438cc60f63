"""How far back the gradient at the end of a sequence travels, and at what rate it shrinks."""

import math
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from .._checks import NonFiniteError, check_loss
from .._rollout import Trajectory, rollout
from .._tree import state_layout
from .._types import Array, ArrayLike, PyTree
from ..cells import AbstractCell
from ..cells._clipped_gradient import without_clips
from ._gradient_profile import adjoint_profile
from ._lengths import folded, held, visited

# The gradient counts as gone once it is below this share of its start.
GONE = 1e-3

# A horizon further away than this many times the data is not worth extrapolating: none is in sight.
_FURTHEST = 100

# Fewer samples than this say nothing about their spread.
_MIN_SAMPLES = 4


class GradientRate(NamedTuple):
    """Average growth of the back-propagated gradient, with its uncertainty.

    - `rate`: nats per step, mean over the sequences whose gradient does not become exactly 0; -inf
      when that happens in most of them.
    - `rate_error`: half width of the 95 % interval; NaN when there is too little data for one.
    - `horizon`: steps until the gradient is below 1e-3 of its start, in the median sequence; inf if
      it never will be.
    - `horizon_is_extrapolated`: whether the horizon lies beyond the data.
    - `zero_share`: share of sequences whose gradient becomes exactly 0.
    """

    rate: float
    rate_error: float
    horizon: float
    horizon_is_extrapolated: bool
    zero_share: float


@eqx.filter_jit
def transport(
    cell: AbstractCell,
    state0: PyTree,
    inputs: PyTree,
    loss: Callable[[PyTree], Array] | None,
    probes: Float[Array, "batch state"],
    lengths: Int[Array, "batch"] | None = None,
) -> tuple[Float[ArrayLike, "batch moment"], Int[Array, "batch"], Trajectory]:
    """Return log ||gradient at s_t|| carried back from the last step taught, that step, the states.

    Only the direct gradient at the last step with a non-zero one travels (or the probe at s_T when
    there is no loss), so that the direct gradients of earlier steps do not hide its decay.
    `state0` and `inputs` have a batch axis; `loss` reads the batch of states. Sequence i has
    `lengths[i]` steps; from there on the states it left are held.
    """
    if loss is None:
        cell = without_clips(cell)  # the length of a probe means nothing beside a threshold
    trajectories = jax.vmap(lambda s, x: rollout(cell, s, x))(state0, inputs)
    steps = jax.tree.leaves(inputs)[0].shape[1]
    if lengths is None:
        lengths = jnp.full(probes.shape[0], steps, jnp.int32)
    trajectories = Trajectory(held(trajectories.states, lengths), trajectories.inputs)
    local, last = last_direct(loss, trajectories, probes, lengths)

    def profile(trajectory, local):
        return adjoint_profile(cell, trajectory, local, with_parameters=False).log_norm

    return jax.vmap(profile)(visited(trajectories, lengths), local), last, trajectories


def last_direct(
    loss: Callable[[PyTree], Array] | None,
    trajectories: Trajectory,
    probes: Float[Array, "batch state"],
    lengths: Int[Array, "batch"],
) -> tuple[Float[Array, "batch moment state"], Int[Array, "batch"]]:
    """Return the direct gradient at the last step taught of each row, 0 elsewhere, and the step."""
    if loss is None:
        moments = jax.tree.leaves(trajectories.states)[0].shape[1]
        local = jnp.zeros((probes.shape[0], moments, probes.shape[1]), probes.dtype)
        local = jax.vmap(lambda row, end, probe: row.at[end].set(probe))(local, lengths, probes)
    else:
        local = folded(batch_direct_gradients(loss, trajectories), lengths)
    taught = jnp.any(local != 0, axis=2)
    last = taught.shape[1] - 1 - jnp.argmax(taught[:, ::-1], axis=1)
    only_last = jnp.arange(taught.shape[1])[None, :] == last[:, None]
    return jnp.where(only_last[:, :, None], local, 0), last


def batch_direct_gradients(loss, trajectories: Trajectory) -> Float[Array, "batch moment state"]:
    """Return dl/ds_t for every sequence, from a loss of all states (batch, time+1, ...)."""
    # The batch axis takes the place of time and time that of a state axis: one gradient for all.
    states = trajectories.states
    check_loss(loss, states)
    layout = state_layout(jax.tree.map(lambda leaf: leaf[0, 0], states))
    vectors = jax.vmap(jax.vmap(layout.ravel))(states)
    back = jax.vmap(jax.vmap(layout.unravel))
    return jax.grad(lambda v: loss(back(v, states)))(vectors)


def by_lag(log_norm: ArrayLike, last: ArrayLike, num_probes: int = 1) -> np.ndarray:
    """Return log norms relative to the last taught step against the lag behind it.

    NaN where there is no such step: beyond s_0, and for a sequence without any gradient. The
    `num_probes` consecutive rows of one sequence are averaged: they are no independent samples.
    """
    log_norm = np.asarray(log_norm, np.float64)
    if np.isnan(log_norm).any():
        row, moment = np.argwhere(np.isnan(log_norm))[-1]
        raise NonFiniteError(
            f"expected finite gradients; sequence {row // num_probes} has a NaN at t = {moment}. "
            "Check the loss and the derivatives of the cell there (sqrt or log at 0, 0/0)."
        )
    aligned = np.full_like(log_norm, np.nan)
    for row, (values, end) in enumerate(zip(log_norm, np.asarray(last), strict=True)):
        if np.isfinite(values[end]):
            aligned[row, : end + 1] = values[end::-1] - values[end]
    rows, moments = log_norm.shape
    return aligned.reshape(rows // num_probes, num_probes, moments).mean(axis=1)


def gradient_rate(log_transport: Float[np.ndarray, "batch lag"]) -> GradientRate:
    """Return rate, 95 % interval and horizon of gradients given against the lag.

    The rate of a sequence is its whole change over its whole lag. The interval is Student's over
    the sequences; with fewer than four of them, over blocks of at least four steps of each.
    Sequences without a gradient are left out; without any, all is NaN.
    """
    log_transport = log_transport[~np.isnan(log_transport[:, 0])]
    if len(log_transport) == 0:
        return GradientRate(math.nan, math.nan, math.nan, False, 0.0)
    reach = np.sum(~np.isnan(log_transport), axis=1) - 1
    ends = log_transport[np.arange(len(reach)), reach]
    zero = np.isneginf(ends)
    share = float(np.mean(zero))
    if share > 0.5:
        return GradientRate(-math.inf, math.nan, *_horizon(log_transport, -math.inf, 0.0), share)
    rates = ends[~zero] / np.maximum(reach[~zero], 1)
    rate = float(np.mean(rates))
    if len(rates) < _MIN_SAMPLES:
        error = _half_width(_block_rates(log_transport[~zero], reach[~zero]))
    else:
        error = _half_width(rates)
    return GradientRate(rate, error, *_horizon(log_transport, rate, error), share)


def _block_rates(log_transport, reach):
    """Return the rates over up to ten consecutive blocks of lags of each sequence."""
    rates = []
    for row, end in zip(log_transport, reach, strict=True):
        edges = np.linspace(0, end, min(10, max(1, end // 4)) + 1).astype(int)
        rates.append(np.diff(row[edges]) / np.diff(edges))
    return np.concatenate(rates)


def _half_width(samples):
    if len(samples) < _MIN_SAMPLES or not np.isfinite(samples).all():
        return math.nan
    from scipy.special import stdtrit  # slow to import

    quantile = stdtrit(len(samples) - 1, 0.975)
    return float(quantile * np.std(samples, ddof=1) / math.sqrt(len(samples)))


def _horizon(log_transport, rate, error):
    """Return the median sequence's first lag below 1e-3, else the rate's extrapolation."""
    gone = log_transport <= math.log(GONE)  # False for NaN
    first = np.where(gone.any(axis=1), gone.argmax(axis=1), np.inf)
    reached = float(np.quantile(first, 0.5, method="higher"))
    if math.isfinite(reached):
        return reached, False
    if math.isfinite(error) and rate + error < 0:
        horizon = math.log(GONE) / rate
        if horizon <= _FURTHEST * (log_transport.shape[1] - 1):
            return horizon, True
    return math.inf, True
