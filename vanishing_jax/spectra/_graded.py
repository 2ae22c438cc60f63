"""The graded product: J_t ... J_1 kept as Q diag(2^e) W, with integer exponents e.

Forming a product of T Jacobians loses every singular value below eps times the largest one, and
soon all of them. Here each step is factored and its scale goes into an int32 exponent per row, so
that nothing is rounded away whatever the range: the invariant

    J_t ... J_1 Q_0 = Q_t diag(2^e_t) W_t

holds to backward error eps, with Q_t well conditioned (not orthogonal), W_t upper triangular
with rows scaled into [1, 2), and a row that is exactly zero marked by e = ZERO. Q_0 is a random
orthogonal matrix with a fixed seed: it does what column pivoting would do.

The factorization is LU with partial pivoting, which keeps small and exactly zero *rows* to full
relative accuracy (D W: a saturated activation after the weights) where Householder QR loses them.
Small *columns* (W D: the activation first, and every adjoint chain) mix with large ones before any
LU sees them; so where columns differ in size the transpose of the Jacobian is factored first,
J = outer diag(2^u) inner, and the three factors are applied in turn. One routine is then right for
both orders and both directions.

??? cite "Reference"
    Stewart, G. W. (1997). On graded QR decompositions of products of matrices. ETNA 5, 29-49.
"""

from typing import NamedTuple

import jax
import jax.lax.linalg as lax_linalg
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from .._types import Array

# The exponent of an exact zero. Far below any exponent that occurs, far above int32 overflow.
ZERO = -(2**29)

# Columns whose largest entries differ by more than this factor are split off before the LU.
_EVEN_COLUMNS = 64


class GradedProduct(NamedTuple):
    """A product of Jacobians as `frame @ diag(2**exponent) @ triangle @ start.T`."""

    frame: Float[Array, "state state"]
    exponent: Int[Array, "state"]
    triangle: Float[Array, "state state"]
    growth: Float[Array, ""]  # sum over steps of the factorizations' element growth


def identity(n: int, dtype) -> GradedProduct:
    """Return the empty product: the frame is the random orthogonal start."""
    normal = np.random.default_rng(0).standard_normal((n, n))
    frame = jnp.asarray(np.linalg.qr(normal)[0], dtype)
    return GradedProduct(
        frame, jnp.zeros(n, jnp.int32), jnp.eye(n, dtype=dtype), jnp.zeros((), dtype)
    )


def push(product: GradedProduct, jacobian: Float[Array, "state state"]) -> GradedProduct:
    """Return the product with one more Jacobian on its left.

    **Cost:** one LU and two matrix products of size n when the columns of the Jacobian are of
    similar size, else three and four (under `vmap` always both).
    """
    size = jnp.max(jnp.abs(jacobian))
    # The Jacobian's own size goes into the exponents: entries near 1e300 must not overflow.
    size = jnp.where(size > 0, binary_exponent(size), 0)
    size = jnp.where(size == ZERO, 0, size)
    scaled = _scaled(jacobian, -size)
    vanished = jnp.any((jacobian != 0) & (scaled == 0))  # entries 1e300 apart in one Jacobian
    jacobian = scaled
    columns = jnp.max(jnp.abs(jacobian), axis=0)
    even = jnp.max(columns) <= _EVEN_COLUMNS * jnp.min(columns)
    product = jax.lax.cond(even, _push_even, _push_uneven, product, jacobian)
    exponent = jnp.where(product.exponent == ZERO, ZERO, product.exponent + size)
    growth = jnp.where(vanished, jnp.inf, product.growth)
    return product._replace(exponent=exponent, growth=growth)


def _push_even(product, jacobian):
    frame, R, growth = _lu(jacobian @ product.frame)
    exponent, triangle = absorb(R, product.exponent, product.triangle)
    return GradedProduct(frame, exponent, triangle, product.growth + growth)


