"""The compiled part of training: a chunk of updates."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax

from .._tree import path_name
from .._types import Array, Key, PyTree
from ..tasks import AbstractTask
from ._objective import Hooks, Scores, estimated, followed, objective, projected
from ._parameters import Parts, join, split
from ._recorders import RECORDERS, Update, global_norm
from ._settings import Chunk


class Training(NamedTuple):
    """What is trained, on what and how: all but the settings."""

    model: Any
    optimizer: optax.GradientTransformation
    hooks: Hooks
    task: AbstractTask
    key: Key


class Carry(NamedTuple):
    """What goes from one update to the next; its structure never changes."""

    params: PyTree
    statistics: PyTree
    optimizer_state: PyTree
    # False from the first update on that could not be made: all later ones are skipped.
    finite: Array


class Context(NamedTuple):
    """What all updates share. As an argument of the compiled chunk its numbers are data."""

    rest: PyTree  # untrained part of the model
    optimizer: optax.GradientTransformation
    hooks: Hooks
    task: AbstractTask
    key: Key


class Updates(NamedTuple):
    """What updates report, stacked along a leading axis by a chunk."""

    loss: Array
    metric: Array
    gradient_norm: Array
    finite: Array  # one flag per entry of `checked_names`


def begin(training: Training) -> tuple[Carry, Context]:
    """Return what `run_chunk` starts from; under `vmap` over models and keys, one for each."""
    parts = split(training.model)
    optimizer_state = training.optimizer.init(parts.params)
    carry = Carry(parts.params, parts.statistics, optimizer_state, jnp.asarray(True))
    return carry, Context(parts.rest, *training[1:])


@eqx.filter_jit
def run_chunk(
    carry: Carry, start: Array, context: Context, num_updates: Array, chunk: Chunk
) -> tuple[Carry, Updates, dict[str, Array]]:
    """Make updates start+1..start+length, skipping those beyond `num_updates`.

    Skipping instead of running a shorter chunk at the end saves the second compilation. Returns
    the carry, what each update reports, and what the recorders saw at the last one that was due.
    """
    last = jnp.minimum(start + chunk.length, num_updates)

    def update(carry: Carry, number: Array) -> tuple[Carry, tuple[Updates, dict]]:
        key = jr.fold_in(context.key, number)
        batch = context.task.sample(key, chunk.batch_size)
        proposal, gradient, scores = _propose(carry, batch, context, chunk.checkpoint, key)
        checked = [*jax.tree.leaves((carry.params, gradient, proposal[:2])), scores.loss]
        flags = jnp.stack([jnp.isfinite(leaf).all() for leaf in checked])
        due = carry.finite & (number <= num_updates)
        kept = _select(due & flags.all(), proposal, carry)
        norm = global_norm(gradient, scores.loss.dtype)
        report = Updates(scores.loss, scores.metric, norm, flags)
        records = _record(chunk.record, number == last, carry, batch, context, proposal.params)
        return kept._replace(finite=carry.finite & (flags.all() | ~due)), (report, records)

    numbers = start + 1 + jnp.arange(chunk.length, dtype=start.dtype)
    carry, (updates, records) = jax.lax.scan(update, carry, numbers)
    return carry, updates, jax.tree.map(lambda record: record[last - start - 1], records)


def _propose(
    carry: Carry, batch: tuple, context: Context, checkpoint: bool, key: Key
) -> tuple[Carry, PyTree, Scores]:
    """Return what the update would lead to, the gradient, and the scores."""
    task, optimizer, hooks = context.task, context.optimizer, context.hooks

    def loss(params):
        parts = Parts(params, carry.statistics, context.rest)
        return objective(parts, task, batch, hooks, checkpoint=checkpoint, key=key)

    (_, scores), gradient = jax.value_and_grad(loss, has_aux=True)(carry.params)
    # Optax computes decay**count, float and int, which strict promotion refuses.
    with jax.numpy_dtype_promotion("standard"):
        change, optimizer_state = optimizer.update(gradient, carry.optimizer_state, carry.params)
        params = optax.apply_updates(carry.params, change)
    parts = projected(Parts(params, carry.statistics, context.rest), hooks.project)
    parts = followed(parts, scores.states)
    proposal = Carry(parts.params, parts.statistics, optimizer_state, carry.finite)
    return proposal, gradient, scores


def _record(
    names: tuple[str, ...],
    now: Array,
    carry: Carry,
    batch: tuple,
    context: Context,
    new_params: PyTree,
) -> dict[str, Array]:
    """Return what the recorders say of this update if it is the one to record, else zeros."""
    if not names:
        return {}

    def observe():
        model = join(Parts(carry.params, carry.statistics, context.rest))
        inputs, targets = batch
        settled = estimated(model, inputs)
        seen = Update(settled, context.task, inputs, targets, carry.params, new_params)
        return {name: RECORDERS[name].record(seen) for name in names}

    nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(observe))
    return jax.lax.cond(now, observe, lambda: nothing)


def checked_names(parts: Parts) -> list[str]:
    """Return what each flag of `Updates.finite` is about."""
    names, statistics = (
        [path_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]
        for tree in parts[:2]
    )
    gradients = [f"gradient of {name}" for name in names]
    after = [f"{name} after its update" for name in (*names, *statistics)]
    return [*names, *gradients, *after, "loss"]


def _select(condition: Array, yes: PyTree, no: PyTree) -> PyTree:
    return jax.tree.map(lambda a, b: jax.lax.select(condition, a, b), yes, no)
