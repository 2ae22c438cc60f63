"""The gradient of a loss with respect to every state, in logs, from one backward pass."""

import functools as ft
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import equinox as eqx
import jax
import numpy as np
from jax.core import Tracer
from jaxtyping import Float

from .._cell_checks import check_deterministic
from .._checks import NonFiniteError, check_finite_run
from .._rollout import Trajectory, rollout
from .._tree import state_layout
from .._types import Array, ArrayLike, PyTree
from ..cells import AbstractCell, as_cell
from ..cells._clipped_gradient import rescaled_clips
from ._back_propagate import Scaled, back_propagate, log_norm, loss_gradient, pull_back, scaled


class GradientProfile(eqx.Module):
    """How large the gradient of the loss is at each step.

    - `log_norm`: log ||dL/ds_t|| for t = 0..T (natural log, Euclidean norm over the whole state),
      shape (time+1,); -inf where the gradient is exactly zero.
    - `log_parameter_norm`: log of the norm of step t's own contribution to dL/dtheta, t = 1..T,
      shape (time,): the contributions sum to the gradient of the cell's parameters.
    - `axis`: what t counts, `"time"` steps or a `"layer"`, each with parameters of its own.
    """

    log_norm: Float[ArrayLike, "*batch time_plus_one"]
    log_parameter_norm: Float[ArrayLike, "*batch time"]
    axis: str = eqx.field(static=True, default="time")

    def __repr__(self) -> str:
        if isinstance(self.log_norm, Tracer) or self.log_norm.ndim != 1:
            return f"GradientProfile(log_norm={self.log_norm.shape})"
        first, last = float(self.log_norm[0]), float(self.log_norm[-1])
        steps, s, T = ("layers", "x", "L") if self.axis == "layer" else ("steps", "s", "T")
        return (
            f"GradientProfile({len(self.log_norm) - 1} {steps}: log ||dL/d{s}_0|| = {first:.6g}, "
            f"log ||dL/d{s}_{T}|| = {last:.6g})"
        )


P = ParamSpec("P")
R = TypeVar("R")


def loss_first_deprecated(function: Callable[P, R]) -> Callable[P, R]:
    """Let `function(*data, loss=loss)` be called in the older order, too: `function(loss, *data)`.

    The orders are told apart by the first argument: a loss is a function that is not a cell.
    """

    @ft.wraps(function)
    def either(*args: Any, **kwargs: Any) -> R:
        if "loss" not in kwargs and args and callable(args[0]) and not _is_cell(args[0]):
            warnings.warn(
                f"{function.__name__}(loss, ...) is deprecated; write "
                f"{function.__name__}(..., loss=loss), the data first.",
                DeprecationWarning,
                stacklevel=2,
            )
            kwargs["loss"], args = args[0], args[1:]
        return function(*args, **kwargs)

    return either


def _is_cell(candidate: Any) -> bool:
    try:
        as_cell(candidate)
    except TypeError:
        return False
    return True


