"""The gain at which gradients neither vanish nor explode, for given inputs and biases."""

import functools as ft

import jax
import jax.numpy as jnp
from jax import lax

from .._types import Array, ArrayLike
from ._gaussian_average import gaussian_average, undifferentiated_average
from ._mean_field import scalars
from ._slopes import Activation, slopes

_EXTENT, _PER_DECADE, _BISECTIONS = 24, 4, 60


def critical_gain(
    *,
    activation: Activation,
    input_variance: ArrayLike | float = 0.0,
    bias_variance: ArrayLike | float = 0.0,
) -> Array:
    r"""Return g_c, the gain whose mean-field susceptibility is 1.

    Below g_c gradients vanish, above they explode; W with independent N(0, g_c^2/n) entries or g_c
    times an orthogonal matrix is the "critical initialization" for inputs of this variance. Both
    unknowns follow from one equation in the variance q at rest:
    $(q - v)\,\langle\phi'^2\rangle_q = \langle\phi^2\rangle_q$ with $v = s^2 + s_b^2$, then
    $g_c^2 = (q - v)/\langle\phi^2\rangle_q$. Of several solutions it is the one of smallest q.
    Differentiable; at v = 0 the derivative is infinite for tanh.

    **Arguments:**

    - `activation`, `input_variance`, `bias_variance`: as of `mean_field_variance`.

    **Returns:** g_c, a scalar; `nan` where no gain is critical.

    **Validity:** as `mean_field_variance`. ReLU has sqrt(2) for any inputs, but its state then
    grows without bound.

    **Example:**

    >>> from vanishing_jax.theory import critical_gain
    >>> print(f"{critical_gain(activation='tanh', input_variance=0.1):.3f}")
    1.409

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
    _, s2, b2 = scalars(1.0, input_variance, bias_variance)
    return _critical_gain(activation, s2 + b2)


@ft.partial(jax.jit, static_argnums=0)
def _critical_gain(activation: Activation, v: Array) -> Array:
    phi = slopes(activation)

    def squared_gain(q, average=gaussian_average):
        return (q - v) / average(lambda x: phi.value(x) ** 2, q)

    def excess(q, average=gaussian_average):
        # To rounding: at v = 0 a small q is critical in the limit only.
        chi = squared_gain(q, average) * average(lambda x: phi.slope(x) ** 2, q)
        return chi - 1 + 500 * jnp.finfo(v.dtype).eps

    def solve(_, start):
        exponents = jnp.arange(-_EXTENT * _PER_DECADE, _EXTENT * _PER_DECADE + 1) / _PER_DECADE
        grid = (10.0**exponents).astype(v.dtype)
        reached = lambda q: excess(q, undifferentiated_average) >= 0  # noqa: E731
        found = jax.vmap(reached)(grid)
        first = jnp.argmax(found)

        def halve(_, bracket):
            low, high = bracket
            middle = (low + high) / 2
            enough = reached(jnp.exp(middle))
            return jnp.where(enough, low, middle), jnp.where(enough, middle, high)

        bracket = jnp.log(grid[jnp.maximum(first - 1, 0)]), jnp.log(grid[first])
        q = jnp.exp(lax.fori_loop(0, _BISECTIONS, halve, bracket)[1])
        return jnp.where(jnp.any(found), q, jnp.nan).astype(v.dtype)

    def divide(linear, y):
        slope = linear(jnp.ones_like(y))
        return y / jnp.where(slope == 0, 1, slope)

    q = lax.custom_root(excess, jnp.ones_like(v), solve, divide)
    return jnp.sqrt(squared_gain(q))
