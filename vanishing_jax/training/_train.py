"""The training loop: compiled chunks of updates, run from the host under a progress bar."""

import functools as ft
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax

from .._hashing import fingerprint
from .._types import Array, Key, PyTree
from ..tasks import AbstractTask
from ._history import History
from ._loop import Run, histories, run_chunks, show, start_run
from ._objective import Hooks, check_hooks, estimated
from ._parameters import Parts, join, split
from ._recorders import check_recorders
from ._savepoints import Savepoints
from ._settings import Chunk, Settings, check_saving, read_settings
from ._updates import Training, begin, run_chunk

# Sequences from which population statistics of batch normalization are estimated at the end.
_LARGE_BATCH = 500

# One object: another one each time would mean another compilation.
OPTIMIZER = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3))


def train(
    model: PyTree,
    task: AbstractTask,
    *,
    num_updates: int | None = None,
    steps: int | None = None,
    batch_size: int,
    optimizer: optax.GradientTransformation | None = None,
    initial_state: Callable[..., PyTree] | None = None,
    penalty: Callable[..., Array] | None = None,
    project: Callable[[Any], Any] | None = None,
    record_every: int = 10,
    record: Sequence[str] = (),
    target: str | float | None = None,
    checkpoint: bool = False,
    resume: str | Path | None = None,
    save_every: int | None = None,
    progress: bool = True,
    key: Key,
) -> tuple[PyTree, History]:
    """Return `model` after `num_updates` updates on `task`, and the history of its training.

    Update k = 1, 2, ... draws its batch by `task.sample(fold_in(key, k), batch_size)` inside the
    compiled loop, so a run is a function of its arguments alone: repeated on the same machine it
    gives the same numbers bit for bit. Ctrl-C returns what the finished records left. An update
    that meets a NaN or an infinity ends training with the model from before it; `History` says
    which.

    A model with batch normalization (`BatchNormCell`) trains on statistics of each batch, gradients
    flowing through them; population statistics follow, and are estimated at the end from one batch
    of at least 500 sequences, so that the returned model can be evaluated.

    **Arguments:**

    - `model`: any callable pytree, `model(inputs) -> outputs` for one sequence, for instance a
      `SequenceModel`. Its floating arrays are trained, except for population statistics; everything
      else is kept.
    - `task`: where batches, loss and metric come from.
    - `num_updates`: number of optimizer updates; `steps` is another name for it.
    - `batch_size`: sequences per update.
    - `optimizer`: an Optax transformation of the gradient of all trained arrays; by default Adam
      at 1e-3 behind clipping by global norm at 1.
    - `initial_state`, `penalty`, `project`: hooks of a `Mitigation`, which see `model.cell`: what
      the initial state of each training sequence becomes, what is added to the loss, what follows
      each update.
    - `record_every`: updates per record, and per call of the compiled loop.
    - `record`: what to record beside loss, metric and gradient norm, for the last update of each
      record: "gradient_profile" (log ||dL/ds_t||, t = 0..T), "saturation" (share of saturated
      units of each activation), "update_ratio" (||change|| / ||array|| of each trained array) and
      "exponents" (up to 4 leading growth rates per step), all of the model before that update.
    - `target`: "loss < 0.01", "metric > 0.9" or the like, or a number for the loss: training ends
      with the first record beyond it.
    - `checkpoint`: back-propagate in O(sqrt(time)) memory for one more forward pass; gradients are
      the same to rounding.
    - `resume`: folder that keeps the state of the run while it goes on, the last two of them. The
      same call again takes it up where it was cut off, by Ctrl-C or anything else, to the same
      numbers bit for bit; the end of the run empties the folder. None keeps nothing.
    - `save_every`: updates between two states in `resume`, rounded up to whole records; by default
      30 seconds have to pass.
    - `progress`: show a bar with loss, metric and gradient norm; False prints nothing at all.
    - `key`: the only source of randomness.

    **Returns:** the trained model and a `History`.

    **Raises:** `ValueError` for counts below 1, a model without floating arrays, an unknown
    `record` or `target`, batch normalization of sequences of different length, and a `resume` that
    holds another run, with the differences (functions, such as most of Optax, are told apart by
    their names alone); `TypeError` when something needs a `SequenceModel` and `model` is none.

    **Cost:** one compilation per structure of model, task and hooks, optimizer, `batch_size`,
    `record_every` and `record`. Numbers in the hooks and optimizers of recipes (learning rate,
    threshold, strength) are data and compile nothing anew; each Optax optimizer is another one.
    The memory of back-propagation through one batch, O(batch time hidden), with `checkpoint`
    O(batch sqrt(time) hidden). Recorders run once per record: a profile costs about one more
    update.

    **Example:**

    >>> import jax, vanishing_jax as vj
    >>> from vanishing_jax.training import SequenceModel, train
    >>> key_cell, key_readout, key_data = jax.random.split(jax.random.key(0), 3)
    >>> model = SequenceModel(vj.cells.VanillaCell(1, 4, key=key_cell), 10, key=key_readout)
    >>> model, history = train(
    ...     model, vj.tasks.digits(), num_updates=4, batch_size=2, record_every=2, progress=False,
    ...     key=key_data,
    ... )
    >>> history.step
    array([2, 4])
    """
    settings = read_settings(
        num_updates, steps, batch_size, record_every, record, target, checkpoint
    )
    hooks = Hooks(penalty, project, initial_state)
    training = Training(model, optimizer or OPTIMIZER, hooks, task, key)
    return run_training(training, settings, resume=resume, save_every=save_every, progress=progress)


