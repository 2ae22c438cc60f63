"""Chrono initialization."""

from typing import Any

import jax.numpy as jnp
import jax.random as jr
from jax.tree_util import Partial

from .._types import Array, Key
from ..cells import AbstractCell
from ._gates import map_gate_biases
from ._mitigation import Mitigation


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
    return Mitigation(name, transform_cell=Partial(_apply, float(longest)))


def _apply(longest: float, cell: Any, *, key: Key) -> AbstractCell:
    def bias(old: Array, *, key: Key) -> dict[str, Array]:
        wide = old.dtype if jnp.finfo(old.dtype).bits >= 32 else jnp.float32  # else coarse
        keep = jnp.log(jr.uniform(key, old.shape, wide, 1, longest - 1)).astype(old.dtype)
        return {"keep": keep, "write": -keep}

    return map_gate_biases(bias, cell, key=key)
