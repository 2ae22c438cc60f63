"""Tanh and sigmoid whose derivatives do not round to zero in saturation."""

import jax
import jax.numpy as jnp
from jax import lax

from ._types import Array, ArrayLike


def tanh(x: ArrayLike | float) -> Array:
    r"""Return the tanh of `x`, bit for bit `jnp.tanh`, with a derivative that survives saturation.

    The textbook derivative $1 - \tanh^2 x$ cancels: in float32 it has lost every digit at |x| = 8
    and is exactly 0 from 9.01 on. Here it is $4e/(1+e)^2$ with $e = \exp(-2|x|)$, correct to
    rounding wherever it is representable, and so are all higher derivatives. Complex and integer
    input is treated as by `jnp.tanh`.

    **Arguments:**

    - `x`: array of any shape.

    **Returns:** array of `x`'s shape and dtype.

    **Validity:** the derivative underflows to 0 for |x| above about 43.6 (float32, bfloat16), 354
    (float64) and 8 (float16, whose derivative then has subnormal accuracy). Relative error below
    4 eps in float32 and float64 (`tests/test_stable.py`).

    **Example:**

    >>> import jax, jax.numpy as jnp
    >>> x = jnp.float32(30)
    >>> bool(jax.grad(jnp.tanh)(x) == 0), bool(jax.grad(tanh)(x) > 3e-26)
    (True, True)
    """
    return _tanh(jnp.asarray(x)) if _is_floating(x) else jnp.tanh(x)


def sigmoid(x: ArrayLike | float) -> Array:
    r"""Return 1/(1+exp(-x)), bit for bit as `jax.nn.sigmoid`, with a derivative that survives.

    The textbook derivative $\sigma(1-\sigma)$ is exactly 0 in float32 from x = 17 on. Here it is
    $e/(1+e)^2$ with $e = \exp(-|x|)$, correct to rounding wherever it is representable, and so are
    all higher derivatives. Complex and integer input is treated as by `jax.nn.sigmoid`.

    **Arguments:**

    - `x`: array of any shape.

    **Returns:** array of `x`'s shape and dtype.

    **Validity:** the derivative underflows to 0 for |x| above about 87.3 (float32, bfloat16), 708
    (float64) and 16 (float16, with subnormal accuracy from 9.7 on). Relative error below 4 eps in
    float32 and float64 (`tests/test_stable.py`).

    **Example:**

    >>> import jax, jax.numpy as jnp
    >>> x = jnp.float32(20)
    >>> bool(jax.grad(jax.nn.sigmoid)(x) == 0), bool(jax.grad(sigmoid)(x) > 2e-9)
    (True, True)
    """
    return _sigmoid(jnp.asarray(x)) if _is_floating(x) else jax.nn.sigmoid(x)


def _is_floating(x: ArrayLike | float) -> bool:
    return jnp.issubdtype(jnp.result_type(x), jnp.floating)


# Each derivative is itself a custom_jvp function. Differentiating exp(-2|x|) instead would give a
# wrong third derivative at 0, where the derivative of |x| is taken to be 0.


@jax.custom_jvp
def _tanh(x: Array) -> Array:
    return lax.tanh(x)


@jax.custom_jvp
def _tanh_slope(x: Array) -> Array:
    e = jnp.exp(-2 * jnp.abs(x))  # at most 1: no overflow for either sign, and no difference
    return 4 * e / (1 + e) ** 2


@jax.custom_jvp
def _sigmoid(x: Array) -> Array:
    return lax.logistic(x)


@jax.custom_jvp
def _sigmoid_slope(x: Array) -> Array:
    e = jnp.exp(-jnp.abs(x))  # as above
    return e / (1 + e) ** 2


@_tanh.defjvp
def _tanh_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    return _tanh(x), _tanh_slope(x) * dx


@_tanh_slope.defjvp
def _tanh_slope_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    slope = _tanh_slope(x)
    # tanh'' = -2 tanh tanh': a product, so that it survives as long as the slope does
    return slope, -2 * _tanh(x) * slope * dx


@_sigmoid.defjvp
def _sigmoid_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    return _sigmoid(x), _sigmoid_slope(x) * dx


@_sigmoid_slope.defjvp
def _sigmoid_slope_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    slope = _sigmoid_slope(x)
    # 1 - 2 sigmoid(x) = -tanh(x/2), which does not cancel near 0
    return slope, -_tanh(x / 2) * slope * dx
