"""What gradients do in a network as it is initialized, on the sequences of its task."""

import math

import equinox as eqx
import jax
import numpy as np

from ..._checks import NonFiniteError, check_finite
from ..._linearize import linearize
from ..._rollout import Trajectory, rollout
from ..._types import Array
from ...cells import AbstractCell, estimate_statistics
from ...diagnostics._activation_history import activation_history
from ...spectra import leading_singular_values, log_singular_values
from .._growth import direction_growth

CONDITION_STEPS = 50

QUANTITIES = {
    "exponent": "largest exponent, natural log per step",
    "log10_gain": "log10 of the largest singular value of ds_T/ds_1",
    "log10_condition": (
        f"log10 of the condition number of the first {CONDITION_STEPS} steps' Jacobian product; "
        "inf: singular"
    ),
    "saturated": "share of saturated activations",
}


def measure_initial(cell: AbstractCell, inputs: Array, statistics_of: Array) -> dict[str, float]:
    """Return `QUANTITIES` of a cell, each averaged over sequences; NaN where states overflow.

    - `exponent`: a random direction aligns itself over the first half of the sequence and its
      growth is measured over the second.
    - `log10_gain`: of the product J_T ... J_2, from the first state that has seen an input. (With
      batch normalization J_1 is huge: at the state 0 the batch has no variance.)
    - `log10_condition`: of J_50 ... J_1, or of all steps of a shorter sequence. A singular value
      whose error bound exceeds 1 nat is told apart from 0 by no digit: the product is singular, as
      layer normalization makes it.

    **Arguments:**

    - `cell`: at initialization.
    - `inputs`: `batch time input`.
    - `statistics_of`: `batch time input`; batch normalization gets its population statistics from
      them.
    """
    cell = _with_statistics(cell, statistics_of)
    try:
        trajectories = _rollouts(cell, inputs)
        check_finite(trajectories.states, "states")  # Jacobians of a linear cell would not show it
        found = [_measure_one(cell, _of(trajectories, i)) for i in range(inputs.shape[0])]
    except NonFiniteError:
        return dict.fromkeys(QUANTITIES, math.nan)
    saturated = activation_history(cell, trajectories).saturated
    means = np.mean(found, axis=0)
    share = np.mean([np.mean(one) for one in saturated]) if saturated else 0.0
    return dict(zip(QUANTITIES, [*means.tolist(), float(share)], strict=True))


@eqx.filter_jit
def _with_statistics(cell: AbstractCell, inputs: Array) -> AbstractCell:
    return estimate_statistics(cell, inputs)


@eqx.filter_jit
def _rollouts(cell: AbstractCell, inputs: Array) -> Trajectory:
    return jax.vmap(lambda one: rollout(cell, cell.initial_state(), one))(inputs)


def _of(trajectories: Trajectory, i: int) -> Trajectory:
    return jax.tree.map(lambda leaf: leaf[i], trajectories)


def _measure_one(cell: AbstractCell, trajectory: Trajectory) -> tuple[float, float, float]:
    """Return exponent, log10 of the gain and log10 of the condition number."""
    # In float64: rounding an exactly singular Jacobian to float32 would make it regular.
    chain = linearize(cell, trajectory, precision="float64")
    steps = chain.num_steps
    gain = 0.0
    if steps > 1:
        found = leading_singular_values(chain, 1, window=(1, steps))
        gain = float(found.log_singular_values[0])
    spectrum = log_singular_values(chain, window=(0, min(CONDITION_STEPS, steps)))
    logs = spectrum.log_singular_values
    singular = np.isneginf(logs[-1]) or spectrum.error_bound[-1] > 1
    condition = math.inf if singular else float(logs[0] - logs[-1])
    exponent = largest_exponent(np.asarray(chain.jacobians))
    return exponent, gain / math.log(10), condition / math.log(10)


def largest_exponent(jacobians: np.ndarray) -> float:
    """Return the growth per step of a random direction over the second half of a chain."""
    steps, n, _ = jacobians.shape
    logs = direction_growth(jacobians, np.random.default_rng(0).normal(size=n))
    return float(np.mean(logs[steps // 2 :]))
