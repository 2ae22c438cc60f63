"""Powers of two as integers, in jnp: exact scaling, whatever the range."""

from typing import Any

import jax
import jax.numpy as jnp

from .._types import Array

# The exponent of an exact zero. Far below any exponent that occurs, far above int32 overflow.
ZERO = -(2**29)


def binary_exponent(x: Array) -> Array:
    """Return floor(log2 |x|), ZERO for zero and subnormals."""
    bits, width, mantissa = _format(x.dtype)
    field = (jax.lax.bitcast_convert_type(x, bits) >> mantissa) & (2**width - 1)
    return jnp.where(field == 0, ZERO, field.astype(jnp.int32) - (2 ** (width - 1) - 1))


def pow2(k: Array, dtype: Any) -> Array:
    """Return 2.0**k exactly; 0 below the normal range, the largest power above it."""
    bits, width, mantissa = _format(dtype)
    bias = 2 ** (width - 1) - 1
    field = jnp.clip(k, -bias, bias).astype(bits) + jnp.asarray(bias, bits)
    return jax.lax.bitcast_convert_type(field << mantissa, dtype)


def times_pow2(x: Array, k: Array) -> Array:
    """Return x * 2**k, also where 2**k alone lies outside the normal range."""
    half = k // 2
    return x * pow2(half, x.dtype) * pow2(k - half, x.dtype)


def _format(dtype):
    if dtype == jnp.float64:
        return jnp.int64, 11, 52
    if dtype == jnp.float32:
        return jnp.int32, 8, 23
    raise TypeError(f"expected float32 or float64 Jacobians; got {dtype}. Convert them first.")
