"""Mean-field theory of a random recurrent network at rest: variance, exponents, critical gain."""

import functools as ft
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ..._types import Array, ArrayLike
from .._slopes import Activation, slopes
from ._averages import gaussian_average, undifferentiated_average
from ._fixed_point import above_zero, at_rest, bisect_log, divide, law, search_grid, tolerance


def mean_field_variance(
    *,
    activation: Activation,
    gain: ArrayLike | float,
    input_variance: ArrayLike | float = 0.0,
    bias_variance: ArrayLike | float = 0.0,
) -> Any:
    r"""Return q*, the variance of the pre-activations of a wide random network, at rest.

    The network is $h_t = \phi(W h_{t-1} + u_t + b)$, W either with independent N(0, g^2/n) entries
    or g times a random orthogonal matrix, u_t ~ N(0, s^2) fresh at each step and unit, b ~
    N(0, s_b^2) once. As n grows the pre-activations become Gaussian with variance
    $q_t = g^2 \langle\phi^2\rangle_{q_{t-1}} + s^2 + s_b^2$, and q* is the limit. Of several stable
    fixed points it is the largest, the one that large initial states reach. Differentiable in its
    three numbers by the implicit function theorem.

    **Arguments:**

    - `activation`: "tanh", "sigmoid", "relu", "identity" (or "linear"), "erf", or an elementwise
      JAX function (the same object each time, so that nothing is compiled twice).
    - `gain`: g > 0; Glorot's weights have 1, He's sqrt(2).
    - `input_variance`: s^2, the variance of U x_t per unit.
    - `bias_variance`: s_b^2, the variance of the biases.

    **Returns:** q*. `inf` where the states grow without bound (identity with g > 1, or
    g = 1 with any input; ReLU with g^2 > 2); `nan` where every variance is a fixed point, so that
    q* is that of the initial state (identity with g = 1, ReLU with g^2 = 2, no input).

    **Validity:** n -> infinity, weights that have not been trained, inputs without correlations in
    time or between units. Relative error 1e-10 in float64 (`tests/theory/test_mean_field.py`); for
    a tanh network that is barely unstable, q* ~ g - 1, the absolute error is 1e-13.

    **Example:**

    >>> from vanishing_jax.theory import mean_field_variance
    >>> print(f"{mean_field_variance(activation='tanh', gain=1.5):.4f}")
    0.7934

    ??? cite "Reference"

        ```bibtex
        @inproceedings{poole2016exponential,
          author    = {Poole, Ben and Lahiri, Subhaneil and Raghu, Maithra and
                       Sohl-Dickstein, Jascha and Ganguli, Surya},
          title     = {Exponential expressivity in deep neural networks through transient chaos},
          booktitle = {Advances in Neural Information Processing Systems},
          year      = {2016},
        }
        ```
    """
    return law(_variance, activation, gain, input_variance, bias_variance)


def mean_field_susceptibility(
    *,
    activation: Activation,
    gain: ArrayLike | float,
    input_variance: ArrayLike | float = 0.0,
    bias_variance: ArrayLike | float = 0.0,
) -> Any:
    r"""Return chi, by which the expected squared norm of a gradient is multiplied at each step.

    $\chi = g^2\langle\phi'^2\rangle_{q^*}$ for the network of `mean_field_variance`, whose
    arguments these are. Below 1 gradients vanish and nearby states approach each other; above 1
    gradients explode and the autonomous network is chaotic; 1 is the critical line. The leading
    Lyapunov exponent is ln(chi)/2, for Gaussian and orthogonal weights alike. Differentiable: a
    loss of chi can set the gain by gradient descent.

    **Returns:** chi; finite also where q* is not, if the slope at infinity is bounded.

    **Validity:** as `mean_field_variance`.

    **Example:**

    >>> from vanishing_jax.theory import mean_field_susceptibility
    >>> print(f"{mean_field_susceptibility(activation='relu', gain=1.0, input_variance=3.0):.4f}")
    0.5000

    ??? cite "Reference"

        ```bibtex
        @inproceedings{schoenholz2017deep,
          author    = {Schoenholz, Samuel S. and Gilmer, Justin and Ganguli, Surya and
                       Sohl-Dickstein, Jascha},
          title     = {Deep information propagation},
          booktitle = {International Conference on Learning Representations},
          year      = {2017},
        }
        ```
    """
    return law(_susceptibility, activation, gain, input_variance, bias_variance)


def mean_field_exponent(
    *,
    activation: Activation,
    gain: ArrayLike | float,
    input_variance: ArrayLike | float = 0.0,
    bias_variance: ArrayLike | float = 0.0,
) -> Any:
    r"""Return the leading Lyapunov exponent of a wide random network, in nats per step.

    $\lambda_1 = \frac12\ln\chi$ with the `mean_field_susceptibility` chi, whose arguments these
    are. Negative: gradients shrink by the factor
    exp(lambda_1) at every step back. The same for Gaussian and orthogonal weights.

    **Returns:** lambda_1.

    **Validity:** as `mean_field_variance`. Measured exponents of networks of n units scatter about
    a mean that differs by O(1/n): 0.005 at n = 500, up to 0.03 for weak inputs and g <= 1
    (benchmarks/mean_field.md).

    **Example:**

    >>> from vanishing_jax.theory import mean_field_exponent
    >>> print(f"{mean_field_exponent(activation='tanh', gain=1.0, input_variance=0.1):.4f}")
    -0.1864

    ??? cite "Reference"

        ```bibtex
        @inproceedings{chen2018dynamical,
          author    = {Chen, Minmin and Pennington, Jeffrey and Schoenholz, Samuel S.},
          title     = {Dynamical isometry and a mean field theory of {RNN}s: gating enables signal
                       propagation in recurrent neural networks},
          booktitle = {International Conference on Machine Learning},
          year      = {2018},
        }
        ```
    """
    return law(_exponent, activation, gain, input_variance, bias_variance)


