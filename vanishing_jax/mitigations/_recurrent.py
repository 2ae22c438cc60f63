"""The recurrent blocks of any cell that knows them."""

from collections.abc import Callable

import jax

from .._types import Array, PyTree
from ..cells import AbstractCell


def map_recurrent(fn: Callable[[Array], Array], cell: AbstractCell) -> AbstractCell:
    """Return `cell` with `fn` applied to each recurrent block, or raise ValueError."""
    changed = cell.map_recurrent(fn)
    if changed is None:
        raise ValueError(
            f"expected a cell that knows its recurrent blocks; {type(cell).__name__} does not. "
            "Subclass AbstractCell and implement map_recurrent, or change the weights yourself."
        )
    return changed


def recurrent_blocks(cell: AbstractCell) -> list[Array]:
    """Return the recurrent blocks, each the matrix that multiplies the column h from the left."""
    blocks: list[Array] = []

    def collect(block: Array) -> Array:
        blocks.append(block)
        return block

    map_recurrent(collect, cell)
    return blocks


def recurrent_mask(tree: PyTree) -> PyTree:
    """Return a tree of booleans: whether a leaf holds recurrent weights of a cell in `tree`.

    **Raises:** `ValueError` for a tree without a cell, or with one that does not know its blocks.
    """

    def mark(node):
        if not isinstance(node, AbstractCell):
            return False
        # What the cell rebuilds is recurrent; it passes on the other leaves as they are.
        changed = map_recurrent(lambda block: -block, node)
        return jax.tree.map(lambda old, new: old is not new, node, changed)

    mask = jax.tree.map(mark, tree, is_leaf=lambda node: isinstance(node, AbstractCell))
    if not any(jax.tree.leaves(mask)):
        raise ValueError(
            f"expected a cell or a model with cells in it; {type(tree).__name__} holds no "
            "recurrent weights."
        )
    return mask
