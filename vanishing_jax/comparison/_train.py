"""Training by name: a recipe, or a model, on a task."""

from collections.abc import Sequence
from pathlib import Path

import jax.random as jr
import optax

from .. import tasks
from .._types import Key, PyTree
from ..tasks import AbstractTask
from ..training import History
from ..training._objective import Hooks
from ..training._settings import read_settings
from ..training._train import OPTIMIZER, run_training
from ..training._updates import Training
from . import recipes
from .recipes import Recipe

HIDDEN_SIZE = 64


def train(
    recipe_or_model: str | Recipe | PyTree,
    task: str | AbstractTask,
    *,
    num_updates: int | None = None,
    steps: int | None = None,
    batch_size: int = 32,
    length: int | None = None,
    hidden_size: int | None = None,
    learning_rate: float | None = None,
    optimizer: optax.GradientTransformation | None = None,
    record_every: int = 10,
    record: Sequence[str] = (),
    target: str | float | None = None,
    checkpoint: bool = False,
    resume: str | Path | None = None,
    save_every: int | None = None,
    progress: bool = True,
    key: Key,
) -> tuple[PyTree, History]:
    """Return a trained model and the history of its training.

    A recipe is built for the task, and its mitigations act as they should: initial weights and
    wrappers before, the penalty in the loss, clipping and decay in the optimizer, the projection
    after each update. A model is trained as it is, as by `training.train`, which says more.

    **Arguments:**

    - `recipe_or_model`: a recipe such as "irnn+clip" or what `vj.recipes.parse` makes of it; or any
      callable pytree, `model(inputs) -> outputs`.
    - `task`: a task, or its name as in `vj.tasks.named`.
    - `num_updates`, `batch_size`: optimizer updates, and sequences in each (32); `steps` is another
      name for the first.
    - `length`: number of time steps, for a task given by name.
    - `hidden_size`: units of the cell of a recipe; 64 by default.
    - `learning_rate`: in place of the recipe's.
    - `optimizer`: for a model; by default as in `training.train`.
    - `record_every`, `record`, `target`, `checkpoint`, `resume`, `save_every`, `progress`: as in
      `training.train`.
    - `key`: the only source of randomness; for a recipe, of initial weights and data.

    **Returns:** the model, a `SequenceModel` for a recipe, and its `History`.

    **Raises:** as `vj.recipes.parse`, `vj.tasks.named` and `training.train`; `TypeError` when an
    argument goes with the other kind of `recipe_or_model` or `task`.

    **Cost:** as `training.train`.

    **Example:**

    >>> import jax, vanishing_jax as vj
    >>> model, history = vj.train(
    ...     "gru+clip", "adding", length=5, hidden_size=3, num_updates=2, record_every=1,
    ...     progress=False, key=jax.random.key(0),
    ... )
    >>> history.step
    array([1, 2])
    """
    settings = read_settings(
        num_updates, steps, batch_size, record_every, record, target, checkpoint
    )
    task = task_of(task, length)
    if isinstance(recipe_or_model, str):
        recipe_or_model = recipes.parse(recipe_or_model)
    if isinstance(recipe_or_model, Recipe):
        if optimizer is not None:
            raise TypeError(
                "`optimizer` goes with a model; a recipe names its own, as in 'tanh+rmsprop'."
            )
        size = HIDDEN_SIZE if hidden_size is None else hidden_size
        training = built(recipe_or_model, task, size, learning_rate, key)
    elif hidden_size is not None or learning_rate is not None:
        raise TypeError(
            "`hidden_size` and `learning_rate` go with a recipe; a model has its size, and "
            "`optimizer` its learning rate."
        )
    else:
        training = Training(recipe_or_model, optimizer or OPTIMIZER, Hooks(), task, key)
    return run_training(training, settings, resume=resume, save_every=save_every, progress=progress)


def task_of(task: str | AbstractTask, length: int | None) -> AbstractTask:
    """Return the task, made by its name if it is given so."""
    if isinstance(task, str):
        return tasks.named(task, length=length)
    if length is not None:
        raise TypeError("`length` goes with the name of a task; this task has its own.")
    return task


def built(
    recipe: Recipe, task: AbstractTask, hidden_size: int, learning_rate: float | None, key: Key
) -> Training:
    """Return the recipe as something to train: model, optimizer, hooks, and the key of its data."""
    key_model, key_data = jr.split(key)
    model, optimizer = recipe.build(task, hidden_size, learning_rate=learning_rate, key=key_model)
    mitigation = recipe.mitigation(task)
    hooks = Hooks(mitigation.penalty, mitigation.project, mitigation.initial_state)
    return Training(model, optimizer, hooks, task, key_data)
