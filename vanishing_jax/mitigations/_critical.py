"""Initial recurrent weights at the edge where gradients neither vanish nor explode."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.core import Tracer
from jax.tree_util import Partial

from .._types import Array, Key
from ..cells import AbstractCell, VanillaCell, as_cell
from ..cells._vanilla import ACTIVATIONS
from ..cells._weights import initialize
from ..theory import critical_gain
from ._mitigation import Mitigation, check_not_negative


def critical(input_variance: float = 1.0) -> Mitigation:
    r"""Return Gaussian recurrent weights of the gain at which the predicted top exponent is 0.

    Glorot's gain 1 is critical for tanh without input; with input the network is on the vanishing
    side (-0.19 nats per step for pre-activations driven with variance 0.1, -0.46 with 1). Here the
    gain is `theory.critical_gain` of what the cell's own input weights and biases make of inputs of
    the given variance: $s^2 = \mathrm{var}(x) \overline{\sum_j U_{ij}^2}$ and
    $\overline{b_i^2}$. Gradients then shrink like a power of the number of steps, until training
    moves the weights. ReLU gets He's $\sqrt 2$, no activation 1, the sigmoid about 10.

    **Arguments:**

    - `input_variance`: of each component of the input, taken as white and of mean 0; a mean counts
      as bias: add its square. 1 by default.

    **Returns:** a `Mitigation` with `transform_cell`, for a `VanillaCell`.

    **Raises:** `ValueError` for a variance that is negative or not finite; when applied, for
    another cell, or where no gain is critical.

    **Validity:** as n grows; a network of n units is off by some n^(-1/2)
    (`tests/mitigations/test_critical.py`).

    ??? cite "Reference"
        ```bibtex
        @inproceedings{chen2018dynamical, title={Dynamical isometry and a mean field theory of
          {RNN}s: gating enables signal propagation in recurrent neural networks}, author={Chen,
          Minmin and Pennington, Jeffrey and Schoenholz, Samuel S.}, booktitle={ICML}, year={2018}}
        ```
    """
    check_not_negative(input_variance=input_variance)
    name = f"critical recurrent weights, input variance {input_variance:g}"
    return Mitigation(name, transform_cell=Partial(_apply, float(input_variance)))


def _apply(input_variance: float, cell: Any, *, key: Key) -> AbstractCell:
    cell = as_cell(cell)
    if not isinstance(cell, VanillaCell):
        raise ValueError(
            f"expected a VanillaCell, whose critical gain is known; got {type(cell).__name__}. "
            "Normalized cells do not depend on the gain; for gates use forget_bias or chrono."
        )
    gain = cell_critical_gain(cell, input_variance)
    n, dtype = cell.hidden_size, cell.weight_hh.dtype
    W = initialize(jax.nn.initializers.normal(1.0), 1, n, n, dtype=dtype, key=jr.fold_in(key, 1))
    return eqx.tree_at(lambda c: c.weight_hh, cell, (gain / math.sqrt(n)).astype(dtype) * W)


def cell_critical_gain(cell: VanillaCell, input_variance: float) -> Array:
    """Return the critical gain of W for the activation, input weights and biases of a cell."""
    U = cell.weight_xh.astype(jnp.result_type(float))
    names = {id(function): name for name, function in ACTIVATIONS.items()}
    gain = critical_gain(
        activation=names.get(id(cell.activation), cell.activation),
        input_variance=input_variance * jnp.mean(jnp.sum(U**2, axis=1)),
        bias_variance=0.0 if cell.bias is None else jnp.mean(cell.bias.astype(U.dtype) ** 2),
    )
    if not isinstance(gain, Tracer) and np.isnan(gain):
        raise ValueError(
            "no gain is critical for this activation, input variance and biases: gradients vanish "
            "at every gain. Lower the input weights or choose another activation."
        )
    return gain