def run_training(
    training: Training,
    settings: Settings,
    *,
    resume: str | Path | None,
    save_every: int | None,
    progress: bool,
) -> tuple[PyTree, History]:
    """Return the trained model and the history."""
    from tqdm import tqdm

    check_saving(resume, save_every)
    parts, task = split(training.model), training.task
    if not jax.tree.leaves(parts.params):
        raise ValueError("expected a model with floating arrays to train; it has none.")
    check_training(training, settings.chunk)
    carry, context = begin(training)
    described = {name: fingerprint(part) for name, part in training._asdict().items()}
    savepoints = Savepoints(resume, described | settings.described(), save_every)
    # An array: as an int, another number of updates would mean another compilation.
    num_updates = jnp.asarray(settings.num_updates, jnp.int32)

    def advance(run: Run, start: int):
        number = jnp.asarray(start, jnp.int32)
        carry, *seen = run_chunk(run.carry, number, context, num_updates, settings.chunk)
        return carry, [tuple(jax.device_get(seen))]

    run = start_run(carry, 1, savepoints, strict=True)
    bar = tqdm(
        total=settings.num_updates, initial=run.step, disable=not progress, desc=task.name,
        unit=" updates",
    )  # fmt: skip
    with bar:
        run = run_chunks(advance, run, settings, ft.partial(show, bar, task), savepoints)
    if not run.interrupted:
        savepoints.remove()
    (history,) = histories(run, training.model, task, settings)
    model = join(Parts(run.carry.params, run.carry.statistics, parts.rest))
    if run.step:
        model = settled(model, task, settings.chunk.batch_size, training.key)
    return model, history


def check_training(training: Training, chunk: Chunk) -> None:
    """Raise unless the model has what its hooks and recorders need."""
    check_hooks(training.model, training.hooks, checkpoint=chunk.checkpoint)
    check_recorders(chunk.record, training.model)


@eqx.filter_jit
def _estimate(model: PyTree, task: AbstractTask, batch_size: int, key: Key) -> PyTree:
    # Update 0 does not exist, so these are sequences that no update has seen.
    return estimated(model, task.sample(jr.fold_in(key, 0), batch_size)[0])


def settled(model: PyTree, task: AbstractTask, batch_size: int, key: Key) -> PyTree:
    """Return the model with population statistics of its final weights, if it has any."""
    if not jax.tree.leaves(split(model).statistics):
        return model
    return _estimate(model, task, max(batch_size, _LARGE_BATCH), key)
