"""Initial recurrent weights, drawn anew for every block of any cell that knows its blocks."""

from typing import Any

import jax
import jax.random as jr
from jax.tree_util import Partial

from .._types import Array, Key
from ..cells import AbstractCell, as_cell, identity_initializer
from ..cells._weights import Initializer, initialize
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


def _redraw(name: str, initializer: Initializer) -> Mitigation:
    return Mitigation(name, transform_cell=Partial(_apply, initializer))


def _apply(initializer: Initializer, cell: Any, *, key: Key) -> AbstractCell:
    count = 0

    def draw(block: Array) -> Array:
        nonlocal count
        count += 1
        n = block.shape[0]
        return initialize(initializer, 1, n, n, dtype=block.dtype, key=jr.fold_in(key, count))

    return map_recurrent(draw, as_cell(cell))
