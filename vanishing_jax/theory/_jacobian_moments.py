"""Moments of the singular values of one step's Jacobian, and how far from isometry steps lead."""

import functools as ft

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float64

from .._types import Array, ArrayLike
from ._gaussian_average import undifferentiated_average
from ._mean_field import above_zero, check_weights, doubles, resting
from ._slopes import Activation, slopes


def jacobian_moments(
    order: int,
    *,
    activation: Activation,
    gain: ArrayLike | float,
    input_variance: ArrayLike | float = 0.0,
    bias_variance: ArrayLike | float = 0.0,
    weights: str = "gaussian",
) -> Float64[np.ndarray, " order"]:
    r"""Return the moments m_k = (1/n) tr (J J^T)^k of one Jacobian J = D W, k = 1..order.

    With $\mu_k = \langle\phi'^{2k}\rangle_{q^*}$: orthogonal weights have $m_k = g^{2k}\mu_k$; for
    Gaussian ones $W^\top D^2 W$ is a free compound Poisson matrix with free cumulants
    $g^{2k}\mu_k$, whose moments follow from
    $m_k = \sum_s g^{2s}\mu_s \sum_{i_1 + \dots + i_s = k - s} m_{i_1}\cdots m_{i_s}$. So
    $m_1 = \chi$ for both, $m_2 = g^4(\mu_2 + \mu_1^2)$ or $g^4\mu_2$. m_k = 1 for all k is
    dynamical isometry: orthogonal weights with slopes near 1 come close, Gaussian ones never.

    **Arguments:**

    - `order`: number of moments, at least 1.
    - `weights`: "gaussian" or "orthogonal".
    - others: as of `mean_field_variance`.

    **Returns:** m_1..m_order, float64.

    **Raises:** `ValueError` for `order` < 1 or an unknown law of the weights.

    **Validity:** as `mean_field_variance`; deviations are O(1/n).

    **Example:**

    >>> from vanishing_jax.theory import jacobian_moments
    >>> jacobian_moments(4, activation="identity", gain=1.0).round(6)  # the Catalan numbers
    array([ 1.,  2.,  5., 14.])

    ??? cite "Reference"

        ```bibtex
        @inproceedings{pennington2017resurrecting,
          author    = {Pennington, Jeffrey and Schoenholz, Samuel S. and Ganguli, Surya},
          title     = {Resurrecting the sigmoid in deep learning through dynamical isometry:
                       theory and practice},
          booktitle = {Advances in Neural Information Processing Systems},
          year      = {2017},
        }
        ```
    """
    if order < 1:
        raise ValueError(f"expected an `order` of at least 1; got {order}.")
    check_weights(weights)
    with jax.enable_x64(True):
        g, s2, b2 = doubles(gain, input_variance, bias_variance)
        q = resting(activation, g, s2, b2)
        moments = _slope_moments(activation, order, q)
        cumulants = np.asarray(g) ** (2 * np.arange(1, order + 1)) * np.asarray(moments)
    return cumulants if weights == "orthogonal" else _moments_of_free_cumulants(cumulants)


def singular_value_dispersion(
    num_steps: int,
    *,
    activation: Activation,
    gain: ArrayLike | float,
    input_variance: ArrayLike | float = 0.0,
    bias_variance: ArrayLike | float = 0.0,
    weights: str = "gaussian",
) -> float:
    r"""Return the relative variance of the squared singular values of a product of T Jacobians.

    $\mathrm{Var}(\sigma^2)/(\overline{\sigma^2})^2 = T\,(m_2/m_1^2 - 1)$ for asymptotically free
    factors, since the S-transform's first coefficient adds up. 0 is isometry; it is 1 after
    $1/(m_2/m_1^2 - 1)$ steps: one step for linear Gaussian weights, never for linear orthogonal
    ones. Arguments as of `jacobian_moments`, with `num_steps` = T >= 0.

    **Returns:** a Python number.

    **Raises:** `ValueError` for negative `num_steps` or an unknown law of the weights.

    **Validity:** n -> infinity at fixed T, in T steps of one network (which repeats its W) or T
    layers. At T near n a few singular values make up the average, and no sample shows it.

    **Example:**

    >>> from vanishing_jax.theory import singular_value_dispersion
    >>> print(singular_value_dispersion(10, activation="identity", gain=1.0))
    10.0

    ??? cite "Reference"

        ```bibtex
        @inproceedings{pennington2017resurrecting,
          author    = {Pennington, Jeffrey and Schoenholz, Samuel S. and Ganguli, Surya},
          title     = {Resurrecting the sigmoid in deep learning through dynamical isometry:
                       theory and practice},
          booktitle = {Advances in Neural Information Processing Systems},
          year      = {2017},
        }
        ```
    """
    if num_steps < 0:
        raise ValueError(f"expected `num_steps` of at least 0; got {num_steps}.")
    m1, m2 = jacobian_moments(
        2,
        activation=activation,
        gain=gain,
        input_variance=input_variance,
        bias_variance=bias_variance,
        weights=weights,
    )
    return float(num_steps * (m2 / m1**2 - 1))


@ft.partial(jax.jit, static_argnums=(0, 1))
def _slope_moments(activation: Activation, order: int, q: Array) -> Array:
    """Return the averages of phi'^2, phi'^4, ..."""
    q, slope = above_zero(q), slopes(activation).slope
    powers = jnp.arange(1, order + 1).astype(q.dtype)
    return jax.vmap(lambda k: undifferentiated_average(lambda x: jnp.square(slope(x)) ** k, q))(
        powers
    )


def _moments_of_free_cumulants(cumulants: np.ndarray) -> Float64[np.ndarray, " order"]:
    order = len(cumulants)
    moments = np.zeros(order + 1)
    moments[0] = 1
    for k in range(1, order + 1):
        power = np.eye(1, k)[0]  # of the moments' generating series, up to degree k - 1
        for s in range(1, k + 1):
            power = np.convolve(power, moments[:k])[:k]
            moments[k] += cumulants[s - 1] * power[k - s]
    return moments[1:]