def mean_field_mean_exponent(
    *,
    activation: Activation,
    gain: ArrayLike | float,
    input_variance: ArrayLike | float = 0.0,
    bias_variance: ArrayLike | float = 0.0,
    weights: str = "gaussian",
) -> Any:
    r"""Return the mean of all n Lyapunov exponents of a wide random network, in nats per step.

    The determinant's rate over n: $\langle\ln|\phi'|\rangle_{q^*} + \ln g - \frac12$ for Gaussian
    weights, without the 1/2 for orthogonal ones; arguments otherwise as of `mean_field_variance`.
    Far below the leading exponent in saturation, where gradients survive in a few directions only.

    **Arguments:**

    - `weights`: "gaussian" or "orthogonal" (g times a random orthogonal matrix).

    **Returns:** nats per step; -inf for ReLU, which is exactly 0 on half of the units.

    **Validity:** as `mean_field_variance`.

    **Example:**

    >>> from vanishing_jax.theory import mean_field_mean_exponent
    >>> print(f"{mean_field_mean_exponent(activation='tanh', gain=2.0):.4f}")
    -1.1490
    """
    ginibre = -0.5 if check_weights(weights) == "gaussian" else 0.0
    found = law(_mean_exponent, activation, gain, input_variance, bias_variance)
    return found + ginibre


def critical_gain(
    *,
    activation: Activation,
    input_variance: ArrayLike | float = 0.0,
    bias_variance: ArrayLike | float = 0.0,
) -> Any:
    r"""Return g_c, the gain whose mean-field susceptibility is 1.

    Below g_c gradients vanish, above they explode; W with independent N(0, g_c^2/n) entries or g_c
    times an orthogonal matrix is the "critical initialization" for inputs of this variance. Both
    unknowns follow from one equation in the variance q at rest:
    $(q - v)\,\langle\phi'^2\rangle_q = \langle\phi^2\rangle_q$ with $v = s^2 + s_b^2$, then
    $g_c^2 = (q - v)/\langle\phi^2\rangle_q$. Of several solutions it is the one of smallest q.
    Differentiable; at v = 0 the derivative is infinite for tanh.

    **Arguments:**

    - `activation`, `input_variance`, `bias_variance`: as of `mean_field_variance`.

    **Returns:** g_c; `nan` where no gain is critical.

    **Validity:** as `mean_field_variance`. ReLU has sqrt(2) for any inputs, but its state then
    grows without bound.

    **Example:**

    >>> from vanishing_jax.theory import critical_gain
    >>> print(f"{critical_gain(activation='tanh', input_variance=0.1):.3f}")
    1.409

    The reference is that of `mean_field_susceptibility`.
    """
    return law(_critical_gain, activation, 1.0, input_variance, bias_variance)


def check_weights(weights: str) -> str:
    """Return the name of the weights' law, or raise ValueError."""
    if weights not in ("gaussian", "orthogonal"):
        raise ValueError(f"expected weights 'gaussian' or 'orthogonal'; got {weights!r}.")
    return weights


def _variance(activation: Activation, g: Array, s2: Array, b2: Array) -> Array:
    return at_rest(activation, g, s2, b2).variance


def _susceptibility(activation: Activation, g: Array, s2: Array, b2: Array) -> Array:
    return at_rest(activation, g, s2, b2).susceptibility


def _exponent(activation: Activation, g: Array, s2: Array, b2: Array) -> Array:
    return jnp.log(at_rest(activation, g, s2, b2).susceptibility) / 2


@ft.partial(jax.jit, static_argnums=0)
def _mean_exponent(activation: Activation, g: Array, s2: Array, b2: Array) -> Array:
    q = above_zero(at_rest(activation, g, s2, b2).finite)
    return undifferentiated_average(slopes(activation).log_slope, q) + jnp.log(g)


@ft.partial(jax.jit, static_argnums=0)
def _critical_gain(activation: Activation, _: Array, s2: Array, b2: Array) -> Array:
    phi, v = slopes(activation), s2 + b2

    def squared_gain(q, average=gaussian_average):
        return (q - v) / average(lambda x: phi.value(x) ** 2, q)

    def excess(q, average=gaussian_average):
        # To rounding: at v = 0 a small q is critical in the limit only.
        chi = squared_gain(q, average) * average(lambda x: phi.slope(x) ** 2, q)
        return chi - 1 + tolerance(v.dtype)

    def solve(_, start):
        def below(q):
            return ~(excess(q, undifferentiated_average) >= 0)

        grid = search_grid(v.dtype)
        found = ~jax.vmap(below)(grid)
        first = jnp.argmax(found)
        q = bisect_log(below, grid[jnp.maximum(first - 1, 0)], grid[first])[1]
        return jnp.where(jnp.any(found), q, jnp.nan).astype(v.dtype)

    q = lax.custom_root(excess, jnp.ones_like(v), solve, divide)
    return jnp.sqrt(squared_gain(q))
