"""Initial recurrent weights, drawn anew for every block of any cell that knows its blocks."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.core import Tracer
from jax.tree_util import Partial

from .._types import Array, Key
from ..cells import AbstractCell, VanillaCell, as_cell, identity_initializer
from ..cells._weights import Initializer, initialize
from ..theory import critical_gain
from ._mitigation import Mitigation, check_not_negative
from ._recurrent import map_recurrent


def glorot() -> Mitigation:
    r"""Return Glorot-normal recurrent weights: variance $2/(n + n) = 1/n$, gain 1.

    The edge of chaos of tanh for vanishing input. With input the net is on the vanishing side.

    **Returns:** a `Mitigation` with `transform_cell`.

    ??? cite "Reference"
        ```bibtex
        @inproceedings{glorot2010understanding, title={Understanding the difficulty of training deep
          feedforward neural networks}, author={Glorot, Xavier and Bengio, Yoshua},
          booktitle={AISTATS}, year={2010}}
        ```
    """
    return _redraw("Glorot-normal recurrent weights", jax.nn.initializers.glorot_normal())


def he() -> Mitigation:
    r"""Return He-normal recurrent weights: variance $2/n$, gain $\sqrt 2$.

    Critical for ReLU, where the mean square gradient is then preserved.

    **Returns:** a `Mitigation` with `transform_cell`.

    ??? cite "Reference"
        ```bibtex
        @inproceedings{he2015delving, title={Delving deep into rectifiers: surpassing human-level
          performance on {ImageNet} classification}, author={He, Kaiming and Zhang, Xiangyu and Ren,
          Shaoqing and Sun, Jian}, booktitle={ICCV}, year={2015}}
        ```
    """
    return _redraw("He-normal recurrent weights", jax.nn.initializers.he_normal())


def orthogonal(gain: float = 1.0) -> Mitigation:
    """Return orthogonal recurrent weights (uniformly distributed) times `gain`.

    A linear recurrence then preserves every gradient. Behind tanh the mean shrinkage is that of
    Gaussian weights of the same gain; only the spread of the singular values is smaller.

    **Arguments:**

    - `gain`: all singular values; 1 by default.

    **Returns:** a `Mitigation` with `transform_cell`.

    ??? cite "Reference"
        ```bibtex
        @inproceedings{saxe2014exact, title={Exact solutions to the nonlinear dynamics of learning
          in deep linear neural networks}, author={Saxe, Andrew M. and McClelland, James L. and
          Ganguli, Surya}, booktitle={ICLR}, year={2014}}
        ```
    """
    check_not_negative(gain=gain)
    initializer = jax.nn.initializers.orthogonal(gain)
    return _redraw(f"orthogonal recurrent weights, gain {gain:g}", initializer)


def identity(scale: float = 1.0) -> Mitigation:
    """Return recurrent weights `scale` times the identity; with ReLU the IRNN.

    The singular values of its initial Jacobians are exactly 0 or `scale`.

    **Arguments:**

    - `scale`: the diagonal's value; 1 by default.

    **Returns:** a `Mitigation` with `transform_cell`.

    ??? cite "Reference"
        ```bibtex
        @article{le2015simple, title={A simple way to initialize recurrent networks of rectified
          linear units}, author={Le, Quoc V. and Jaitly, Navdeep and Hinton, Geoffrey E.},
          journal={arXiv:1504.00941}, year={2015}}
        ```
    """
    check_not_negative(scale=scale)
    return _redraw(f"recurrent weights {scale:g} times the identity", identity_initializer(scale))


def normal(standard_deviation: float) -> Mitigation:
    r"""Return normal recurrent weights of a fixed standard deviation, whatever the size.

    The initialization from before there were rules: poor on both sides. With n units the gain is
    $\sigma\sqrt n$: n = 100 and 0.01 vanish, 1 saturates or explodes. Pascanu et al. (2013) start
    sigmoid nets with 0.01 and tanh nets with 0.1.

    **Arguments:**

    - `standard_deviation`: $\sigma$ of each entry.

    **Returns:** a `Mitigation` with `transform_cell`.

    **Raises:** `ValueError` if it is negative or not finite.
    """
    check_not_negative(standard_deviation=standard_deviation)
    initializer = jax.nn.initializers.normal(standard_deviation)
    return _redraw(f"normal recurrent weights, sd {standard_deviation:g}", initializer)


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
    return Mitigation(name, transform_cell=Partial(_draw_critical, float(input_variance)))


def _redraw(name: str, initializer: Initializer) -> Mitigation:
    return Mitigation(name, transform_cell=Partial(_draw, initializer))


def _draw(initializer: Initializer, cell: Any, *, key: Key) -> AbstractCell:
    count = 0

    def draw(block: Array) -> Array:
        nonlocal count
        count += 1
        n = block.shape[0]
        return initialize(initializer, 1, n, n, dtype=block.dtype, key=jr.fold_in(key, count))

    return map_recurrent(draw, as_cell(cell))


def _draw_critical(input_variance: float, cell: Any, *, key: Key) -> AbstractCell:
    cell = as_cell(cell)
    if not isinstance(cell, VanillaCell):
        raise ValueError(
            f"expected a VanillaCell, whose critical gain is known; got {type(cell).__name__}. "
            "Normalized cells do not depend on the gain; for gates use forget_bias or chrono."
        )
    scale = _critical_gain(cell, input_variance) / math.sqrt(cell.hidden_size)
    drawn = _draw(jax.nn.initializers.normal(1.0), cell, key=key)
    return map_recurrent(lambda W: scale.astype(W.dtype) * W, drawn)


def _critical_gain(cell: VanillaCell, input_variance: float) -> Array:
    """Return the critical gain of W for the activation, input weights and biases of a cell."""
    U = cell.weight_xh.astype(jnp.result_type(float))
    gain = critical_gain(
        activation=cell.activation,
        input_variance=input_variance * jnp.mean(jnp.sum(U**2, axis=1)),
        bias_variance=0.0 if cell.bias is None else jnp.mean(cell.bias.astype(U.dtype) ** 2),
    )
    if not isinstance(gain, Tracer) and np.isnan(gain):
        raise ValueError(
            "no gain is critical for this activation, input variance and biases: gradients vanish "
            "at every gain. Lower the input weights or choose another activation."
        )
    return gain
