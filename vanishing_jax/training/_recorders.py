"""Recorders: what training can note of an update beside loss, metric and gradient norm.

To add one, write one pure function of an `Update` and a row in `RECORDERS`.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Float

from .._activations import activation_kinds, record_activations, stable_derivatives
from .._rollout import Trajectory, rollout
from .._tree import path_name, state_layout
from .._types import Array, ArrayLike, PyTree
from ..diagnostics._activation_history import activation_names, is_saturated
from ..diagnostics._back_propagate import loss_gradient
from ..diagnostics._gradient_profile import adjoint_profile
from ..tasks import AbstractTask, Padded
from ..tasks._padded import zero_beyond
from ._model import SequenceModel, readout_loss
from ._parameters import split

_MOST_EXPONENTS = 4


class Update(NamedTuple):
    """One update: the model before it, its batch, and what it does.

    - `model`: before the update; with batch normalization by the statistics of this batch.
    - `task`, `inputs`, `targets`: the batch.
    - `params`, `new_params`: trees of the trained arrays, before and after it.
    """

    model: Any
    task: AbstractTask
    inputs: PyTree
    targets: PyTree
    params: PyTree
    new_params: PyTree


def gradient_profile(update: Update) -> Float[Array, "time_plus_one"]:
    """Return log ||dL/ds_t|| for t = 0..T over the whole batch, natural log, without underflow.

    As `vj.gradient_profile`: L is the task's loss, the norm that of all sequences' gradients
    together. Falling from right to left it shows how far back learning reaches, after the
    clipping of a `ClippedGradientCell`.
    """
    cell = update.model.cell
    runs = _trajectories(cell, update.inputs)
    loss = readout_loss(update.model, update.task, update.targets)
    local = loss_gradient(runs.states, loss, 2)

    def profile(trajectory, local):
        return adjoint_profile(cell, trajectory, local, with_parameters=False).log_norm

    log_norm = jax.vmap(profile)(runs, local)
    return jax.nn.logsumexp(2 * log_norm, axis=0) / 2


def saturation(update: Update) -> Float[Array, "activation"]:
    """Return the saturated share of each activation of the cell, over batch, time and units.

    As in `ActivationHistory`: a unit is saturated when its derivative is below a tenth of the
    largest one, a ReLU when it is 0. Near 1, gradients vanish through that activation. Steps beyond
    the end of padded sequences do not count.
    """
    cell = update.model.cell
    runs = _trajectories(cell, update.inputs)
    before = jax.tree.map(lambda leaf: leaf[:, :-1], runs.states)
    first = jax.tree.map(lambda leaf: leaf[0, 0], (before, runs.inputs))
    kinds = activation_kinds(cell, *first)
    batch, time = jax.tree.leaves(runs.inputs)[0].shape[:2]

    def shares(state, input):
        _, preactivations = record_activations(cell)(state, input)
        found = [
            jnp.mean(is_saturated(kind, a).astype(jnp.float32))
            for kind, a in zip(kinds, preactivations, strict=True)
        ]
        return jnp.stack(found) if found else jnp.zeros(0, jnp.float32)

    by_step = jax.vmap(jax.vmap(shares))(before, runs.inputs)
    padded = isinstance(update.inputs, Padded)
    mask = update.inputs.mask(time) if padded else jnp.ones((batch, time), bool)
    weight = mask.astype(by_step.dtype)[:, :, None]
    return jnp.sum(by_step * weight, axis=(0, 1)) / jnp.sum(weight)


def update_ratio(update: Update) -> Float[Array, "leaf"]:
    """Return ||new - old|| / ||old|| of each trained array.

    Around 1e-3 is common; 1e-1 means steps that forget, 1e-6 an array that does not learn. 0 where
    nothing moves, infinite for an array that is 0 and moves, such as a fresh bias. Projections
    count, population statistics do not.
    """

    def ratio(old, new):
        dtype = jnp.abs(old).dtype
        size, change = global_norm(old, dtype), global_norm(new - old, dtype)
        quotient = (change / jnp.where(size > 0, size, 1)).astype(jnp.float32)
        return jnp.where(size > 0, quotient, jnp.where(change > 0, jnp.inf, 0.0))

    pairs = zip(*map(jax.tree.leaves, (update.params, update.new_params)), strict=True)
    return jnp.stack([ratio(old, new) for old, new in pairs])


def exponents(update: Update) -> Float[Array, "exponent"]:
    """Return the leading (at most 4) growth rates of perturbations, natural log per step.

    Along the batch's first sequence: random directions align themselves over the first half of it
    and are measured over the second half, by QR as in `lyapunov_exponents`; descending. Below 0 by
    x means gradients fall by exp(-x) a step. One short sequence: a trend to watch, without an error
    bound. A `TruncatedCell` cuts what it measures: -inf.
    """
    cell = update.model.cell
    first = jax.tree.map(lambda leaf: leaf[:1], update.inputs)
    run = jax.tree.map(lambda leaf: leaf[0], _trajectories(cell, first))
    before = jax.tree.map(lambda leaf: leaf[:-1], run.states)
    layout = state_layout(jax.tree.map(lambda leaf: leaf[0], before))
    count = min(layout.size, _MOST_EXPONENTS)

    def grow(basis, step):
        state, input = step
        advance = stable_derivatives(lambda v: layout.ravel(cell(layout.unravel(v, state), input)))

        def push(direction):
            return jax.jvp(advance, (layout.ravel(state),), (direction,))[1]

        q, r = jnp.linalg.qr(jax.vmap(push, in_axes=1, out_axes=1)(basis))
        return q, jnp.log(jnp.abs(jnp.diagonal(r)))

    start, _ = jnp.linalg.qr(jr.normal(jr.key(0), (layout.size, count), layout.dtype))
    _, growth = jax.lax.scan(grow, start, (before, run.inputs))
    steps = jnp.arange(growth.shape[0], dtype=jnp.int32)
    padded = isinstance(update.inputs, Padded)
    length = update.inputs.length[0].astype(steps.dtype) if padded else growth.shape[0]
    measured = (steps >= length // 2) & (steps < length)
    rates = jnp.mean(growth, axis=0, where=measured[:, None])
    return jnp.sort(rates, descending=True)


def _trajectories(cell: Any, inputs: PyTree) -> Trajectory:
    """Return the trajectories of a batch from the cell's initial state; padding is run as zeros."""
    if isinstance(inputs, Padded):
        inputs = zero_beyond(inputs.values, inputs.mask(inputs.values.shape[1]))
    return jax.vmap(lambda x: rollout(cell, cell.initial_state(), x))(inputs)


