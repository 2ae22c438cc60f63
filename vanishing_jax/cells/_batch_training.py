"""Batch normalization in training: statistics of the batch now, of the population afterwards."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .._tree import path_name
from .._types import Array, PyTree
from ._as_cell import as_cell
from ._base import AbstractCell
from ._batch_norm import BatchNormCell
from ._statistics import BatchStatistics, is_statistics


class _BatchStatisticsCell(AbstractCell):
    """A `BatchNormCell` that normalizes by the batch; its state also collects the statistics."""

    cell: BatchNormCell
    axis_name: Any = eqx.field(static=True)

    def __call__(self, state: PyTree, input: PyTree) -> tuple[PyTree, Array, BatchStatistics]:
        """Return the next (state of the cell inside, steps done, statistics of the steps done)."""
        cell = self.cell
        *inner, collected = state
        inner, step = cell.parts(tuple(inner))
        now = BatchStatistics({}, {})

        def norm(site, values):
            mean = jax.lax.pmean(values, self.axis_name)
            # Two passes: the difference of E a^2 and (E a)^2 would lose small variances.
            variance = jax.lax.pmean(jnp.square(values - mean), self.axis_name)
            now.mean[site], now.variance[site] = jax.lax.stop_gradient((mean, variance))
            return cell.normalized(site, values, mean, variance)

        new = cell.advance(inner, input, norm)
        row = cell.slot(step)
        collected = jax.tree.map(lambda all, one: all.at[row].set(one), collected, now)
        return new, step + 1, collected

    def initial_state(self) -> tuple[PyTree, Array, BatchStatistics]:
        """Return the cell's own at step 0; steps that will not be reached keep their statistics."""
        return *self.cell.initial_state(), jax.lax.stop_gradient(self.cell.statistics)

    @property
    def state_names(self) -> tuple[str, ...]:
        """The names of the cell inside, and of what is collected."""
        collected = jax.tree_util.tree_leaves_with_path(self.cell.statistics)
        return *(self.cell.state_names or ()), *(path_name(path) for path, _ in collected)

    @property
    def gate_names(self) -> tuple[str, ...]:
        """The gates of the cell inside."""
        return self.cell.gate_names

    def map_recurrent(self, fn: Callable[[Array], Array]) -> "_BatchStatisticsCell | None":
        """Return the same around the changed cell."""
        changed = self.cell.map_recurrent(fn)
        return None if changed is None else _BatchStatisticsCell(changed, self.axis_name)


def use_batch_statistics(tree: PyTree, axis_name: Any = "batch") -> PyTree:
    """Return `tree` with each `BatchNormCell` in it normalizing by statistics of the batch.

    The result runs under `jax.vmap(..., axis_name=axis_name)` over sequences, or any other named
    axis; gradients flow through the statistics. Its states also carry the statistics of the steps
    done, the same for all sequences, which `update_statistics` takes. A tree without such cells
    comes back as it is.

    **Arguments:**

    - `tree`: a cell, a model, or any pytree with cells in it; stacked and wrapped ones are found.
    - `axis_name`: name of the axis over sequences.

    **Returns:** the same tree, for training only. Called outside such an axis it raises
    `NameError`.

    **Example:**

    >>> import jax, jax.numpy as jnp
    >>> from vanishing_jax.cells import (
    ...     BatchNormCell, VanillaCell, update_statistics, use_batch_statistics)
    >>> cell = BatchNormCell(VanillaCell(1, 2, key=jax.random.key(0)), num_steps=4)
    >>> def last_state(inputs):
    ...     training = use_batch_statistics(cell)
    ...     step = lambda state, x: (training(state, x), None)
    ...     return jax.lax.scan(step, training.initial_state(), inputs)[0]
    >>> states = jax.vmap(last_state, axis_name="batch")(jnp.arange(24.0).reshape(6, 4, 1))
    >>> cell = update_statistics(cell, states, momentum=1.0)
    """

    def switch(node):
        return _BatchStatisticsCell(node, axis_name) if isinstance(node, BatchNormCell) else node

    return jax.tree.map(switch, tree, is_leaf=lambda node: isinstance(node, BatchNormCell))


def update_statistics(tree: PyTree, states: PyTree, *, momentum: float = 0.1) -> PyTree:
    r"""Return `tree` with population statistics moved towards those of a batch.

    $p \leftarrow (1 - m)\, p + m\, q$, with the batch's $q$ found in the states that
    `use_batch_statistics(tree)` ended in.

    **Arguments:**

    - `tree`: the cell or model whose statistics are to follow (not its `use_batch_statistics`).
    - `states`: its final states, with or without a leading axis over sequences.
    - `momentum`: m; 1 replaces the population statistics by the batch's.

    **Returns:** the tree with new `statistics`, everything else as it was.

    **Raises:** `ValueError` when the states do not hold one set of statistics per `BatchNormCell`.
    """
    found = [node for node in jax.tree.leaves(states, is_leaf=is_statistics) if is_statistics(node)]
    leaves, treedef = jax.tree.flatten(tree, is_leaf=is_statistics)
    places = [i for i, node in enumerate(leaves) if is_statistics(node)]
    if len(found) != len(places):
        raise ValueError(
            f"expected the final states of use_batch_statistics(tree), with {len(places)} sets of "
            f"statistics; they hold {len(found)}."
        )

    def blend(old, new):
        # All sequences of a batch hold the same statistics: the first ones'.
        new = new if new.ndim == old.ndim else new[0]
        return ((1 - momentum) * old + momentum * new).astype(old.dtype)

    for place, new in zip(places, found, strict=True):
        leaves[place] = jax.tree.map(blend, leaves[place], new)
    return jax.tree.unflatten(treedef, leaves)


def estimate_statistics(cell: Any, inputs: PyTree) -> AbstractCell:
    """Return `cell` with population statistics measured on one large batch.

    Runs the cell over `inputs` with statistics of that batch, layer by layer and step by step as in
    training, and stores them. Do this with the final weights before evaluating: moving averages lag
    behind weights that have just moved.

    **Arguments:**

    - `cell`: anything `as_cell` takes; without a `BatchNormCell` inside it comes back as it is.
    - `inputs`: training sequences, `batch time input`; some hundreds of them.

    **Returns:** the cell with new `statistics`.

    **Cost:** one forward pass over the batch.

    **Example:**

    >>> import jax, jax.numpy as jnp
    >>> from vanishing_jax.cells import BatchNormCell, VanillaCell, estimate_statistics
    >>> cell = BatchNormCell(VanillaCell(1, 2, key=jax.random.key(0)), num_steps=4)
    >>> cell = estimate_statistics(cell, jnp.ones((6, 4, 1)))
    >>> bool((cell.statistics.variance["input"] < 1e-12).all())
    True
    """
    cell = as_cell(cell)

    def collect(inputs):
        training = use_batch_statistics(cell, _AXIS)
        state, _ = jax.lax.scan(
            lambda state, input: (training(state, input), None), training.initial_state(), inputs
        )
        nodes = jax.tree.leaves(state, is_leaf=is_statistics)
        return [node for node in nodes if is_statistics(node)]

    statistics = jax.vmap(collect, axis_name=_AXIS, out_axes=None)(inputs)
    return update_statistics(cell, statistics, momentum=1.0)


_AXIS = object()  # no name of the caller's can be the same
