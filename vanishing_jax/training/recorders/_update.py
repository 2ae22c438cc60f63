"""An update as recorders see it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ..._rollout import Trajectory, rollout
from ..._types import Array, PyTree
from ...tasks import AbstractTask, Padded
from ...tasks._padded import zero_beyond


class Update(NamedTuple):
    """One update: the model before it, its batch, and what it does.

    - `model`: before the update; for a record made once, with batch normalization by the statistics
      of this batch.
    - `task`, `inputs`, `targets`: the batch.
    - `params`, `gradient`, `new_params`: trees of the trained arrays; the gradient is that of the
      loss with penalty, before it is clipped.
    - `clip`: the clipping that the optimizer begins with, if it is known.
    """

    model: Any
    task: AbstractTask
    inputs: PyTree
    targets: PyTree
    params: PyTree
    gradient: PyTree
    new_params: PyTree
    clip: optax.GradientTransformation | None


def trajectories(cell: Any, inputs: PyTree) -> Trajectory:
    """Return the trajectories of a batch, `Padded` or not, from the cell's initial state.

    Padded sequences go on over zeros.
    """
    if isinstance(inputs, Padded):
        inputs = zero_beyond(inputs.values, inputs.mask(inputs.values.shape[1]))
    return jax.vmap(lambda x: rollout(cell, cell.initial_state(), x))(inputs)


def global_norm(tree: PyTree, dtype: Any) -> Array:
    """Return the Euclidean norm over all leaves; squares neither overflow nor underflow."""
    leaves = [jnp.abs(leaf).astype(dtype) for leaf in jax.tree.leaves(tree)]
    largest = jnp.stack([jnp.max(leaf, initial=0) for leaf in leaves]).max()
    scale = jnp.where((largest > 0) & jnp.isfinite(largest), largest, jnp.ones_like(largest))
    return scale * jnp.sqrt(sum(jnp.sum(jnp.square(leaf / scale)) for leaf in leaves))
