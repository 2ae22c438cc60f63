"""All seeds of a recipe, trained in one compiled program."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from .._types import Array, Key, PyTree
from ..tasks import AbstractTask
from ..training import History
from ..training._loop import Run, histories, run_chunks, start_run
from ..training._parameters import Parts, join
from ..training._savepoints import NOWHERE, Savepoints
from ..training._settings import Chunk, Settings
from ..training._train import check_training, settled
from ..training._updates import Context, begin, run_chunk
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


class Job(NamedTuple):
    """What is trained: one recipe on one task."""

    recipe: Recipe
    task: AbstractTask
    hidden_size: int
    learning_rate: float
    settings: Settings


def batched(batch_size: int, hidden_size: int) -> bool:
    """Return whether seeds run as a batch (vmap), not one after the other (lax.map)."""
    return jax.default_backend() != "cpu" or batch_size * hidden_size < _LARGE


def train_seeds(
    job: Job,
    keys: Sequence[Key],
    show: Callable[[Run], None],
    savepoints: Savepoints = NOWHERE,
) -> list[Trained]:
    """Return the trained seeds, one per key; `show` sees the run after each chunk.

    A seed that reaches the goal or meets a NaN is left as it is while the others go on. Goes on
    from what `savepoints` has, and leaves it to the caller to remove that.
    """
    count, settings = len(keys), job.settings
    model, shared, arrays, static = _begin(job, keys)
    run = start_run(arrays[0], count, savepoints, strict=False)
    mesh = mesh_over(count)
    carry, *own = spread((run.carry, *arrays[1:]), mesh)
    together = batched(settings.chunk.batch_size, job.hidden_size)

    def advance(run: Run, start: int):
        numbers = jnp.asarray(start, jnp.int32), spread(run.limits(settings.num_updates), mesh)
        seeds, *seen = _advance(
            (run.carry, *own), numbers, static, shared, settings.chunk, together, mesh
        )
        seen = jax.device_get(seen)
        return seeds[0], [tuple(_of_seed(seen, k)) for k in range(count)]

    def gather(tree: PyTree) -> PyTree:
        return gathered(tree, count, mesh)

    run = run_chunks(advance, run._replace(carry=carry), settings, show, savepoints, gather)
    if run.interrupted:
        raise KeyboardInterrupt
    arrays = gather((run.carry, *own))
    ended = [_model(eqx.combine(_of_seed(arrays, k), static), job) for k in range(count)]
    found = histories(run, model, job.task, settings)
    return [Trained(*pair) for pair in zip(found, ended, strict=True)]


def check(job: Job, key: Key) -> None:
    """Raise what building and recording would, without computing anything."""
    training = eqx.filter_eval_shape(
        lambda key: built(job.recipe, job.task, job.hidden_size, job.learning_rate, key), key
    )
    check_training(training, job.settings.chunk)


def _begin(job: Job, keys: Sequence[Key]) -> tuple[Any, Context, PyTree, PyTree]:
    """Return a model, what the seeds share, their own (carry, rest, key), stacked, and its rest."""
    models, seeds, contexts = [], [], []
    for key in keys:
        # One at a time: compiling the initialization of a batch takes longer than training it.
        training = built(job.recipe, job.task, job.hidden_size, job.learning_rate, key)
        carry, context = begin(training)
        models.append(training.model)
        seeds.append((carry, context.rest, context.key))
        contexts.append(context._replace(rest=None, key=None))
    arrays = [eqx.filter(seed, eqx.is_array) for seed in seeds]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *arrays)
    return models[0], contexts[0], stacked, eqx.filter(seeds[0], eqx.is_array, inverse=True)


@eqx.filter_jit
def _advance(
    arrays: PyTree,
    numbers: tuple[Array, Array],
    static: PyTree,
    shared: Context,
    chunk: Chunk,
    together: bool,
    mesh: Mesh | None,
) -> tuple[PyTree, PyTree, PyTree]:
    """Make one chunk of updates of every seed; as `run_chunk`, with a leading axis over seeds."""
    start, limits = numbers
    common, rest = eqx.partition((start, shared), eqx.is_array)

    def advance(seeds, common):
        start, shared = eqx.combine(common, rest)
        return _of_each(seeds, start, static, shared, chunk, together)

    if mesh is not None:
        # Nothing passes between devices. As plain jit, a map over seeds would run on all of them.
        in_specs, out_specs = (PartitionSpec(SEEDS), PartitionSpec()), PartitionSpec(SEEDS)
        advance = jax.shard_map(
            advance, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False
        )
    return advance((arrays, limits), common)


def _of_each(
    seeds: PyTree, start: Array, static: PyTree, shared: Context, chunk: Chunk, together: bool
) -> tuple[PyTree, PyTree, PyTree]:
    """Make the chunk for the seeds of one device."""

    def one(seed):
        own, limit = seed
        carry, rest, key = eqx.combine(own, static)
        context = shared._replace(rest=rest, key=key)
        carry, updates, recorded = run_chunk(carry, start, context, limit, chunk)
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
    return settled(model, job.task, job.settings.chunk.batch_size, key)


def _of_seed(tree: PyTree, k: int) -> PyTree:
    return jax.tree.map(lambda leaf: leaf[k], tree)
