"""The sum of all exponents, from determinants alone: exact for every cell at every length."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float64

from .._chain import JacobianChain
from .._types import Array
from ..cells import VanillaCell


def log_determinants(
    jacobians: JacobianChain | Float[Array | np.ndarray, "time rows columns"],
) -> Float64[np.ndarray, " time"]:
    """Return log |det J_t| of every step, whose sum is that of all log singular values.

    sum_i log sigma_i(J_T ... J_1) = sum_t log |det J_t|, exactly, for every cell, every T and every
    order of the factors: a check on a computed spectrum that costs one LU factorization per step,
    and the mean exponent of a network without computing any. It says nothing of how the sum is
    shared: a mean of -1 is compatible with an exploding first direction.

    **Arguments:**

    - `jacobians`: a dense `JacobianChain`, or J_1..J_T of shape (T, n, n).

    **Returns:** natural logs, shape (T,), float64; -inf where a step is singular.

    **Raises:** `ValueError` for an array that is not a stack of square matrices.

    **Cost:** O(T n^3), a third of one QR factorization per step.

    **Validity:** to about n eps times the condition number of J_t; computed in float64 from the
    values given.

    **Example:**

    >>> import numpy as np
    >>> from vanishing_jax.theory import log_determinants
    >>> log_determinants(np.array([np.diag([2.0, 0.5]), np.diag([0.5, 0.5])])).round(6)
    array([ 0.      , -1.386294])

    ??? cite "Reference"

        ```bibtex
        @article{benettin1980lyapunov,
          author  = {Benettin, Giancarlo and Galgani, Luigi and Giorgilli, Antonio and Strelcyn,
                     Jean-Marie},
          title   = {{L}yapunov characteristic exponents for smooth dynamical systems and for
                     {H}amiltonian systems; a method for computing all of them},
          journal = {Meccanica},
          volume  = {15},
          pages   = {9--20},
          year    = {1980},
        }
        ```
    """
    if isinstance(jacobians, JacobianChain):
        jacobians = jacobians.jacobians
    J = np.asarray(jacobians, np.float64)
    if J.ndim != 3 or J.shape[1] != J.shape[2]:
        raise ValueError(f"expected `jacobians` of shape (time, n, n); got {J.shape}.")
    return np.linalg.slogdet(J).logabsdet


def vanilla_log_determinants(
    cell: Any,
    states: Float[Array, "moment hidden"],
    inputs: Float[Array, "time input"],
) -> Float64[np.ndarray, " time"]:
    """Return log |det J_t| of a plain cell, split as it is: log |det W| + sum_i log |phi'(a_ti)|.

    The first term belongs to the weights and is the same at every step, the second is what
    saturation takes. No Jacobian is formed, and no slope underflows: the slopes of tanh and of the
    sigmoid enter by their logs.

    **Arguments:**

    - `cell`: a `VanillaCell`.
    - `states`, `inputs`: `Trajectory.states` (T+1, n) and `Trajectory.inputs` (T, d).

    **Returns:** natural logs, shape (T,), float64; -inf for a singular W, or where a ReLU is off.

    **Raises:** `TypeError` for another cell.

    **Cost:** O(n^3 + T n (n + d)).

    **Validity:** the products a_t = W h + U x + b are formed in the dtype of the cell.

    **Example:**

    >>> import jax, jax.numpy as jnp, vanishing_jax as vj
    >>> cell = vj.cells.VanillaCell(1, 2, activation="identity", key=jax.random.key(0),
    ...                             recurrent_initializer=vj.cells.identity_initializer(0.5))
    >>> path = vj.rollout(cell, cell.initial_state(), jnp.ones((3, 1)))
    >>> vj.theory.vanilla_log_determinants(cell, path.states, path.inputs).round(6)
    array([-1.386294, -1.386294, -1.386294])
    """
    if not isinstance(cell, VanillaCell):
        raise TypeError(f"expected a VanillaCell; got {type(cell).__name__}.")
    a = states[:-1] @ cell.weight_hh.T + inputs @ cell.weight_xh.T
    if cell.bias is not None:
        a = a + cell.bias[None]
    own = np.linalg.slogdet(np.asarray(cell.weight_hh, np.float64)).logabsdet
    return own + log_slopes(cell.activation, a).sum(axis=1)


def log_slopes(activation, a: Float[Array, "time hidden"]) -> Float64[np.ndarray, "time hidden"]:
    """Return log |phi'(a)| in float64, without underflow for tanh and the sigmoid."""
    from ..cells._vanilla import ACTIVATIONS

    x = np.asarray(a, np.float64)
    if activation is ACTIVATIONS["tanh"]:
        return 2 * (np.log(2) - np.abs(x) - np.log1p(np.exp(-2 * np.abs(x))))
    if activation is ACTIVATIONS["sigmoid"]:
        return -np.abs(x) - 2 * np.log1p(np.exp(-np.abs(x)))
    slope = jax.vmap(jax.grad(lambda z: activation(z)))(jnp.ravel(a)).reshape(a.shape)
    with np.errstate(divide="ignore"):
        return np.log(np.abs(np.asarray(slope, np.float64)))
