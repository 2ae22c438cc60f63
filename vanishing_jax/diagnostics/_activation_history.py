"""What the nonlinearities of a cell do over time: saturation and gates, for any cell."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from .._activations import activation_kinds, record_activations
from .._rollout import Trajectory
from .._types import ArrayLike, PyTree
from ..cells import AbstractCell

_BINS = 40
_RANGE = {"tanh": (-1.0, 1.0), "sigmoid": (0.0, 1.0)}
_VALUE = {"tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid, "relu": jax.nn.relu}

# A unit counts as saturated when its derivative is below this share of the largest one.
SATURATED_BELOW = 0.1


class ActivationHistory(eqx.Module):
    """Statistics of every activation of a cell over a batch of trajectories.

    One entry per activation, in the order in which a step evaluates them:

    - `names`: e.g. `"forget gate"`, `"tanh 1"`; `kinds`: `"tanh"`, `"sigmoid"` or `"relu"`.
    - `is_gate`: whether it is a sigmoid that the cell names as a gate.
    - `mean`: mean activation value per step, over batch and units, shape (time,).
    - `saturated`: share of (batch, unit) whose derivative is below 10 % of its maximum (ReLU: 0),
      shape (time,).
    - `saturated_by_unit`: the same share per unit, over batch and time, shape (hidden,).
    - `histogram`: share of values per bin, shape (time, bins); `bin_edges`: shape (bins+1,).
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    is_gate: tuple[bool, ...]
    mean: tuple[Float[np.ndarray, "time"], ...]
    saturated: tuple[Float[np.ndarray, "time"], ...]
    saturated_by_unit: tuple[Float[np.ndarray, "_"], ...]
    histogram: tuple[Float[np.ndarray, "time bins"], ...]
    bin_edges: tuple[Float[np.ndarray, "_"], ...]

    def __repr__(self) -> str:
        parts = [f"{name}: {text}" for name, text in summaries(self)]
        return f"ActivationHistory({'; '.join(parts) or 'no activation recognized'})"


def summaries(history: Any) -> list[tuple[str, str]]:
    """Return the name of each activation of a history, with mean and saturated share in words."""
    columns = zip(history.names, history.mean, history.saturated_by_unit, strict=True)
    return [
        (name, f"mean {np.mean(mean):.2f}, {np.mean(saturated):.0%} saturated")
        for name, mean, saturated in columns
    ]


def activation_history(
    cell: AbstractCell,
    trajectories: Trajectory,
    *,
    lengths: Int[np.ndarray, "batch"] | None = None,
) -> ActivationHistory:
    """Return the statistics of each tanh, sigmoid and ReLU of `cell` along a batch of trajectories.

    A large saturated share means derivatives near zero, hence vanishing gradients through that
    unit; a forget or update gate with mean g keeps a memory for about -1/log(g) steps. The
    activations are found in the traced computation of the cell, so any cell will do.

    **Arguments:**

    - `cell`: an `AbstractCell`.
    - `trajectories`: with a batch axis before time in both states and inputs.
    - `lengths`: number of steps of each sequence; the rest is padding and does not count. At each
      step some sequence must go on.

    **Returns:** an `ActivationHistory`.

    **Cost:** one evaluation of the cell per state; all pre-activations in memory at once.
    """
    before = jax.tree.map(lambda leaf: leaf[:, :-1], trajectories.states)
    recorded = _preactivations(cell, before, trajectories.inputs)
    one = jax.tree.map(lambda leaf: leaf[0, 0], (before, trajectories.inputs))
    kinds, names, is_gate = activation_names(cell, *one)
    steps = jax.tree.leaves(trajectories.inputs)[0].shape[1]
    valid = None
    if lengths is not None and np.any(lengths < steps):
        valid = np.arange(steps) < lengths[:, None]
    columns = [_statistics(k, np.asarray(a), valid) for k, a in zip(kinds, recorded, strict=True)]
    mean, saturated, by_unit, histogram, edges = (
        zip(*columns, strict=True) if columns else ((),) * 5
    )
    return ActivationHistory(
        names, kinds, is_gate, tuple(mean), tuple(saturated), tuple(by_unit), tuple(histogram),
        tuple(edges),
    )  # fmt: skip


def activation_names(
    cell: AbstractCell, state: PyTree, input: PyTree
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[bool, ...]]:
    """Return kind, name and is_gate of each activation of one step."""
    kinds = activation_kinds(cell, state, input)
    gates = cell.gate_names if kinds.count("sigmoid") == len(cell.gate_names) else ()
    remaining, seen, names, is_gate = list(gates), {}, [], []
    for kind in kinds:
        gate = kind == "sigmoid" and bool(gates)
        seen[kind] = seen.get(kind, 0) + 1
        only = kinds.count(kind) == 1
        names.append(
            f"{remaining.pop(0)} gate" if gate else kind if only else f"{kind} {seen[kind]}"
        )
        is_gate.append(gate)
    return kinds, tuple(names), tuple(is_gate)


@eqx.filter_jit
def _preactivations(cell, states, inputs):
    def one_step(state, input):
        return record_activations(cell)(state, input)[1]

    return jax.vmap(jax.vmap(one_step))(states, inputs)


def _statistics(kind, preactivation, valid):
    """Return mean, saturated, saturated_by_unit, histogram, bin_edges of one activation."""
    batch, time = preactivation.shape[:2]
    units = preactivation.reshape(batch, time, -1)
    value = np.asarray(_VALUE[kind](units)).astype(np.float64)
    saturated = is_saturated(kind, units)
    if valid is None:
        valid = np.ones((batch, time), bool)
    low, high = _RANGE.get(kind, (0.0, max(float(value[valid].max()), 1e-12)))
    edges = np.linspace(low, high, _BINS + 1)
    histogram = np.stack([np.histogram(value[valid[:, t], t], edges)[0] for t in range(time)])
    mask = valid[:, :, None]
    return (
        value.mean(axis=(0, 2), where=mask),
        saturated.mean(axis=(0, 2), where=mask),
        saturated.mean(axis=(0, 1), where=mask),
        histogram / (valid.sum(axis=0)[:, None] * units.shape[2]),
        edges,
    )


def is_saturated(kind: str, preactivation: ArrayLike) -> ArrayLike:
    """Say of each unit whether its derivative is below SATURATED_BELOW of its maximum."""
    if kind == "relu":
        return preactivation <= 0
    return abs(preactivation) > saturation_threshold(kind)


def saturation_threshold(kind: str) -> float:
    """Return |x| beyond which the derivative is below SATURATED_BELOW of its maximum."""
    # sech^2(x) = share  <=>  |x| = arcosh(share^-1/2); sigmoid'(x) = sech^2(x/2) / 4.
    tanh = math.acosh(SATURATED_BELOW**-0.5)
    return tanh if kind == "tanh" else 2 * tanh
