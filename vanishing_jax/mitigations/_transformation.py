"""Optax transformations whose numbers are data."""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import optax
from jax.tree_util import Partial

from .._types import PyTree


def transformation(make: Callable[..., Any], **numbers: float) -> optax.GradientTransformation:
    """Return `make(**numbers)` as a pytree with the numbers as leaves.

    Optax closes over its numbers, so that each learning rate is another function and another
    compilation. Here the functions are partial applications of the same two, and the numbers are
    arguments of whatever is compiled. They are weakly typed and promote nothing.

    **Arguments:**

    - `make`: a function of Optax, or of a module: the same object for the same transformation.
    - `numbers`: its keyword arguments.
    """
    values = {name: jnp.asarray(float(number)) for name, number in numbers.items()}
    return optax.GradientTransformation(
        Partial(_init, make, values), Partial(_update, make, values)
    )


def _init(make, numbers: dict, params: PyTree) -> PyTree:
    return make(**numbers).init(params)


def _update(make, numbers: dict, updates: PyTree, state: PyTree, params: PyTree = None):
    return make(**numbers).update(updates, state, params)


def chained(
    transformations: Sequence[optax.GradientTransformation],
) -> optax.GradientTransformation:
    """Return `optax.chain(*transformations)` whose numbers stay data."""
    parts = tuple(transformations)
    return optax.GradientTransformation(Partial(_chain_init, parts), Partial(_chain_update, parts))


def _chain_init(parts, params: PyTree) -> PyTree:
    return optax.chain(*parts).init(params)


def _chain_update(parts, updates: PyTree, state: PyTree, params: PyTree = None):
    return optax.chain(*parts).update(updates, state, params)
