"""The fixed point of the variance, found once and differentiated implicitly."""

import functools as ft
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ..._types import Array
from .._scalars import check_numbers
from .._slopes import Activation, slopes
from ._averages import gaussian_average, undifferentiated_average

_EXTENT, _PER_DECADE = 24, 4  # variances from 1e-24 to 1e24 are searched, so many per decade
_BISECTIONS = 60


class AtRest(NamedTuple):
    """q*, chi, and q* with a number for what is infinite (the largest one) or arbitrary (1)."""

    variance: Array
    susceptibility: Array
    finite: Array


def law(
    compute: Callable[..., Array],
    activation: Activation,
    gain: Any,
    input_variance: Any,
    bias_variance: Any,
) -> Any:
    """Return `compute(activation, g, s2, b2)`: a float for numbers, an array for arrays.

    The one rule for scalars (see the package): JAX arrays, traced ones too, stay what they are, and
    so does their dtype; anything else is computed in 64 bits.
    """
    check_numbers(
        positive=("gain",), gain=gain, input_variance=input_variance, bias_variance=bias_variance
    )
    numbers = gain, input_variance, bias_variance
    function = jnp.vectorize(ft.partial(compute, activation))
    if any(isinstance(x, jax.Array) for x in numbers):
        dtype = jnp.result_type(float, *(x for x in numbers if hasattr(x, "dtype")))
        return function(*(jnp.asarray(x, dtype) for x in numbers))
    # Numbers are numbers inside somebody's jit, too.
    with jax.ensure_compile_time_eval(), jax.enable_x64(True):
        found = np.asarray(function(*(jnp.asarray(x, jnp.float64) for x in numbers)))
    return found if found.ndim else float(found)


def doubles(gain: Any, input_variance: Any, bias_variance: Any) -> tuple[Array, Array, Array]:
    """Return three scalars in float64, whatever they come in; where x64 is enabled."""
    numbers = {"gain": gain, "input_variance": input_variance, "bias_variance": bias_variance}
    for name, value in numbers.items():
        if np.ndim(value) != 0:
            raise ValueError(f"expected a scalar `{name}`; got shape {np.shape(value)}.")
    check_numbers(positive=("gain",), **numbers)
    g, s2, b2 = (jnp.asarray(np.asarray(x, np.float64)) for x in numbers.values())
    return g, s2, b2


@ft.partial(jax.jit, static_argnums=0)
def at_rest(activation: Activation, g: Array, s2: Array, b2: Array) -> AtRest:
    """Return the fixed point of the network's variance, and chi there."""
    phi = slopes(activation)

    def update(q, average=gaussian_average):
        return g**2 * average(lambda x: phi.value(x) ** 2, q) + s2 + b2

    q, diverges, neutral = _resting_variance(update, g.dtype)
    chi = g**2 * gaussian_average(lambda x: phi.slope(x) ** 2, above_zero(q))
    exact = jnp.where(neutral, jnp.nan, jnp.where(diverges, jnp.inf, q))
    return AtRest(exact, chi, q)


def above_zero(q: Array) -> Array:
    """Return q, or something so small that slopes are those at 0, yet a kink has both its sides."""
    return q + lax.stop_gradient(jnp.maximum(1e-24 - q, 0))


def search_grid(dtype: Any) -> Array:
    """Return the variances among which roots are bracketed."""
    exponents = np.arange(-_EXTENT * _PER_DECADE, _EXTENT * _PER_DECADE + 1) / _PER_DECADE
    return jnp.asarray(10.0**exponents, dtype)


def tolerance(dtype: Any) -> Any:
    """Return the relative difference that counts as none."""
    return 500 * jnp.finfo(dtype).eps


def bisect_log(below: Callable[[Array], Array], low: Array, high: Array) -> tuple[Array, Array]:
    """Return the bracket of a root, halved in its logarithm; `below(q)`: the root is above q."""

    def halve(_, bracket):
        low, high = bracket
        middle = (low + high) / 2
        up = below(jnp.exp(middle))
        return jnp.where(up, middle, low), jnp.where(up, high, middle)

    low, high = lax.fori_loop(0, _BISECTIONS, halve, (jnp.log(low), jnp.log(high)))
    return jnp.exp(low), jnp.exp(high)


def divide(linear: Callable[[Array], Array], y: Array) -> Array:
    """Return the solution of a scalar linear equation: the tangent solve of `lax.custom_root`."""
    slope = linear(jnp.ones_like(y))
    return y / jnp.where(slope == 0, 1, slope)


def _resting_variance(update: Callable[..., Array], dtype: Any) -> tuple[Array, Array, Array]:
    """Return the largest stable fixed point of q -> `update(q)`, and two flags.

    The flags say that q grows without bound (the fixed point is then the largest number searched)
    and that every q is a fixed point (then 1). Differentiable in what `update` closes over.
    """
    grid = search_grid(dtype)

    def excess(q):
        ratio = update(q, undifferentiated_average) / q - 1
        return jnp.where(jnp.isnan(ratio), jnp.inf, ratio)

    def solve(_, start):
        values = jax.vmap(excess)(grid)
        grows = values > tolerance(dtype)
        falls_after = grows[:-1] & ~grows[1:]
        last = jnp.max(jnp.where(falls_after, jnp.arange(len(falls_after)), -1))
        low, high = bisect_log(lambda q: excess(q) > 0, grid[last], grid[last + 1])
        q = jnp.where(last >= 0, jnp.sqrt(low * high), 0)
        neutral = jnp.all(jnp.abs(values) <= tolerance(dtype))
        # A slope of 1 at infinity brings no return from there, though the ratio may tend to 1.
        diverges = jnp.any(grows) & (values[-1] > -tolerance(dtype))
        q = jnp.where(diverges, grid[-1], jnp.where(neutral, 1, q))
        return q.astype(dtype), jnp.stack([diverges, neutral]).astype(dtype)

    q, flags = lax.custom_root(
        lambda q: update(q) - q, jnp.ones((), dtype), solve, divide, has_aux=True
    )
    diverges, neutral = flags > 0.5  # numbers: custom_root differentiates no booleans
    return q, diverges, neutral