def _push_uneven(product, jacobian):
    inner, scale, outer, growth_split = _split_columns(jacobian)
    frame, R, growth_inner = _lu(scale[:, None] * (inner @ product.frame))
    exponent, triangle = absorb(R, product.exponent, product.triangle)
    frame, R, growth_outer = _lu(outer @ frame)
    exponent, triangle = absorb(R, exponent, triangle)
    growth = product.growth + growth_split + growth_inner + growth_outer
    return GradedProduct(frame, exponent, triangle, growth)


def _split_columns(jacobian):
    """Return inner, scale, outer, growth with J = outer diag(scale) inner, powers of two in scale.

    A column of J that is exactly 0 (a dead unit) gives a scale of exactly 0.
    """
    lower, U, growth = _lu(jacobian.T)
    inner = lower.T
    u = binary_exponent(jnp.max(jnp.abs(U), axis=1))
    alive = u != ZERO
    scale = jnp.where(alive, pow2(u, U.dtype), 0)
    inverse = jnp.where(alive, pow2(jnp.where(alive, -u, 0), U.dtype), 0)
    return inner, scale, (inverse[:, None] * U).T, growth


def _unit_lower(lu):
    return jnp.tril(lu, -1) + jnp.eye(lu.shape[0], dtype=lu.dtype)


def _lu(A):
    """Return Q, R, growth with A = Q R: Q well conditioned, R upper triangular.

    growth = max_j (|L||U|)_jj / |U_jj| says how much cancellation a pivot suffered; it does not
    change when rows are scaled, so grading alone never alarms. A zero pivot left by cancellation
    gives inf; one in a zero row or column gives nothing, for it is exact.
    """
    lu, _, perm = lax_linalg.lu(A)
    L, R = _unit_lower(lu), jnp.triu(lu)
    size = jnp.sum(jnp.abs(L) * jnp.abs(R).T, axis=1)
    pivot = jnp.abs(jnp.diagonal(R))
    lost = jnp.where(size > 0, jnp.inf, 0).astype(size.dtype)
    growth = jnp.max(jnp.where(pivot > 0, size / jnp.where(pivot > 0, pivot, 1), lost))
    return jnp.zeros_like(L).at[perm].set(L), R, growth


def absorb(R, exponent, triangle):
    """Return (e', W') with diag(2^e') W' = R diag(2^e) W; each row of W' is scaled into [1, 2)."""
    size = binary_exponent(R)
    alive = (size != ZERO) & (exponent != ZERO)[None, :]
    reach = jnp.where(alive, size + exponent[None, :], ZERO)
    a = jnp.max(reach, axis=1)
    shift = jnp.where(alive, exponent[None, :] - a[:, None], 0)
    W = jnp.where(alive, R * pow2(shift, R.dtype), 0) @ triangle
    k = binary_exponent(jnp.max(jnp.abs(W), axis=1))
    dead = (a == ZERO) | (k == ZERO)
    k = jnp.where(dead, 0, k)
    return jnp.where(dead, ZERO, a + k), jnp.where(dead[:, None], 0, W * pow2(-k, W.dtype)[:, None])


def binary_exponent(x):
    """Return floor(log2 |x|), ZERO for zero and subnormals."""
    bits, width, mantissa = _format(x.dtype)
    field = (jax.lax.bitcast_convert_type(x, bits) >> mantissa) & (2**width - 1)
    return jnp.where(field == 0, ZERO, field.astype(jnp.int32) - (2 ** (width - 1) - 1))


def pow2(k, dtype):
    """Return 2.0**k exactly; 0 below the normal range."""
    bits, width, mantissa = _format(dtype)
    bias = 2 ** (width - 1) - 1
    field = jnp.clip(k, -bias, bias).astype(bits) + jnp.asarray(bias, bits)
    return jax.lax.bitcast_convert_type(field << mantissa, dtype)


def _scaled(x, k):
    # In two halves: 2**k alone may lie outside the normal range.
    half = k // 2
    return x * pow2(half, x.dtype) * pow2(k - half, x.dtype)


def _format(dtype):
    if dtype == jnp.float64:
        return jnp.int64, 11, 52
    if dtype == jnp.float32:
        return jnp.int32, 8, 23
    raise TypeError(f"expected float32 or float64 Jacobians; got {dtype}. Convert them first.")
