"""The training loop: compiled chunks of updates, run from the host under a progress bar."""

import functools as ft
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from .._types import Key, PyTree
from ..tasks import AbstractTask
from ._history import History, Record, collect, summarize
from ._updates import Carry, checked_names, run_chunk


def train(
    model: PyTree,
    task: AbstractTask,
    *,
    steps: int,
    batch_size: int,
    optimizer: optax.GradientTransformation | None = None,
    record_every: int = 10,
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

    **Arguments:**

    - `model`: any callable pytree, `model(inputs) -> outputs` for one sequence, for instance a
      `SequenceModel`. Its floating arrays are trained; everything else is kept.
    - `task`: where batches, loss and metric come from.
    - `steps`: number of updates.
    - `batch_size`: sequences per update.
    - `optimizer`: an Optax transformation of the gradient of all floating arrays; by default Adam
      at 1e-3 behind clipping by global norm at 1.
    - `record_every`: updates per record, and per call of the compiled loop.
    - `progress`: show a bar with loss, metric and gradient norm; False prints nothing at all.
    - `throw`: raise on a NaN or an infinity instead of reporting it.
    - `key`: the only source of randomness.

    **Returns:** the trained model and a `History`.

    **Raises:** `ValueError` for counts below 1 and for a model without floating arrays; with
    `throw`, `FloatingPointError`.

    **Cost:** one compilation per structure of model and task, optimizer object, `batch_size` and
    `record_every`; the memory of back-propagation through one batch, O(batch time hidden).

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
    counts = {"steps": steps, "batch_size": batch_size, "record_every": record_every}
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"expected `{name}` of at least 1; got {count}.")
    optimizer = _default_optimizer() if optimizer is None else optimizer
    params, rest = eqx.partition(model, eqx.is_inexact_array)
    if not jax.tree.leaves(params):
        raise ValueError("expected a model with floating arrays to train; it has none.")
    advance = ft.partial(
        run_chunk,
        context=(rest, task, optimizer, key),
        # An array: as an int, another number of updates would mean another compilation.
        steps=jnp.asarray(steps, jnp.int32),
        batch_size=batch_size,
        length=record_every,
    )
    carry = Carry(params, optimizer.init(params), jnp.asarray(True))
    carry, records, interrupted = _run(advance, carry, task, steps, record_every, progress)
    history = collect(records, checked_names(params), interrupted=interrupted)
    if throw and history.nonfinite_step is not None:
        raise FloatingPointError(
            f"expected finite numbers; update {history.nonfinite_step} met a NaN or an infinity, "
            f"first in: {history.nonfinite_leaf}. Lower the learning rate or clip the gradient; "
            "throw=False returns the model from before that update."
        )
    return eqx.combine(carry.params, rest), history


@ft.cache
def _default_optimizer() -> optax.GradientTransformation:
    """Return the default optimizer, the same object each time: a new one would recompile."""
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3))


def _run(
    advance: Callable,
    carry: Carry,
    task: AbstractTask,
    steps: int,
    record_every: int,
    progress: bool,
) -> tuple[Carry, tuple[Record, ...], bool]:
    """Call `advance` until the end, a non-finite update or Ctrl-C.

    Returns the carry, the records, and whether it was Ctrl-C.
    """
    from tqdm import tqdm

    # Bound as one pair, so that Ctrl-C cannot part a carry from its record.
    finished: tuple[Carry, tuple[Record, ...]] = (carry, ())
    with tqdm(total=steps, disable=not progress, desc=task.name, unit=" updates") as bar:
        try:
            for start in range(0, steps, record_every):
                carry, updates = advance(finished[0], jnp.asarray(start, jnp.int32))
                record = summarize(jax.device_get(updates), start, steps)
                finished = (carry, (*finished[1], record))
                readings = {
                    "loss": f"{record.loss:.3g}",
                    task.metric_name: f"{record.metric:.3g}",
                    "gradient": f"{record.gradient_norm:.2g}",
                }
                bar.set_postfix(readings, refresh=False)
                bar.update(record.step - start)
                if record.first_nonfinite is not None:
                    break
        except KeyboardInterrupt:
            return finished[0], finished[1], True
    return finished[0], finished[1], False
