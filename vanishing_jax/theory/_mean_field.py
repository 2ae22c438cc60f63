"""Mean-field theory of a random recurrent network: variance, susceptibility, leading exponent."""

import functools as ft
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer

from .._types import Array, ArrayLike
from ._gaussian_average import gaussian_average, undifferentiated_average
from ._slopes import Activation, slopes

_EXTENT, _PER_DECADE = 24, 4  # variances from 1e-24 to 1e24 are searched, so many per decade
_BISECTIONS = 60


def mean_field_variance(
    *,
    activation: Activation,
    gain: ArrayLike | float,
    input_variance: ArrayLike | float = 0.0,
    bias_variance: ArrayLike | float = 0.0,
) -> Array:
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

    **Returns:** q*, a scalar. `inf` where the states grow without bound (identity with g > 1, or
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
    return at_rest(activation, *scalars(gain, input_variance, bias_variance))[0]


def mean_field_susceptibility(
    *,
    activation: Activation,
    gain: ArrayLike | float,
    input_variance: ArrayLike | float = 0.0,
    bias_variance: ArrayLike | float = 0.0,
) -> Array:
    r"""Return chi, by which the expected squared norm of a gradient is multiplied at each step.

    $\chi = g^2\langle\phi'^2\rangle_{q^*}$ for the network of `mean_field_variance`, whose
    arguments these are. Below 1 gradients vanish and nearby states approach each other; above 1
    gradients explode and the autonomous network is chaotic; 1 is the critical line. The leading
    Lyapunov exponent is ln(chi)/2, for Gaussian and orthogonal weights alike. Differentiable: a
    loss of chi can set the gain by gradient descent.

    **Returns:** chi, a scalar; finite also where q* is not, if the slope at infinity is bounded.

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
    return at_rest(activation, *scalars(gain, input_variance, bias_variance))[1]


def mean_field_exponent(
    *,
    activation: Activation,
    gain: ArrayLike | float,
    input_variance: ArrayLike | float = 0.0,
    bias_variance: ArrayLike | float = 0.0,
) -> float:
    r"""Return the leading Lyapunov exponent of a wide random network, in nats per step.

    $\lambda_1 = \frac12\ln\chi$ with the `mean_field_susceptibility` chi, whose arguments these
    are, computed in 64 bits whatever JAX's settings. Negative: gradients shrink by the factor
    exp(lambda_1) at every step back. The same for Gaussian and orthogonal weights. For derivatives
    use `mean_field_susceptibility`.

    **Returns:** lambda_1, a Python number.

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
    with jax.enable_x64(True):
        chi = at_rest(activation, *doubles(gain, input_variance, bias_variance))[1]
        return 0.5 * float(np.log(np.asarray(chi)))


def mean_field_mean_exponent(
    *,
    activation: Activation,
    gain: ArrayLike | float,
    input_variance: ArrayLike | float = 0.0,
    bias_variance: ArrayLike | float = 0.0,
    weights: str = "gaussian",
) -> float:
    r"""Return the mean of all n Lyapunov exponents of a wide random network, in nats per step.

    The determinant's rate over n: $\langle\ln|\phi'|\rangle_{q^*} + \ln g - \frac12$ for Gaussian
    weights, without the 1/2 for orthogonal ones; arguments otherwise as of `mean_field_variance`.
    Far below the leading exponent in saturation, where gradients survive in a few directions only.

    **Arguments:**

    - `weights`: "gaussian" or "orthogonal" (g times a random orthogonal matrix).

    **Returns:** a Python number; -inf for ReLU, which is exactly 0 on half of the units.

    **Validity:** as `mean_field_variance`.

    **Example:**

    >>> from vanishing_jax.theory import mean_field_mean_exponent
    >>> print(f"{mean_field_mean_exponent(activation='tanh', gain=2.0):.4f}")
    -1.1490
    """
    ginibre = -0.5 if check_weights(weights) == "gaussian" else 0.0
    with jax.enable_x64(True):
        g, s2, b2 = doubles(gain, input_variance, bias_variance)
        log_slope = _mean_log_slope(activation, resting(activation, g, s2, b2))
        return float(log_slope) + float(np.log(np.asarray(g))) + ginibre


@ft.partial(jax.jit, static_argnums=0)
def _mean_log_slope(activation: Activation, q: Array) -> Array:
    return undifferentiated_average(slopes(activation).log_slope, above_zero(q))


def check_weights(weights: str) -> str:
    """Return the name of the weights' law, or raise ValueError."""
    if weights not in ("gaussian", "orthogonal"):
        raise ValueError(f"expected weights 'gaussian' or 'orthogonal'; got {weights!r}.")
    return weights


def scalars(gain: Any, input_variance: Any, bias_variance: Any) -> tuple[Array, Array, Array]:
    """Return the three numbers as floating arrays of one dtype, or raise ValueError."""
    named = {"gain": gain, "input_variance": input_variance, "bias_variance": bias_variance}
    dtype = jnp.result_type(float, *(x for x in named.values() if hasattr(x, "dtype")))
    for name, value in named.items():
        if jnp.ndim(value) != 0:
            raise ValueError(
                f"expected a scalar `{name}`; got shape {jnp.shape(value)}. Use jax.vmap for many."
            )
        if isinstance(value, Tracer):
            continue
        if not (np.isfinite(value) and (value > 0 if name == "gain" else value >= 0)):
            sign = "positive" if name == "gain" else "non-negative"
            raise ValueError(f"expected a {sign}, finite `{name}`; got {value}.")
    g, s2, b2 = (jnp.asarray(value, dtype) for value in named.values())
    return g, s2, b2


def doubles(gain: Any, input_variance: Any, bias_variance: Any) -> tuple[Array, Array, Array]:
    """Return the three numbers in float64, whatever they come in; where x64 is enabled."""
    numbers = (np.asarray(x, np.float64) for x in (gain, input_variance, bias_variance))
    return scalars(*numbers)


@ft.partial(jax.jit, static_argnums=0)
def at_rest(activation: Activation, g: Array, s2: Array, b2: Array) -> tuple[Array, Array, Array]:
    """Return q*, chi, and q* with a number for what is infinite or arbitrary."""
    phi = slopes(activation)

    def update(q, average=gaussian_average):
        return g**2 * average(lambda x: phi.value(x) ** 2, q) + s2 + b2

    q, diverges, neutral = _resting_variance(update, g.dtype)
    chi = g**2 * gaussian_average(lambda x: phi.slope(x) ** 2, above_zero(q))
    return jnp.where(neutral, jnp.nan, jnp.where(diverges, jnp.inf, q)), chi, q


def resting(activation: Activation, g: Array, s2: Array, b2: Array) -> Array:
    """Return q*; the largest number searched where it is infinite, 1 where it is arbitrary."""
    return at_rest(activation, g, s2, b2)[2]


def above_zero(q: Array) -> Array:
    """Return q, or something so small that slopes are those at 0, yet a kink has both its sides."""
    return q + lax.stop_gradient(jnp.maximum(1e-24 - q, 0))


def _resting_variance(update: Callable[..., Array], dtype: Any) -> tuple[Array, Array, Array]:
    """Return the largest stable fixed point of q -> `update(q)`, and two flags.

    The flags say that q grows without bound (the fixed point is then the largest number searched)
    and that every q is a fixed point (then 1). Differentiable in what `update` closes over.
    """
    tolerance = 500 * jnp.finfo(dtype).eps
    exponents = np.arange(-_EXTENT * _PER_DECADE, _EXTENT * _PER_DECADE + 1) / _PER_DECADE
    grid = jnp.asarray(10.0**exponents, dtype)

    def excess(q):
        ratio = update(q, undifferentiated_average) / q - 1
        return jnp.where(jnp.isnan(ratio), jnp.inf, ratio)

    def solve(_, start):
        values = jax.vmap(excess)(grid)
        grows = values > tolerance
        falls_after = grows[:-1] & ~grows[1:]
        last = jnp.max(jnp.where(falls_after, jnp.arange(len(falls_after)), -1))
        bracket = jnp.log(grid[last]), jnp.log(grid[last + 1])

        def halve(_, bracket):
            low, high = bracket
            middle = (low + high) / 2
            up = excess(jnp.exp(middle)) > 0
            return jnp.where(up, middle, low), jnp.where(up, high, middle)

        low, high = lax.fori_loop(0, _BISECTIONS, halve, bracket)
        q = jnp.where(last >= 0, jnp.exp((low + high) / 2), 0)
        neutral = jnp.all(jnp.abs(values) <= tolerance)
        # A slope of 1 at infinity brings no return from there, though the ratio may tend to 1.
        diverges = jnp.any(grows) & (values[-1] > -tolerance)
        q = jnp.where(diverges, grid[-1], jnp.where(neutral, 1, q))
        return q.astype(dtype), jnp.stack([diverges, neutral]).astype(dtype)

    def divide(linear, y):
        slope = linear(jnp.ones_like(y))
        return y / jnp.where(slope == 0, 1, slope)

    q, flags = lax.custom_root(
        lambda q: update(q) - q, jnp.ones((), dtype), solve, divide, has_aux=True
    )
    diverges, neutral = flags > 0.5  # numbers: custom_root differentiates no booleans
    return q, diverges, neutral
