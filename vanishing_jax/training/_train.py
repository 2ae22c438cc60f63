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

from .._types import Array, Key, PyTree
from ..tasks import AbstractTask
from ._goal import check_keep, cost, parse_target
from ._history import History, Record, collect, summarize
from ._model import SequenceModel
from ._objective import Hooks, check_hooks, estimated
from ._parameters import Parts, join, split
from ._run import Run, describe_run, restored, saved
from ._savepoints import Savepoints
from ._updates import Carry, Settings, begin, checked_names, run_chunk
from .recorders import RECORDERS

# Sequences from which population statistics of batch normalization are estimated at the end.
_LARGE_BATCH = 500


def train(
    model: PyTree,
    task: AbstractTask,
    *,
    steps: int,
    batch_size: int,
    optimizer: optax.GradientTransformation | None = None,
    initial_state: Callable[..., PyTree] | None = None,
    penalty: Callable[..., Array] | None = None,
    project: Callable[[Any], Any] | None = None,
    clip: optax.GradientTransformation | None = None,
    record_every: int = 10,
    record: Sequence[str] = (),
    target: str | float | None = None,
    keep: str = "last",
    checkpoint: bool = False,
    resume: str | Path | None = None,
    save_every: int | None = None,
    progress: bool = True,
    throw: bool = False,
    key: Key,
) -> tuple[PyTree, History]:
    """Return `model` after `steps` updates on `task`, and the history of its training.

    Update k = 1..steps draws its batch by `task.sample(fold_in(key, k), batch_size)` inside the
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
    - `steps`: number of updates.
    - `batch_size`: sequences per update.
    - `optimizer`: an Optax transformation of the gradient of all trained arrays; by default Adam
      at 1e-3 behind clipping by global norm at 1.
    - `initial_state`, `penalty`, `project`: hooks of a `Mitigation`, which see `model.cell`: what
      the initial state of each training sequence becomes, what is added to the loss, what follows
      each update.
    - `clip`: the transformation of the gradient that `optimizer` begins with, such as the
      `gradient_transform` of a `Mitigation`, for `record=("clip",)`; it is not applied again.
    - `record_every`: updates per record, and per call of the compiled loop.
    - `record`: what to record beside loss, metric and gradient norm, for the last update of each
      record: "gradient_profile" (log ||dL/ds_t||, t = 0..T), "saturation" (share of saturated
      units of each activation), "update_ratio" (||change|| / ||array|| of each trained array),
      "exponents" (up to 4 leading growth rates per step), all of the model before that update;
      and "clip", the share of all updates since the previous record whose gradient was clipped.
    - `target`: "loss < 0.01", "metric > 0.9" or the like, or a number for the loss: training ends
      with the first record beyond it.
    - `keep`: "last" returns the last model, "best" that at the end of the record with the lowest
      loss, "lowest metric" and "highest metric" likewise.
    - `checkpoint`: back-propagate in O(sqrt(time)) memory for one more forward pass; gradients are
      the same to rounding.
    - `resume`: folder that keeps the state of the run while it goes on, the last two of them. The
      same call again takes it up where it was cut off, by Ctrl-C or anything else, to the same
      numbers bit for bit; the end of the run empties the folder. None keeps nothing.
    - `save_every`: updates between two states in `resume`, rounded up to whole records; by default
      30 seconds have to pass.
    - `progress`: show a bar with loss, metric and gradient norm; False prints nothing at all.
    - `throw`: raise on a NaN or an infinity instead of reporting it.
    - `key`: the only source of randomness.

    **Returns:** the trained model and a `History`.

    **Raises:** `ValueError` for counts below 1, a model without floating arrays, an unknown
    `record`, `target` or `keep`, `record=("clip",)` without a known clipping, batch normalization
    of sequences of different length, and a `resume` that holds another run, with the differences
    (functions, such as most of Optax, are told apart by their names alone); `TypeError` when
    something needs a `SequenceModel` and `model` is none; with `throw`, `FloatingPointError`.

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
    ...     model, vj.tasks.digits(), steps=4, batch_size=2, record_every=2, progress=False,
    ...     key=key_data,
    ... )
    >>> history.step
    array([2, 4])
    """
    check_counts(steps=steps, batch_size=batch_size, record_every=record_every)
    check_saving(resume, save_every)
    goal = parse_target(target)
    check_keep(keep)
    if optimizer is None:
        optimizer, clip = _default_optimizer()
    hooks, parts = Hooks(penalty, project, clip, initial_state), split(model)
    if not jax.tree.leaves(parts.params):
        raise ValueError("expected a model with floating arrays to train; it has none.")
    check_hooks(model, parts, hooks, checkpoint=checkpoint)
    record = checked_recorders(record, model, clip)
    carry, context = begin(model, task, optimizer, hooks, key)
    advance = ft.partial(
        run_chunk,
        context=context,
        # An array: as an int, another number of updates would mean another compilation.
        steps=jnp.asarray(steps, jnp.int32),
        settings=Settings(batch_size, record_every, record, checkpoint),
    )
    description = describe_run(
        (model, optimizer, hooks, task, key), steps, advance.keywords["settings"], target, keep
    )
    with Savepoints(resume, description, save_every) as savepoints:
        run = restored(savepoints, carry)
        ended = _run(advance, run, task, steps, record_every, (goal, keep, progress), savepoints)
        if not ended.interrupted:
            savepoints.remove()
    history = collect(
        ended.records,
        checked_names(parts),
        record,
        {name: names for name in record if (names := RECORDERS[name].labels(model, task))},
        interrupted=ended.interrupted,
        target_step=ended.target_step,
        best_step=ended.best_step,
    )
    if throw and history.nonfinite_step is not None:
        raise FloatingPointError(
            f"expected finite numbers; update {history.nonfinite_step} met a NaN or an infinity, "
            f"first in: {history.nonfinite_leaf}. Lower the learning rate or clip the gradient; "
            "throw=False returns the model from before that update."
        )
    kept = ended.carry if ended.best is None else ended.best
    model = join(Parts(kept.params, kept.statistics, parts.rest))
    return (settled(model, task, batch_size, key) if ended.records else model), history


