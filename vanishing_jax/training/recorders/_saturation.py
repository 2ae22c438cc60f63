"""How many units are saturated."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from ..._activations import activation_kinds, record_activations
from ..._types import Array
from ...diagnostics._activation_history import activation_names, is_saturated
from ...tasks import AbstractTask, Padded
from ._update import Update, trajectories


def saturation(update: Update) -> Float[Array, "activation"]:
    """Return the saturated share of each activation of the cell, over batch, time and units.

    As in `ActivationHistory`: a unit is saturated when its derivative is below a tenth of the
    largest one, a ReLU when it is 0. Near 1, gradients vanish through that activation. Steps beyond
    the end of padded sequences do not count.
    """
    cell = update.model.cell
    runs = trajectories(cell, update.inputs)
    before = jax.tree.map(lambda leaf: leaf[:, :-1], runs.states)
    first = jax.tree.map(lambda leaf: leaf[0, 0], (before, runs.inputs))
    kinds = activation_kinds(cell, *first)
    batch, time = jax.tree.leaves(runs.inputs)[0].shape[:2]

    def shares(state, input):
        _, preactivations = record_activations(cell)(state, input)
        found = [_saturated(k, a) for k, a in zip(kinds, preactivations, strict=True)]
        return jnp.stack(found) if found else jnp.zeros(0, jnp.float32)

    by_step = jax.vmap(jax.vmap(shares))(before, runs.inputs)
    padded = isinstance(update.inputs, Padded)
    mask = update.inputs.mask(time) if padded else jnp.ones((batch, time), bool)
    weight = mask.astype(by_step.dtype)[:, :, None]
    return jnp.sum(by_step * weight, axis=(0, 1)) / jnp.sum(weight)


def _saturated(kind: str, preactivation: Array) -> Array:
    return jnp.mean(is_saturated(kind, preactivation).astype(jnp.float32))


def activation_labels(model: Any, task: AbstractTask) -> tuple[str, ...]:
    """Return the names of the activations, as in `ActivationHistory.names`."""
    cell = model.cell
    inputs, _ = jax.eval_shape(lambda: task.sample(jax.random.key(0), 1))
    inputs = inputs.values if isinstance(inputs, Padded) else inputs
    one = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape[2:], leaf.dtype), inputs)
    return activation_names(cell, cell.initial_state(), one)[1]
