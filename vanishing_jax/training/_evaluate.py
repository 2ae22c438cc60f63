"""How good a model is on sequences that it was not trained on."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from .._types import Array, Key, PyTree
from ..tasks import AbstractTask


class Evaluation(eqx.Module):
    """Loss and metric of a model, means over `num_sequences` sequences.

    - `loss`, `metric`: in the task's units.
    - `held_out`: whether these are the task's held-out sequences, or fresh ones that it drew.
    """

    loss: float
    metric: float
    num_sequences: int
    held_out: bool

    def __str__(self) -> str:
        """Return both numbers and what they are of."""
        kind = "held-out" if self.held_out else "fresh"
        return (
            f"loss {self.loss:.4g}, metric {self.metric:.4g} on {self.num_sequences} {kind} "
            "sequences"
        )


def evaluate(
    model: PyTree,
    task: AbstractTask,
    *,
    num_sequences: int = 1000,
    batch_size: int = 100,
    key: Key,
) -> Evaluation:
    """Return loss and metric of `model` on held-out sequences, or on fresh ones.

    A task with data holds some out (`task.test`); all of them are used. Other tasks draw sequences
    without end, and `key` draws `num_sequences` that no training has seen, unless it trained with
    the same key. Batch normalization is by population statistics.

    **Arguments:**

    - `model`: as for `train`.
    - `task`: where sequences, loss and metric come from.
    - `num_sequences`: how many to draw, rounded up to whole batches; with held-out data, ignored.
    - `batch_size`: sequences at a time, which bounds the memory.
    - `key`: for the draw.

    **Returns:** an `Evaluation`.

    **Raises:** `ValueError` for counts below 1.

    **Cost:** one forward pass over the sequences; memory of one batch.

    **Example:**

    >>> import jax, vanishing_jax as vj
    >>> from vanishing_jax.training import evaluate
    >>> task = vj.tasks.Adding(4)
    >>> zero = lambda inputs: inputs[-1, :1] * 0
    >>> evaluate(zero, task, num_sequences=20, batch_size=10, key=jax.random.key(0)).num_sequences
    20
    """
    for name, count in {"num_sequences": num_sequences, "batch_size": batch_size}.items():
        if count < 1:
            raise ValueError(f"expected `{name}` of at least 1; got {count}.")
    test = getattr(task, "test", None)
    if test is None:
        batches = -(-num_sequences // batch_size)
        scores = _of_draws(model, task, jr.split(key, batches), batch_size)
        weights = np.full(batches, batch_size)
    else:
        total = jax.tree.leaves(test)[0].shape[0]
        whole = total - total % batch_size
        pieces = [
            _of_batches(model, task, jax.tree.map(_reshaped(start, stop, size), test))
            for start, stop, size in ((0, whole, batch_size), (whole, total, total - whole))
            if stop > start
        ]
        scores = [np.concatenate(of_pieces) for of_pieces in zip(*pieces, strict=True)]
        weights = np.array([batch_size] * (whole // batch_size) + [total - whole] * (total > whole))
    loss, metric = (float(np.average(np.asarray(s, np.float64), weights=weights)) for s in scores)
    return Evaluation(loss, metric, int(weights.sum()), test is not None)


def _reshaped(start: int, stop: int, size: int) -> Any:
    def reshaped(leaf: Array) -> Array:
        return leaf[start:stop].reshape(-1, size, *leaf.shape[1:])

    return reshaped


@eqx.filter_jit
def _of_draws(model: PyTree, task: AbstractTask, keys: Key, batch_size: int):
    return jax.lax.map(lambda key: _scores(model, task, *task.sample(key, batch_size)), keys)


@eqx.filter_jit
def _of_batches(model: PyTree, task: AbstractTask, batches: tuple):
    return jax.lax.map(lambda batch: _scores(model, task, *batch), batches)


def _scores(model: Any, task: AbstractTask, inputs: PyTree, targets: PyTree):
    outputs = jax.vmap(model)(inputs)
    return jnp.asarray(task.loss(outputs, targets)), jnp.asarray(task.metric(outputs, targets))
