"""The bias of the forget gate."""

import math
from typing import Any

import jax.numpy as jnp
from jax.tree_util import Partial

from .._types import Array, Key
from ..cells import AbstractCell
from ._gates import map_gate_biases
from ._mitigation import Mitigation


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
    return Mitigation(f"forget bias {value:g}", transform_cell=Partial(_apply, float(value)))


def _apply(value: float, cell: Any, *, key: Key) -> AbstractCell:
    def bias(old: Array, *, key: Key) -> dict[str, Array]:
        return {"keep": jnp.full_like(old, value)}

    return map_gate_biases(bias, cell, key=key)
