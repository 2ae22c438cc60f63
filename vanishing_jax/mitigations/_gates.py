"""Initial biases of the gates of LSTM and GRU cells, wherever they are inside a cell."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jax.tree_util import Partial

from .._types import Array, Key
from ..cells import (
    AbstractCell,
    GRUCell,
    LSTMCell,
    PeepholeLSTMCell,
    ResetBeforeGRUCell,
    as_cell,
)
from ._mitigation import Mitigation

_LSTM = (LSTMCell, PeepholeLSTMCell, eqx.nn.LSTMCell)
_GRU = (GRUCell, ResetBeforeGRUCell, eqx.nn.GRUCell)


def forget_bias(value: float = 1.0) -> Mitigation:
    r"""Return forget gates that start with bias `value` (in a GRU: the update gate z, which keeps).

    At zero input and state the cell keeps $f = \sigma(b)$ of itself per step and forgets within
    $-1/\ln f$ steps: 1.4 for 0, 3.2 for 1, 7.9 for 2, 20.6 for 3, 149 for 5.

    **Arguments:**

    - `value`: b; 1 by default (Jozefowicz et al. 2015).

    **Returns:** a `Mitigation` with `transform_cell`, for LSTM and GRU.

    **Raises:** `ValueError` for a value that is not finite; when applied, for a cell without gates.

    ??? cite "Reference"
        ```bibtex
        @inproceedings{jozefowicz2015empirical, title={An empirical exploration of recurrent network
          architectures}, author={Jozefowicz, Rafal and Zaremba, Wojciech and Sutskever, Ilya},
          booktitle={ICML}, year={2015}}
        ```
    """
    if not math.isfinite(value):
        raise ValueError(f"expected a finite bias; got {value}.")
    return Mitigation(f"forget bias {value:g}", transform_cell=Partial(_constant, float(value)))


def chrono(longest: float | int) -> Mitigation:
    r"""Return gates that start with time scales spread up to `longest` steps.

    $b_f = \ln u, \; b_i = -b_f$ with $u \sim U[1, T_{max} - 1]$ for each unit: at zero input the
    forget gate is $u/(1 + u)$, a memory of about u steps. In a GRU $b_z = \ln u$ (z keeps).

    **Arguments:**

    - `longest`: $T_{max}$, more than 2; a guess of the longest dependence, in steps.

    **Returns:** a `Mitigation` with `transform_cell`, for LSTM and GRU.

    **Raises:** `ValueError` for `longest` of 2 or less; when applied, for a cell without gates.

    ??? cite "Reference"
        ```bibtex
        @inproceedings{tallec2018can, title={Can recurrent neural networks warp time?},
          author={Tallec, Corentin and Ollivier, Yann}, booktitle={ICLR}, year={2018}}
        ```
    """
    if not 2 < longest < float("inf"):
        raise ValueError(f"expected `longest` of more than 2 steps; got {longest}.")
    name = f"chrono initialization up to {longest:g} steps"
    return Mitigation(name, transform_cell=Partial(_spread, float(longest)))


def _constant(value: float, cell: Any, *, key: Key) -> AbstractCell:
    def bias(old: Array, *, key: Key) -> dict[str, Array]:
        return {"keep": jnp.full_like(old, value)}

    return _map_gate_biases(bias, cell, key=key)


def _spread(longest: float, cell: Any, *, key: Key) -> AbstractCell:
    def bias(old: Array, *, key: Key) -> dict[str, Array]:
        wide = old.dtype if jnp.finfo(old.dtype).bits >= 32 else jnp.float32  # else coarse
        keep = jnp.log(jr.uniform(key, old.shape, wide, 1, longest - 1)).astype(old.dtype)
        return {"keep": keep, "write": -keep}

    return _map_gate_biases(bias, cell, key=key)


def _map_gate_biases(fn: Callable[..., dict[str, Array]], cell: Any, *, key: Key) -> AbstractCell:
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
