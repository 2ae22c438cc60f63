"""Recorders: what training can note of an update beside loss, metric and gradient norm.

To add one, write one pure function of an `Update` and a row in `RECORDERS`.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._rollout import Trajectory, rollout
from .._tree import path_name
from .._types import Array, ArrayLike, PyTree
from ..diagnostics._back_propagate import loss_gradient
from ..diagnostics._gradient_profile import adjoint_profile
from ..tasks import AbstractTask, Padded
from ..tasks._padded import zero_beyond
from ._model import SequenceModel, readout_loss
from ._parameters import split


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


def _no_labels(model: Any) -> tuple[str, ...]:
    return ()


def _leaf_names(model: Any) -> tuple[str, ...]:
    leaves = jax.tree_util.tree_leaves_with_path(split(model).params)
    return tuple(path_name(path) for path, _ in leaves)


class Recorder(NamedTuple):
    """A pure function of an update, and how its records read.

    - `record(update) -> array` of one axis. Of fixed shape, jittable, and safe under `scan`, `vmap`
      and `lax.map`. It is computed once per record, for the last update.
    - `entry`: what the axis is over.
    - `headline`, `reading`: what a printed `History` says, a number made of one record.
    - `needs_cell`: whether it rolls out `update.model.cell`.
    - `labels(model)`: names of the entries; () where their position tells them apart.
    """

    record: Callable[[Update], Array]
    entry: str
    headline: str
    reading: Callable[[ArrayLike], Any]
    needs_cell: bool = True
    labels: Callable[[Any], tuple[str, ...]] = _no_labels


RECORDERS: dict[str, Recorder] = {
    "gradient_profile": Recorder(gradient_profile, "time", "log ||dL/ds_0||", lambda x: x[0]),
    "update_ratio": Recorder(
        update_ratio, "parameter", "median update ratio", np.median,
        needs_cell=False, labels=_leaf_names,
    ),
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