@loss_first_deprecated
def gradient_profile(
    cell: Any, state0: PyTree, inputs: PyTree, *, loss: Callable[[PyTree], Float[Array, ""]]
) -> GradientProfile:
    """Return log ||dL/ds_t|| for every t: what back-propagation through time really delivers.

    dL/ds_t is the total derivative: s_t acts on the loss directly and through every later state,
    dL/ds_t = dl/ds_t + J_{t+1}^T dL/ds_{t+1}. The backward pass carries the gradient as a vector of
    moderate size and an integer exponent, so that it is right where plain float32 gives 0 or inf.
    A profile that falls by orders of magnitude from right to left means that early steps get no
    corrective signal; with a loss at every step the direct terms hide that, since each step
    learns from its neighbors: look at `diagnose`, which carries only the last step's gradient back.
    It is the cell's own reverse rule that is followed: a `ClippedGradientCell` clips here what it
    clips in training.
    Differentiable and jittable; batches by `jax.vmap`.

    **Arguments:**

    - `cell`, `state0`, `inputs`: as for `rollout`.
    - `loss`: `loss(states) -> scalar`, where `states` are `Trajectory.states` (leading axis T+1,
      states[0] is `state0`): a last-step loss reads `states[-1]`, a per-step loss all of them.

    **Returns:** a `GradientProfile`; natural logs.

    **Raises:** as `rollout`; `ValueError` when `loss` does not return one real number or the cell
    draws its own noise; `NonFiniteError` for NaN or infinite inputs, weights, states or gradient.
    Under `jit` only what shapes and types show.

    **Cost:** one forward and one backward pass; O(T) states of memory.

    **Validity:** in float32 the relative error of the log is below 1e-6 (1e-4 nats at -100; tested
    to -2800 and +2800 in `tests/diagnostics/test_gradient_profile.py`), provided that the loss's
    direct derivatives dl/ds_t are themselves representable.

    **Example:**

    >>> import jax.numpy as jnp, vanishing_jax as vj
    >>> halve = vj.FunctionCell(lambda w, h, x: w * h + x, jnp.array(0.5))
    >>> last = lambda states: states[-1].sum()
    >>> profile = vj.gradient_profile(halve, jnp.ones(1), jnp.zeros((1000, 1)), loss=last)
    >>> round(float(profile.log_norm[0]), 1)  # 1000 log 0.5: plain float32 gives 0
    -693.1
    """
    cell = as_cell(cell)
    trajectory = rollout(cell, state0, inputs)
    states, inputs = trajectory.states, trajectory.inputs
    check_deterministic(cell, *jax.tree.map(lambda leaf: leaf[0], (states, inputs)))
    check_finite_run(cell, states, inputs)
    local = loss_gradient(trajectory.states, loss, 1)
    profile = adjoint_profile(cell, trajectory, local)
    if not isinstance(profile.log_norm, Tracer) and np.isnan(profile.log_norm).any():
        step = int(np.flatnonzero(np.isnan(profile.log_norm))[-1])
        raise NonFiniteError(
            f"expected a finite gradient; dL/ds_t is NaN from t = {step} backward. Check the "
            "weights, the inputs, the states there and the loss for NaN or infinite values."
        )
    return profile


@eqx.filter_jit
def adjoint_profile(
    cell: AbstractCell,
    trajectory: Trajectory,
    local: Float[Array, "time_plus_one state"],
    *,
    with_parameters: bool = True,
) -> GradientProfile:
    """Return the profile of the gradient that `local`, the direct derivatives, sends backward.

    Without parameters their contributions are not computed (and read -inf).
    """
    wanted = (eqx.is_inexact_array if with_parameters else none_of), none_of
    log_norm, by_step, _ = back_through_time(cell, trajectory, scaled(local), wanted)
    return GradientProfile(log_norm, by_step)


def none_of(leaf: Any) -> bool:
    """Ask for the gradient of no leaf: for `wanted` of `back_through_time`."""
    return False


def back_through_time(
    cell: AbstractCell,
    trajectory: Trajectory,
    direct: Scaled,
    wanted: tuple[Callable[[Any], bool], Callable[[Any], bool]],
) -> tuple[Float[Array, "time_plus_one"], Float[Array, "time"], Scaled]:
    """Return log norms of the gradients of states and of each step's parameters, and of inputs.

    `direct` holds the direct derivatives; `wanted` says by which leaves of the cell and of the
    inputs gradients are asked for. Those of the inputs are a pytree of vectors with an exponent.
    """
    layout = state_layout(jax.tree.map(lambda leaf: leaf[0], trajectory.states))
    before = jax.tree.map(lambda leaf: leaf[:-1], trajectory.states)
    parameters, static = eqx.partition(cell, wanted[0])

    def pull(gradient: Scaled, point: tuple[PyTree, PyTree]):
        state, input = point
        input, rest = eqx.partition(input, wanted[1])

        def step(vector, parameters, input):
            # A clip compares with its threshold what training sees: the vector with its exponent.
            changed = rescaled_clips(eqx.combine(parameters, static), gradient.exponents)
            return layout.ravel(changed(layout.unravel(vector, state), eqx.combine(input, rest)))

        arrived, (own, to_input) = pull_back(step, layout.ravel(state), gradient, parameters, input)
        size = log_norm(own, gradient.exponents).astype(layout.dtype)
        return arrived, (size, Scaled(to_input, gradient.exponents))

    norms, (by_step, to_inputs) = back_propagate(pull, (before, trajectory.inputs), direct)
    return norms, by_step, to_inputs
