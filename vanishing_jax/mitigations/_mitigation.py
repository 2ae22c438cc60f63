"""The mitigation record: what a remedy does to a cell and to its training."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.random as jr
import optax
from jax.tree_util import Partial

from .._types import Array, Key, PyTree
from ..cells import AbstractCell
from ._transformation import chained


class Mitigation(eqx.Module):
    r"""A remedy as a record of pure hooks; a hook that is None does nothing.

    - `transform_cell(cell, *, key) -> cell`: once, before training (initial weights, a wrapper).
    - `initial_state(cell, state, *, key) -> state`: in training, for each sequence anew, what its
      initial state becomes (noise). Evaluation starts from the cell's own.
    - `penalty(cell, inputs, loss) -> scalar`: added to the loss. `inputs` are the batch,
      `batch time input`; `loss(states)` scores the states of that batch, `batch time+1 ...`, as
      for `gradient_profile`.
    - `gradient_transform`: an Optax transformation of the gradient of all trained arrays, before
      the optimizer (clipping).
    - `update_transform`: the same for what the optimizer makes of it, before that is multiplied by
      the learning rate (decoupled weight decay, other rates for some weights).
    - `project(cell) -> cell`: after each update, back onto a set; a projection, so applied twice it
      does what it does once.

    Hooks are functions or partial applications (`jax.tree_util.Partial`) of functions to arrays:
    they are pytrees, and another threshold or strength needs no other compilation when the hook is
    an argument of the compiled function. `chain` composes records.

    **Example:** what the hooks mean, as a training step by hand:

    >>> import jax, optax
    >>> from vanishing_jax import cells, mitigations
    >>> remedy = mitigations.chain(mitigations.orthogonal(), mitigations.clip_by_global_norm(1.0))
    >>> cell = cells.VanillaCell(1, 4, key=jax.random.key(0))
    >>> cell = remedy.transform_cell(cell, key=jax.random.key(1))
    >>> optimizer = optax.chain(remedy.gradient_transform, optax.adam(1e-3))
    >>> print(remedy)
    orthogonal recurrent weights, gain 1; gradient clipped at global norm 1
    """

    name: str
    transform_cell: Callable[..., AbstractCell] | None = None
    initial_state: Callable[..., PyTree] | None = None
    penalty: Callable[[AbstractCell, PyTree, Callable[[PyTree], Array]], Array] | None = None
    gradient_transform: optax.GradientTransformation | None = None
    update_transform: optax.GradientTransformation | None = None
    project: Callable[[AbstractCell], AbstractCell] | None = None

    def __str__(self) -> str:
        """Return the name."""
        return self.name


def chain(*mitigations: Mitigation) -> Mitigation:
    """Return the mitigations as one, applied from left to right; their penalties add up.

    **Arguments:**

    - `mitigations`: any number; none gives the mitigation that does nothing.

    **Returns:** a `Mitigation`; a hook is None if it is None in each of them.

    **Example:**

    >>> from vanishing_jax import mitigations
    >>> both = mitigations.chain(mitigations.truncate(20), mitigations.clip_by_value(0.1))
    >>> both.penalty is None, both.project is None
    (True, True)
    """

    def hooks(name: str) -> tuple:
        found = (getattr(mitigation, name) for mitigation in mitigations)
        return tuple(hook for hook in found if hook is not None)

    def combined(name: str, combine: Callable[..., Any]) -> Any:
        found = hooks(name)
        return found[0] if len(found) == 1 else combine(found) if found else None

    return Mitigation(
        name="; ".join(mitigation.name for mitigation in mitigations) or "nothing",
        transform_cell=combined("transform_cell", lambda found: Partial(_transform_all, found)),
        initial_state=combined("initial_state", lambda found: Partial(_start_all, found)),
        penalty=combined("penalty", lambda found: Partial(_sum_all, found)),
        gradient_transform=combined("gradient_transform", chained),
        update_transform=combined("update_transform", chained),
        project=combined("project", lambda found: Partial(_project_all, found)),
    )


def _transform_all(hooks: tuple, cell: AbstractCell, *, key: Key) -> AbstractCell:
    for hook, part in zip(hooks, jr.split(key, len(hooks)), strict=True):
        cell = hook(cell, key=part)
    return cell


def _start_all(hooks: tuple, cell: AbstractCell, state: PyTree, *, key: Key) -> PyTree:
    for hook, part in zip(hooks, jr.split(key, len(hooks)), strict=True):
        state = hook(cell, state, key=part)
    return state


def _sum_all(hooks: tuple, cell: AbstractCell, inputs: PyTree, loss: Callable) -> Array:
    first, *others = (hook(cell, inputs, loss) for hook in hooks)
    return sum(others, start=first)


def _project_all(hooks: tuple, cell: AbstractCell) -> AbstractCell:
    for hook in hooks:
        cell = hook(cell)
    return cell


def check_not_negative(**numbers: float) -> None:
    """Raise ValueError for a number that is negative or not finite."""
    for name, number in numbers.items():
        if not (math.isfinite(number) and number >= 0):
            raise ValueError(f"expected a finite `{name}` of at least 0; got {number}.")