def check_counts(**counts: int) -> None:
    """Raise `ValueError` for the first count below 1, by the name of its keyword."""
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"expected `{name}` of at least 1; got {count}.")


def check_saving(folder: str | Path | None, every: int | None) -> None:
    """Raise unless `save_every` is a count that has a folder to go with."""
    if every is None:
        return
    check_counts(save_every=every)
    if folder is None:
        raise TypeError("`save_every` goes with a folder to save to; there is none.")


def checked_recorders(record: Sequence[str], model: Any, clip: Any) -> tuple[str, ...]:
    """Return the names of the recorders after a look at whether they can run."""
    record = (record,) if isinstance(record, str) else tuple(record)
    for name in record:
        if name not in RECORDERS:
            raise ValueError(
                f"expected `record` out of {', '.join(map(repr, RECORDERS))}; got {name!r}."
            )
        if RECORDERS[name].needs_cell and not isinstance(model, SequenceModel):
            raise TypeError(
                f"recording {name!r} takes a SequenceModel; got {type(model).__name__}."
            )
    if "clip" in record and clip is None:
        raise ValueError(
            "recording 'clip' takes `clip`, the clipping that `optimizer` begins with: for "
            "instance vj.mitigations.clip_by_global_norm(1.0).gradient_transform."
        )
    return record


@ft.cache
def _default_optimizer() -> tuple[optax.GradientTransformation, optax.GradientTransformation]:
    """Return the default optimizer and its clipping, always the same: new ones would recompile."""
    clip = optax.clip_by_global_norm(1.0)
    return optax.chain(clip, optax.adam(1e-3)), clip


@eqx.filter_jit
def _estimate(model: PyTree, task: AbstractTask, batch_size: int, key: Key) -> PyTree:
    # Update 0 does not exist, so these are sequences that no update has seen.
    return estimated(model, task.sample(jr.fold_in(key, 0), batch_size)[0])


def settled(model: PyTree, task: AbstractTask, batch_size: int, key: Key) -> PyTree:
    """Return the model with population statistics of its final weights, if it has any."""
    if not jax.tree.leaves(split(model).statistics):
        return model
    return _estimate(model, task, max(batch_size, _LARGE_BATCH), key)


def _run(
    advance: Callable,
    run: Run,
    task: AbstractTask,
    steps: int,
    record_every: int,
    options: tuple,
    savepoints: Savepoints,
) -> Run:
    """Call `advance` until the end, the target, a non-finite update or Ctrl-C.

    `options` are (goal, what to keep, whether to show a bar).
    """
    from tqdm import tqdm

    goal, keep, progress = options
    done = run.step
    bar = tqdm(total=steps, initial=done, disable=not progress, desc=task.name, unit=" updates")
    with bar:
        try:
            for start in range(done, steps, record_every):
                carry, updates, recorded = advance(run.carry, jnp.asarray(start, jnp.int32))
                record = summarize(*jax.device_get((updates, recorded)), start, steps)
                # Bound as one value, so that Ctrl-C cannot part a carry from its record.
                run = _extended(run, carry, record, keep)
                readings = {
                    "loss": f"{record.loss:.3g}",
                    task.metric_name: f"{record.metric:.3g}",
                    "gradient": f"{record.gradient_norm:.2g}",
                }
                bar.set_postfix(readings, refresh=False)
                bar.update(record.step - start)
                if record.first_nonfinite is not None:
                    break
                if goal is not None and goal.reached(record):
                    return run._replace(target_step=record.step)
                if savepoints.due(record.step):
                    savepoints.save(record.step, saved(run))
        except KeyboardInterrupt:
            savepoints.save(run.step, saved(run))
            return run._replace(interrupted=True)
    return run


def _extended(run: Run, carry: Carry, record: Record, keep: str) -> Run:
    """Return the run with one more record."""
    run = run._replace(carry=carry, records=(*run.records, record))
    price = cost(record, keep)
    if price is None or not price < run.best_cost:
        return run
    return run._replace(best=carry, best_cost=price, best_step=record.step)
