"""How good a model is on sequences that it was not trained on."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from .._types import Key, PyTree
from ..tasks import AbstractTask
from ._settings import check_counts


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
    check_counts(num_sequences=num_sequences, batch_size=batch_size)
    test = getattr(task, "test", None)
    if test is None:
        keys = jr.split(key, -(-num_sequences // batch_size))
        sizes = [batch_size] * len(keys)
        scores = [_scores_of_draw(model, task, one, batch_size) for one in keys]
    else:
        total = jax.tree.leaves(test)[0].shape[0]
        starts = range(0, total, batch_size)
        sizes = [min(batch_size, total - start) for start in starts]
        scores = [
            _scores(model, task, *jax.tree.map(lambda x, i=i: x[i : i + batch_size], test))
            for i in starts
        ]
    losses, metrics = np.asarray(jax.device_get(scores), np.float64).T
    loss, metric = (float(np.average(x, weights=sizes)) for x in (losses, metrics))
    return Evaluation(loss, metric, sum(sizes), test is not None)


@eqx.filter_jit
def _scores_of_draw(model: PyTree, task: AbstractTask, key: Key, batch_size: int):
    return _scores(model, task, *task.sample(key, batch_size))


@eqx.filter_jit
def _scores(model: Any, task: AbstractTask, inputs: PyTree, targets: PyTree):
    outputs = jax.vmap(model)(inputs)
    return jnp.asarray(task.loss(outputs, targets)), jnp.asarray(task.metric(outputs, targets))
