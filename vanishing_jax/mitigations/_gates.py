"""Biases of the gates of LSTM and GRU cells, wherever they are inside a cell."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.random as jr

from .._types import Array, Key
from ..cells import (
    AbstractCell,
    GRUCell,
    LSTMCell,
    PeepholeLSTMCell,
    ResetBeforeGRUCell,
    as_cell,
)

_LSTM = (LSTMCell, PeepholeLSTMCell, eqx.nn.LSTMCell)
_GRU = (GRUCell, ResetBeforeGRUCell, eqx.nn.GRUCell)


def map_gate_biases(fn: Callable[..., dict[str, Array]], cell: Any, *, key: Key) -> AbstractCell:
    """Return `cell` with gate biases replaced in each LSTM and GRU in it, stacked or wrapped.

    `fn(bias_of_one_gate, key=key)` returns new biases by the gate's role: "keep" (the forget gate
    of an LSTM, the update gate z of a GRU, near 1 when the state is kept) and, where an LSTM is to
    get them, "write" (its input gate).

    **Raises:** `ValueError` without such a cell, or for one without biases or with coupled gates.
    """
    cell, count = as_cell(cell), 0

    def change(node):
        nonlocal count
        if not isinstance(node, _LSTM + _GRU):
            return node
        if node.bias is None:
            raise ValueError(f"expected gates with biases; {type(node).__name__} has none.")
        if isinstance(node, PeepholeLSTMCell) and node.coupled:
            raise ValueError(
                "expected a forget gate with a bias of its own; that of a PeepholeLSTMCell with "
                "coupled=True is 1 - i."
            )
        count += 1
        n = node.hidden_size
        # Rows: i, f, g, o in an LSTM; r, z, n in a GRU. So "keep" is the second block of both.
        new = fn(node.bias[n : 2 * n], key=jr.fold_in(key, count))
        bias = node.bias.at[n : 2 * n].set(new["keep"])
        if isinstance(node, _LSTM) and "write" in new:
            bias = bias.at[:n].set(new["write"])
        return eqx.tree_at(lambda c: c.bias, node, bias)

    changed = jax.tree.map(change, cell, is_leaf=lambda node: isinstance(node, _LSTM + _GRU))
    if count == 0:
        raise ValueError(
            f"expected an LSTM or GRU (of this package or Equinox); {type(cell).__name__} holds "
            "none."
        )
    return changed
