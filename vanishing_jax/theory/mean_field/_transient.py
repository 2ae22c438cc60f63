"""How variance and gradients of a wide random network evolve step by step, before they settle."""

import functools as ft
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float64

from ..._types import Array, ArrayLike
from .._slopes import Activation, slopes
from ._averages import undifferentiated_average
from ._fixed_point import above_zero, doubles


class MeanFieldTransient(NamedTuple):
    """Variance of the pre-activations a_1..a_T and expected growth along them."""

    variance: Float64[np.ndarray, " time"]
    log_growth: Float64[np.ndarray, " time"]
    """ln sqrt(chi_1 ... chi_t): of the root mean square of J_t ... J_1 v, for a unit vector v."""


def mean_field_transient(
    num_steps: int,
    *,
    activation: Activation,
    gain: ArrayLike | float,
    input_variance: ArrayLike | float = 0.0,
    bias_variance: ArrayLike | float = 0.0,
    state_variance: ArrayLike | float = 0.0,
) -> MeanFieldTransient:
    r"""Return the variances q_t and the growth of perturbations in the first steps of a network.

    $q_1 = g^2\,\overline{h_0^2} + s^2 + s_b^2$, then the recursion of `mean_field_variance`, and
    $\chi_t = g^2\langle\phi'^2\rangle_{q_t}$. On the critical line of the autonomous tanh network,
    g = 1, nothing is exponential: q_t ~ 1/(2t), and gradients fall as the power $t^{-1/2}$.

    **Arguments:**

    - `num_steps`: T, at least 1.
    - `state_variance`: mean square of the units' initial state, 0 by default.
    - others: as of `mean_field_variance`.

    **Returns:** `MeanFieldTransient(variance, log_growth)`, float64, both of length T.

    **Raises:** `ValueError` for `num_steps` < 1.

    **Validity:** n -> infinity at fixed T; a network of n units that repeats its W departs from it
    after some sqrt(n) steps if it is autonomous. Gaussian or orthogonal weights, untrained.

    **Example:**

    >>> from vanishing_jax.theory import mean_field_transient
    >>> t = mean_field_transient(1000, activation="tanh", gain=1.0, state_variance=1.0)
    >>> print(f"{2 * 1000 * t.variance[-1]:.3f}")
    1.003
    """
    if num_steps < 1:
        raise ValueError(f"expected `num_steps` of at least 1; got {num_steps}.")
    with jax.enable_x64(True):
        g, s2, b2 = doubles(gain, input_variance, bias_variance)
        start = g**2 * jnp.asarray(state_variance, g.dtype) + s2 + b2
        variance, log_chi = _transient(activation, num_steps, g, s2 + b2, start)
        return MeanFieldTransient(np.asarray(variance), np.cumsum(np.asarray(log_chi)) / 2)


@ft.partial(jax.jit, static_argnums=(0, 1))
def _transient(activation: Activation, num_steps: int, g: Array, v: Array, start: Array):
    phi = slopes(activation)

    def step(q, _):
        chi = g**2 * undifferentiated_average(lambda x: phi.slope(x) ** 2, above_zero(q))
        following = g**2 * undifferentiated_average(lambda x: phi.value(x) ** 2, q) + v
        return following, (q, jnp.log(chi))

    return jax.lax.scan(step, start, length=num_steps)[1]
