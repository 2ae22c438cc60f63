"""What an update minimizes, and what mitigations have to say in it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.random as jr

from .._types import Array, Key, PyTree
from ..cells import estimate_statistics, update_statistics, use_batch_statistics
from ..tasks import AbstractTask, Padded
from ._model import SequenceModel, readout_loss
from ._parameters import Parts, join, split

_AXIS = "batch"
_NOISE = 2**32 - 1


class Hooks(NamedTuple):
    """The hooks of a `Mitigation` that act in training, each None or as there.

    Arguments of the compiled chunk: numbers in them are data.
    """

    penalty: Callable[..., Array] | None = None
    project: Callable[[Any], Any] | None = None
    initial_state: Callable[..., PyTree] | None = None


class Scores(NamedTuple):
    """What the loss function of an update returns beside the number to minimize."""

    loss: Array  # the task's own, without the penalty
    metric: Array
    states: PyTree  # final states with statistics of the batch, or None


def objective(
    parts: Parts, task: AbstractTask, batch: tuple, hooks: Hooks, *, checkpoint: bool, key: Key
) -> tuple[Array, Scores]:
    """Return the task's loss plus the penalty, and the scores; `key` draws initial states."""
    inputs, targets = batch
    model = join(parts)
    outputs, states = _forward(model, inputs, hooks, _has_statistics(parts), checkpoint, key)
    loss = task.loss(outputs, targets)
    scores = Scores(loss, task.metric(outputs, targets), states)
    if hooks.penalty is None:
        return loss, scores
    # Of the cell as it is evaluated: a penalty may roll it out over one sequence at a time.
    extra = hooks.penalty(model.cell, inputs, readout_loss(model, task, targets))
    return loss + extra.astype(loss.dtype), scores


def _forward(
    model: Any, inputs: PyTree, hooks: Hooks, batch_statistics: bool, checkpoint: bool, key: Key
):
    """Return (outputs, final states or None) of a batch in training."""
    if not batch_statistics and hooks.initial_state is None and isinstance(model, SequenceModel):
        return model.run_batch(inputs, checkpoint=checkpoint)[0], None
    if not (batch_statistics or checkpoint) and hooks.initial_state is None:
        return jax.vmap(model)(inputs), None  # any callable: only the rest needs to know its scan
    if batch_statistics:
        if isinstance(inputs, Padded):
            raise ValueError(
                "expected sequences of one length for batch normalization, whose statistics belong "
                "to a time step; the task returns `Padded` ones. Choose a task or variant of one "
                "length, or another normalization."
            )
        model = use_batch_statistics(model, _AXIS)

    def run(x, key):
        state0 = model.cell.initial_state()
        if hooks.initial_state is not None:
            state0 = hooks.initial_state(model.cell, state0, key=key)
        return model.run(x, checkpoint=checkpoint, state0=state0)

    # A key of its own beside those that a task makes of the same one.
    keys = jr.split(jr.fold_in(key, _NOISE), jax.tree.leaves(inputs)[0].shape[0])
    outputs, states = jax.vmap(run, axis_name=_AXIS)(inputs, keys)
    return outputs, states if batch_statistics else None


def projected(parts: Parts, project: Any) -> Parts:
    """Return the parts of the model with its cell projected."""
    if project is None:
        return parts
    model = join(parts)
    return split(eqx.tree_at(lambda m: m.cell, model, project(model.cell)))


def followed(parts: Parts, states: PyTree) -> Parts:
    """Return the parts with population statistics moved towards those of the batch."""
    return parts if states is None else split(update_statistics(join(parts), states))


def estimated(model: Any, inputs: PyTree) -> Any:
    """Return the model with the statistics of one batch, or as it is if it has none."""
    if not _has_statistics(split(model)):
        return model
    return eqx.tree_at(lambda m: m.cell, model, estimate_statistics(model.cell, inputs))


def _has_statistics(parts: Parts) -> bool:
    return bool(jax.tree.leaves(parts.statistics))


def check_hooks(model: Any, hooks: Hooks, *, checkpoint: bool) -> None:
    """Raise TypeError unless the model has what is asked of it."""
    wanted = {
        "another initial state": hooks.initial_state is not None,
        "a penalty": hooks.penalty is not None,
        "a projection": hooks.project is not None,
        "checkpoint=True": checkpoint,
        "batch normalization": _has_statistics(split(model)),
    }
    asking = [what for what, asked in wanted.items() if asked]
    if asking and not isinstance(model, SequenceModel):
        raise TypeError(
            f"expected a SequenceModel for {' and '.join(asking)}; got {type(model).__name__}. "
            "Wrap its recurrence: SequenceModel(cell, output_size, key=key)."
        )
