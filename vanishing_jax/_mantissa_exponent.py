"""Arrays with their size kept apart as an integer power of two."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from ._types import Array


def normalized(
    array: Float[Array, "*shape"], exponent: Int[Array, ""]
) -> tuple[Float[Array, "*shape"], Int[Array, ""]]:
    """Return (a, e) with a * 2**e = array * 2**exponent and the largest |a| in [1/2, 1).

    Exact. An array of zeros, or one with NaN or infinite entries, stays as it is.
    """
    size = jnp.max(jnp.abs(array))
    usable = (size > 0) & jnp.isfinite(size)
    shift = jnp.where(usable, jnp.frexp(jnp.where(usable, size, 1))[1], 0).astype(jnp.int32)
    return jnp.ldexp(array, -shift), exponent + shift


def log_scaled(size: Float[Array, ""], exponent: Int[Array, ""]) -> Float[Array, ""]:
    """Return log(size * 2**exponent): -inf for an exact zero only, NaN for NaN."""
    # `size > 0` would be False for NaN and pass it off as zero.
    zero = size == 0
    logs = jnp.log(jnp.where(zero, 1, size))
    scale = exponent.astype(size.dtype) * jnp.asarray(np.log(2), size.dtype)
    return jnp.where(zero, -jnp.inf, logs + scale)


def unscaled(array: Float[Array, "*shape"], exponent: Int[Array, ""]) -> Float[Array, "*shape"]:
    """Return array * 2**exponent, which may overflow or underflow."""
    # Two halves: 2**exponent alone may overflow where the result does not.
    half = exponent // 2
    return jnp.ldexp(jnp.ldexp(array, half), exponent - half)