def global_norm(tree: PyTree, dtype: Any) -> Array:
    """Return the Euclidean norm over all leaves; squares neither overflow nor underflow."""
    leaves = [jnp.abs(leaf).astype(dtype) for leaf in jax.tree.leaves(tree)]
    largest = jnp.stack([jnp.max(leaf, initial=0) for leaf in leaves]).max()
    scale = jnp.where((largest > 0) & jnp.isfinite(largest), largest, jnp.ones_like(largest))
    return scale * jnp.sqrt(sum(jnp.sum(jnp.square(leaf / scale)) for leaf in leaves))


# --- the table --------------------------------------------------------------------------------


def _largest(record: ArrayLike) -> Any:
    return np.max(record) if np.size(record) else np.nan  # a cell may have no activation


def _no_labels(model: Any, task: AbstractTask) -> tuple[str, ...]:
    return ()


def _leaf_names(model: Any, task: AbstractTask) -> tuple[str, ...]:
    leaves = jax.tree_util.tree_leaves_with_path(split(model).params)
    return tuple(path_name(path) for path, _ in leaves)


def _activation_names(model: Any, task: AbstractTask) -> tuple[str, ...]:
    cell = model.cell
    inputs, _ = jax.eval_shape(lambda: task.sample(jax.random.key(0), 1))
    inputs = inputs.values if isinstance(inputs, Padded) else inputs
    one = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape[2:], leaf.dtype), inputs)
    return activation_names(cell, cell.initial_state(), one)[1]


class Recorder(NamedTuple):
    """A pure function of an update, and how its records read.

    - `record(update) -> array` of one axis. Of fixed shape, jittable, and safe under `scan`, `vmap`
      and `lax.map`. It is computed once per record, for the last update.
    - `entry`: what the axis is over.
    - `headline`, `reading`: what a printed `History` says, a number made of one record.
    - `needs_cell`: whether it rolls out `update.model.cell`.
    - `labels(model, task)`: names of the entries; () where their position tells them apart.
    """

    record: Callable[[Update], Array]
    entry: str
    headline: str
    reading: Callable[[ArrayLike], Any]
    needs_cell: bool = True
    labels: Callable[[Any, AbstractTask], tuple[str, ...]] = _no_labels


RECORDERS: dict[str, Recorder] = {
    "gradient_profile": Recorder(gradient_profile, "time", "log ||dL/ds_0||", lambda x: x[0]),
    "saturation": Recorder(
        saturation, "activation", "most saturated", _largest, labels=_activation_names
    ),
    "update_ratio": Recorder(
        update_ratio, "parameter", "median update ratio", np.median,
        needs_cell=False, labels=_leaf_names,
    ),
    "exponents": Recorder(exponents, "exponent", "largest exponent", _largest),
}  # fmt: skip
"""name in `train(..., record=...)` -> recorder"""


def check_recorders(record: Sequence[str], model: Any) -> None:
    """Raise unless recorders of these names exist and can run on the model."""
    for name in record:
        if name not in RECORDERS:
            raise ValueError(
                f"expected `record` out of {', '.join(map(repr, RECORDERS))}; got {name!r}."
            )
        if RECORDERS[name].needs_cell and not isinstance(model, SequenceModel):
            raise TypeError(
                f"recording {name!r} takes a SequenceModel; got {type(model).__name__}."
            )
