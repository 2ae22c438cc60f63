"""Batch statistics inside a state, and the parts of a state that wrappers may touch."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float

from .._types import Array, PyTree


class BatchStatistics(eqx.Module):
    """Means and (biased) variances over a batch, one row per time step, or those of one.

    Each by site, which is what is normalized apart: of a `VanillaCell` the "recurrent" and the
    "input" contribution, or the latter alone.
    """

    mean: dict[str, Float[Array, "*steps values"]]
    variance: dict[str, Float[Array, "*steps values"]]


def is_statistics(node: Any) -> bool:
    """Return whether `node` is a `BatchStatistics`."""
    return isinstance(node, BatchStatistics)


def mix_states(fn: Callable[[Array, Array], Array], old: PyTree, new: PyTree) -> PyTree:
    """Return `fn(old, new)` for floating leaves; counters, keys and batch statistics are new."""

    def mix(a, b):
        return fn(a, b) if _is_floating(b) else b

    return jax.tree.map(mix, old, new, is_leaf=is_statistics)


def differentiable(state: PyTree) -> tuple[PyTree, PyTree]:
    """Return (floating leaves, the rest) of a state, for `equinox.combine`.

    Batch statistics are part of the rest: they are shared by the batch, and no gradient is theirs.
    """
    return eqx.partition(state, _is_floating, is_leaf=is_statistics)


def _is_floating(leaf: Any) -> bool:
    if is_statistics(leaf):
        return False
    dtype = leaf.dtype if hasattr(leaf, "dtype") else jnp.result_type(leaf)
    return jnp.issubdtype(dtype, jnp.inexact)
