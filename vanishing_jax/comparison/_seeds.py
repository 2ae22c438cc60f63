"""All seeds of a recipe, trained in one compiled program."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, PartitionSpec

from .._types import Array, Key, PyTree
from ..tasks import AbstractTask
from ..training import History
from ..training._goal import Goal
from ..training._history import Record, collect, summarize
from ..training._objective import Hooks, check_hooks
from ..training._parameters import Parts, join, split
from ..training._savepoints import NOWHERE, Saved, Savepoints, pack_records, unpack_records
from ..training._train import checked_recorders, settled
from ..training._updates import Context, Settings, begin, checked_names, run_chunk
from ..training.recorders import RECORDERS
from ._devices import SEEDS, gathered, mesh_over, spread
from ._train import built
from .recipes import Recipe

# On a CPU batched products of matrices this large are no faster than one after the other, and the
# working set is that of all seeds at once.
_LARGE = 512


class Trained(NamedTuple):
    """One seed after training: its history, and the model to evaluate."""

    history: History
    model: PyTree


class Shared(NamedTuple):
    """What all seeds of a recipe have in common, of a `Context`."""

    task: AbstractTask
    optimizer: optax.GradientTransformation
    hooks: Hooks


class Job(NamedTuple):
    """What is trained: one recipe on one task."""

    recipe: Recipe
    task: AbstractTask
    hidden_size: int
    learning_rate: float
    steps: int
    goal: Goal | None
    settings: Settings  # batch size, updates per record, recorders, checkpointing


def batched(batch_size: int, hidden_size: int) -> bool:
    """Return whether seeds run as a batch (vmap), not one after the other (lax.map)."""
    return jax.default_backend() != "cpu" or batch_size * hidden_size < _LARGE


def train_seeds(
    job: Job,
    keys: Sequence[Key],
    advanced: Callable[[list[list[Record]]], None],
    savepoints: Savepoints = NOWHERE,
) -> list[Trained]:
    """Return the trained seeds, one per key; `advanced` sees the records so far after each chunk.

    A seed that reaches the goal or meets a NaN is left as it is while the others go on. Goes on
    from what `savepoints` has, and leaves it to the caller to remove that.
    """
    models, shared, arrays, static = _begin(job, keys)
    progress = Progress([[] for _ in keys], [None] * len(keys))
    found = savepoints.load(arrays[0], strict=False)
    if found is not None:
        arrays, progress = (found.arrays, *arrays[1:]), unpacked(found.log)
    mesh = mesh_over(len(keys))
    arrays = spread(arrays, mesh)
    together = batched(job.settings.batch_size, job.hidden_size)
    for start in range(progress.step, job.steps, job.settings.length):
        running, limits = progress.running(), progress.limits(job.steps)
        if not running:
            break
        numbers = jnp.asarray(start, jnp.int32), spread(limits, mesh)
        arrays, *seen = _advance(arrays, numbers, static, shared, job.settings, together, mesh)
        seen = jax.device_get(seen)
        for k in running:
            updates, recorded = _of_seed(seen, k)
            record = summarize(updates, recorded, start, job.steps)
            progress.records[k].append(record)
            if record.first_nonfinite is None and job.goal and job.goal.reached(record):
                progress.target_steps[k] = record.step
        advanced(progress.records)
        if savepoints.due(progress.step):
            carry = gathered(arrays[0], len(keys), mesh)
            savepoints.save(progress.step, Saved(carry, packed(progress)))
    arrays = gathered(arrays, len(keys), mesh)
    names, record = checked_names(split(models[0])), job.settings.record
    labels = {n: found for n in record if (found := RECORDERS[n].labels(models[0], job.task))}
    histories = [
        collect(rows, names, record, labels, target_step=step)
        for rows, step in zip(progress.records, progress.target_steps, strict=True)
    ]
    ended = [_model(eqx.combine(_of_seed(arrays, k), static), job) for k in range(len(keys))]
    return [Trained(*pair) for pair in zip(histories, ended, strict=True)]


class Progress(NamedTuple):
    """How far the seeds have come: the records of each, and where it reached the goal if it did."""

    records: list[list[Record]]
    target_steps: list[int | None]

    @property
    def step(self) -> int:
        """Number of updates done, by those that are still running."""
        return max((rows[-1].step for rows in self.records if rows), default=0)

    def running(self) -> list[int]:
        """Return which seeds have neither met a NaN nor reached the goal."""
        diverged = [bool(rows) and rows[-1].first_nonfinite is not None for rows in self.records]
        ended = zip(diverged, self.target_steps, strict=True)
        return [k for k, (died, step) in enumerate(ended) if not died and step is None]

    def limits(self, steps: int) -> np.ndarray:
        """Return the number of updates that each seed is to make."""
        return np.array([steps if x is None else x for x in self.target_steps], np.int32)


def packed(progress: Progress) -> dict[str, Any]:
    """Return the progress as JSON."""
    records = [pack_records(rows) for rows in progress.records]
    return {"records": records, "target_steps": progress.target_steps}


def unpacked(log: dict[str, Any]) -> Progress:
    """Return the progress again."""
    return Progress([unpack_records(rows) for rows in log["records"]], log["target_steps"])


def check(job: Job, key: Key) -> None:
    """Raise what building and recording would, without computing anything."""

    def build(key):
        model, _, hooks, _ = built(job.recipe, job.task, job.hidden_size, job.learning_rate, key)
        return model, Hooks(**hooks)

    model, hooks = eqx.filter_eval_shape(build, key)
    checked_recorders(job.settings.record, model, hooks.clip)
    check_hooks(model, split(model), hooks, checkpoint=job.settings.checkpoint)


def _begin(job: Job, keys: Sequence[Key]) -> tuple[list[Any], Shared, PyTree, PyTree]:
    """Return the models, what the seeds share, and their own arrays, stacked, and the rest."""
    models, seeds, shared = [], [], None
    for key in keys:
        # One at a time: compiling the initialization of a batch takes longer than training it.
        made = built(job.recipe, job.task, job.hidden_size, job.learning_rate, key)
        model, optimizer, hooks, key_data = made
        carry, context = begin(model, job.task, optimizer, Hooks(**hooks), key_data)
        models.append(model)
        seeds.append((carry, context.rest, key_data))
        shared = shared or Shared(context.task, context.optimizer, context.hooks)
    assert shared is not None  # there is at least one key
    arrays = [eqx.filter(seed, eqx.is_array) for seed in seeds]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *arrays)
    return models, shared, stacked, eqx.filter(seeds[0], eqx.is_array, inverse=True)


@eqx.filter_jit
def _advance(
    arrays: PyTree,
    numbers: tuple[Array, Array],
    static: PyTree,
    shared: Shared,
    settings: Settings,
    together: bool,
    mesh: Mesh | None,
) -> tuple[PyTree, PyTree, PyTree]:
    """Make one chunk of updates of every seed; as `run_chunk`, with a leading axis over seeds."""
    start, limits = numbers
    common, rest = eqx.partition((start, shared), eqx.is_array)

    def advance(seeds, common):
        start, shared = eqx.combine(common, rest)
        return _of_each(seeds, start, static, shared, settings, together)

    if mesh is not None:
        # Nothing passes between devices. As plain jit, a map over seeds would run on all of them.
        in_specs, out_specs = (PartitionSpec(SEEDS), PartitionSpec()), PartitionSpec(SEEDS)
        advance = jax.shard_map(
            advance, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False
        )
    return advance((arrays, limits), common)


def _of_each(
    seeds: PyTree, start: Array, static: PyTree, shared: Shared, settings: Settings, together: bool
) -> tuple[PyTree, PyTree, PyTree]:
    """Make the chunk for the seeds of one device."""

    def one(seed):
        own, limit = seed
        carry, rest, key = eqx.combine(own, static)
        context = Context(rest, shared.task, shared.optimizer, shared.hooks, key)
        carry, updates, recorded = run_chunk(carry, start, context, limit, settings)
        return (eqx.filter(carry, eqx.is_array), *own[1:]), updates, recorded

    def one_or_none(seed):
        """Spare the work for a seed that has ended; in a batch it would be done all the same."""
        nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(one, seed)[1:])
        own, limit = seed
        running = (start < limit) & own[0].finite
        return jax.lax.cond(running, one, lambda seed: (seed[0], *nothing), seed)

    return jax.vmap(one)(seeds) if together else jax.lax.map(one_or_none, seeds)


def _model(seed: tuple, job: Job) -> PyTree:
    carry, rest, key = seed
    model = join(Parts(carry.params, carry.statistics, rest))
    return settled(model, job.task, job.settings.batch_size, key)


def _of_seed(tree: PyTree, k: int) -> PyTree:
    return jax.tree.map(lambda leaf: leaf[k], tree)
