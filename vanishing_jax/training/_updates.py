"""The compiled part of training: a chunk of updates."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax

from .._tree import path_name
from .._types import Array, PyTree


class Carry(NamedTuple):
    """What goes from one update to the next; its structure never changes."""

    params: PyTree
    optimizer_state: PyTree
    finite: (
        Array  # False from the first update on that could not be made: all later ones are skipped
    )


class Updates(NamedTuple):
    """What updates report, stacked along a leading axis by a chunk."""

    loss: Array
    metric: Array
    gradient_norm: Array
    finite: Array  # one flag per entry of `checked_names`


@eqx.filter_jit
def run_chunk(
    carry: Carry, start: Array, *, context: tuple, steps: Array, batch_size: int, length: int
) -> tuple[Carry, Updates]:
    """Make updates start+1..start+length, skipping those beyond `steps`.

    `context` is (untrained part of the model, task, optimizer, key). Skipping instead of running a
    shorter chunk at the end saves the second compilation.
    """
    rest, task, optimizer, key = context

    def loss_and_metric(params, inputs, targets):
        outputs = jax.vmap(eqx.combine(params, rest))(inputs)
        return task.loss(outputs, targets), task.metric(outputs, targets)

    def update(carry: Carry, number: Array) -> tuple[Carry, Updates]:
        params, optimizer_state, finite = carry
        batch = task.sample(jr.fold_in(key, number), batch_size)
        grad = jax.value_and_grad(loss_and_metric, has_aux=True)
        (loss, metric), gradient = grad(params, *batch)
        # Optax computes decay**count, float and int, which strict promotion refuses.
        with jax.numpy_dtype_promotion("standard"):
            change, new_optimizer_state = optimizer.update(gradient, optimizer_state, params)
            new_params = optax.apply_updates(params, change)
        checked = [*jax.tree.leaves((params, gradient, new_params)), loss]
        flags = jnp.stack([jnp.isfinite(leaf).all() for leaf in checked])
        due = finite & (number <= steps)
        new, old = (new_params, new_optimizer_state), (params, optimizer_state)
        kept_params, kept_state = _select(due & flags.all(), new, old)
        report = Updates(loss, metric, _global_norm(gradient, loss.dtype), flags)
        return Carry(kept_params, kept_state, finite & (flags.all() | ~due)), report

    return jax.lax.scan(update, carry, start + 1 + jnp.arange(length, dtype=start.dtype))


def checked_names(params: PyTree) -> list[str]:
    """Return what each flag of `Updates.finite` is about."""
    names = [path_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    gradients = [f"gradient of {name}" for name in names]
    return [*names, *gradients, *(f"{name} after its update" for name in names), "loss"]


def _select(condition: Array, yes: PyTree, no: PyTree) -> PyTree:
    return jax.tree.map(lambda a, b: jax.lax.select(condition, a, b), yes, no)


def _global_norm(tree: PyTree, dtype) -> Array:
    """Return the Euclidean norm over all leaves; squares neither overflow nor underflow."""
    leaves = [jnp.abs(leaf).astype(dtype) for leaf in jax.tree.leaves(tree)]
    largest = jnp.stack([jnp.max(leaf, initial=0) for leaf in leaves]).max()
    scale = jnp.where((largest > 0) & jnp.isfinite(largest), largest, jnp.ones_like(largest))
    return scale * jnp.sqrt(sum(jnp.sum(jnp.square(leaf / scale)) for leaf in leaves))
