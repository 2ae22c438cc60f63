"""The graded product: J_t ... J_1 kept as Q diag(2^e) W, with integer exponents e.

Forming a product of T Jacobians loses every singular value below eps times the largest one, and
soon all of them. Here the product is factored as it grows and its scale goes into an int32 exponent
per row, so that nothing is rounded away whatever the range: the invariant

    J_t ... J_1 Q_0 = Q_t diag(2^e_t) W_t

holds to backward error eps, with Q_t well conditioned (not orthogonal) and W_t upper triangular. A
row that is exactly zero is marked by e = ZERO. Q_0 is a random orthogonal matrix with a fixed seed:
it does what column pivoting would do.

`multiply` takes J_t Q_t (or several steps' worth, J_{t+k} ... J_{t+1} Q_t) and factors it. That is
accurate as long as the growth of the factorization is small. It is not where *columns* of J differ
much in size (W D: the activation first, and every adjoint chain of a saturated network), because
they are mixed with large ones before any factorization sees them. `multiply_exactly` factors the
transpose of such a Jacobian first, J = outer diag(2^u) inner, and applies the three in turn.

??? cite "Reference"
    Stewart, G. W. (1997). On graded QR decompositions of products of matrices. ETNA 5, 29-49.
"""

import functools as ft
from typing import NamedTuple

import jax
import jax.lax.linalg as lax_linalg
import jax.numpy as jnp
import numpy as np
from jax.experimental.layout import Layout, with_layout_constraint
from jaxtyping import Float, Int

from .._types import Array
from ._bits import ZERO as ZERO
from ._bits import binary_exponent as binary_exponent
from ._bits import pow2 as pow2
from ._bits import times_pow2
from ._factorization import Factors
from ._rarely import rarely

# Rows of W that differ by more than this power of two are combined with exponents entry by entry.
_WIDE = 600

# From this size on the zero half of a triangle is worth a second, smaller matrix product.
_SPLIT_FROM = 64


class GradedProduct(NamedTuple):
    """A product of Jacobians as Q diag(2^exponent) W Q_0^T.

    - `frame`: rows are the columns of Q.
    - `exponent`: the integers e.
    - `triangle`: W^T (lower triangular), its columns of any size within the normal range; or only
      the diagonal of W, shape (state,), which is all that QR growth needs.
    - `growth`: per column of the frame, the sum of squares of the growth of all factorizations so
      far, each weighted with the number of steps it took.
    """

    frame: Float[Array, "state state"]
    exponent: Int[Array, "state"]
    triangle: Float[Array, "state *columns"]
    growth: Float[Array, "state"]


def identity(n: int, dtype, *, diagonal_only: bool = False) -> GradedProduct:
    """Return the empty product: the frame is the random orthogonal start."""
    frame = jnp.asarray(start_frame(n).T, dtype)
    triangle = jnp.ones(n, dtype) if diagonal_only else jnp.eye(n, dtype=dtype)
    return GradedProduct(frame, jnp.zeros(n, jnp.int32), triangle, jnp.zeros(n, dtype))


@ft.cache
def start_frame(n: int) -> Float[np.ndarray, "state state"]:
    """Return Q_0: orthogonal, random, the same in every run."""
    frame = np.linalg.qr(np.random.default_rng(0).standard_normal((n, n)))[0]
    frame.flags.writeable = False  # it is shared from call to call
    return frame


def multiply(product: GradedProduct, factors: Factors, steps) -> GradedProduct:
    """Return the product advanced by the given factorization of `steps` Jacobians times its frame.

    **Cost:** one matrix product of triangles.
    """
    exponent, triangle = _absorb_lower(factors.lower, product.exponent, product.triangle)
    growth = product.growth + jnp.square(factors.growth) * steps
    return GradedProduct(factors.frame, exponent, triangle, growth)


def multiply_exactly(
    product: GradedProduct, jacobian: Float[Array, "state state"], weight=1.0
) -> GradedProduct:
    """Return the product with one more Jacobian on its left, whatever the grading of its columns.

    The squares of its growth count with `weight`.

    **Cost:** three LU factorizations and four matrix products of size n.
    """
    return exact_product(product, exact_factors(product, jacobian), weight)


class ExactFactors(NamedTuple):
    """One Jacobian as 2^size outer diag(scale) inner, and its two factorizations with a frame.

    diag(scale) inner Q_{t-1} = middle R_inner and outer middle = Q_t R_outer. `middle_exponent`,
    `middle_triangle` are (e, W) after the first, `exponent`, `triangle` after the second, without
    2^size; rows of `frame` are the columns of Q_t, Q_t[i] = L[place[i]]. `growth` is the square, as
    a product adds it up.
    """

    size: Int[Array, ""]
    outer: Float[Array, "state state"]
    scale: Float[Array, "state"]
    inner: Float[Array, "state state"]
    middle: Float[Array, "state state"]
    R_inner: Float[Array, "state state"]
    R_outer: Float[Array, "state state"]
    middle_exponent: Int[Array, "state"]
    middle_triangle: Float[Array, "state *columns"]
    frame: Float[Array, "state state"]
    place: Int[Array, "state"]
    exponent: Int[Array, "state"]
    triangle: Float[Array, "state *columns"]
    growth: Float[Array, "state"]


def exact_factors(product: GradedProduct, jacobian: Float[Array, "state state"]) -> ExactFactors:
    """Return the factors with which `multiply_exactly` multiplies."""
    size = jnp.max(jnp.abs(jacobian))
    # The Jacobian's own size goes into the exponents: entries near 1e300 must not overflow.
    size = jnp.where(size > 0, binary_exponent(size), 0)
    size = jnp.where(size == ZERO, 0, size)
    scaled = times_pow2(jacobian, -size)
    vanished = jnp.any((jacobian != 0) & (scaled == 0))  # entries 1e300 apart in one Jacobian
    inner, scale, outer, split = _split_columns(scaled)
    middle, R_inner, growth_inner, _ = _lu(scale[:, None] * (inner @ product.frame.T))
    first = absorb(R_inner, *scaled_rows(product))
    frame, R_outer, growth_outer, place = _lu(outer @ middle)
    second = absorb(R_outer, *first)
    lost = jnp.where(vanished, jnp.inf, 0).astype(frame.dtype)
    growth = jnp.square(jnp.max(split)) + jnp.square(growth_inner) + jnp.square(growth_outer) + lost
    return ExactFactors(
        size, outer, scale, inner, middle, R_inner, R_outer, *first, frame.T, place, *second, growth
    )


def exact_product(product: GradedProduct, f: ExactFactors, weight=1.0) -> GradedProduct:
    """Return the product advanced by the factors that `exact_factors` made of it."""
    exponent = jnp.where(f.exponent == ZERO, ZERO, f.exponent + f.size)
    growth = product.growth + weight * f.growth
    return GradedProduct(_row_major(f.frame), exponent, _row_major(f.triangle.T), growth)


def scaled_rows(
    product: GradedProduct,
) -> tuple[Int[Array, "state"], Float[Array, "state *columns"]]:
    """Return (e, W) of the product with each row of W scaled into [1, 2), as `absorb` has it."""
    return normalized_rows(product.exponent, product.triangle.T)


def normalized_rows(exponent, W):
    """Return (e, W) of diag(2^exponent) W with each row of W scaled into [1, 2)."""
    k = binary_exponent(jnp.max(jnp.abs(W), axis=1) if W.ndim == 2 else W)
    dead = (exponent == ZERO) | (k == ZERO)
    k = jnp.where(dead, 0, k)
    scale = jnp.where(dead, 0, pow2(-k, W.dtype))
    W = W * (scale[:, None] if W.ndim == 2 else scale)
    return jnp.where(dead, ZERO, exponent + k), W


def absorb(R, exponent, triangle):
    """Return (e', W') with diag(2^e') W' = R diag(2^e) W; each row of W' is scaled into [1, 2).

    Right for every R and every range of exponents; expects rows of W scaled like those it returns.
    W may be its diagonal alone.
    """
    if triangle.ndim == 1:
        return normalized_rows(exponent, jnp.diagonal(R) * triangle)
    size = binary_exponent(R)
    alive = (size != ZERO) & (exponent != ZERO)[None, :]
    reach = jnp.where(alive, size + exponent[None, :], ZERO)
    a = jnp.max(reach, axis=1)
    shift = jnp.where(alive, exponent[None, :] - a[:, None], 0)
    W = jnp.where(alive, R * pow2(shift, R.dtype), 0) @ triangle
    return normalized_rows(jnp.where(a == ZERO, ZERO, a), W)


def _absorb_lower(lower, exponent, triangle):
    """Return (e', W'^T) for R^T in the lower triangle of `lower`: `absorb`, with fewer passes.

    Row i of the result is scaled by the largest 2^e_k of the rows k >= i that can enter it, whether
    they do or not. That is as good unless a later row is very much larger: then `absorb` is taken.
    """
    if triangle.ndim == 1:
        return normalized_rows(exponent, jnp.diagonal(lower) * triangle)
    k = binary_exponent(jnp.max(jnp.abs(triangle), axis=0))
    dead = (k == ZERO) | (exponent == ZERO)
    true = jnp.where(dead, ZERO, exponent + k)
    a = jax.lax.cummax(true, reverse=True)
    wide = jnp.any(~dead & (a - true > _WIDE))

    def narrow(lower, exponent, triangle, dead, a):
        nothing = a == ZERO
        scale = jnp.where(nothing, 0, a)
        shift = jnp.where(dead[:, None], 2 * -1023, exponent[:, None] - scale[None, :])
        C = jnp.where(_below_or_on_diagonal(lower), lower * pow2(shift, lower.dtype), 0)
        return jnp.where(nothing, ZERO, scale), _lower_product(triangle, C)

    def entry_by_entry(lower, exponent, triangle, dead, a):
        rows = normalized_rows(exponent, triangle.T)
        e, W = absorb(jnp.tril(lower).T, *rows)
        return e, _row_major(W.T)

    return rarely(wide, entry_by_entry, narrow, lower, exponent, triangle, dead, a)


def _row_major(x):
    """Return x laid out by rows.

    Else the compiler keeps the array by columns through the whole loop, for the sake of a rare
    branch, and turns it around at every step of the usual one.
    """
    return with_layout_constraint(x, Layout(major_to_minor=tuple(range(x.ndim))))


def _below_or_on_diagonal(x):
    i, j = (jax.lax.broadcasted_iota(jnp.int32, x.shape, axis) for axis in (0, 1))
    return j <= i


def _lower_product(A, B):
    """Return A B of two lower triangular matrices."""
    n = A.shape[0]
    if n < _SPLIT_FROM:
        return A @ B
    half = n // 2
    right = jnp.pad(A[half:, half:] @ B[half:, half:], ((half, 0), (0, 0)))
    return jnp.concatenate([A @ B[:, :half], right], axis=1)


def _split_columns(jacobian):
    """Return inner, scale, outer, growth with J = outer diag(scale) inner, powers of two in scale.

    A column of J that is exactly 0 (a dead unit) gives a scale of exactly 0. Rows are scaled into
    [1, 2) first: that changes neither pivots nor rounding, but the growth would take the grading of
    rows for cancellation.
    """
    rows = binary_exponent(jnp.max(jnp.abs(jacobian), axis=1))
    rows = jnp.where(rows == ZERO, 0, rows)[:, None]
    lower, U, growth, _ = _lu(times_pow2(jacobian, -rows).T)
    inner = lower.T
    u = binary_exponent(jnp.max(jnp.abs(U), axis=1))
    alive = u != ZERO
    scale = jnp.where(alive, pow2(u, U.dtype), 0)
    inverse = jnp.where(alive, pow2(jnp.where(alive, -u, 0), U.dtype), 0)
    return inner, scale, times_pow2((inverse[:, None] * U).T, rows), growth


def _lu(A):
    """Return Q, R, growth, place with A = Q R: Q[i] = L[place[i]] well conditioned, R triangular.

    growth_j is the largest entry of the pivot's row of A, or (|L||U|)_jj if that is larger, over
    the pivot: it does not change when rows are scaled, so grading alone never alarms. A zero pivot
    left by cancellation gives inf; one in a row of zeros, or found as 0 by elimination with zeros
    only, gives nothing, for it is exact.
    """
    lu, _, perm = lax_linalg.lu(A)
    L, R = jnp.tril(lu, -1) + jnp.eye(lu.shape[0], dtype=lu.dtype), jnp.triu(lu)
    met = jnp.sum(jnp.abs(L) * jnp.abs(R).T, axis=1)
    size = jnp.maximum(met, jnp.max(jnp.abs(A), axis=1)[perm])
    pivot = jnp.abs(jnp.diagonal(R))
    lost = jnp.where(met > 0, jnp.inf, 0).astype(size.dtype)
    growth = jnp.where(pivot > 0, size / jnp.where(pivot > 0, pivot, 1), lost)
    place = jnp.zeros_like(perm).at[perm].set(jnp.arange(len(perm), dtype=perm.dtype))
    return L[place], R, growth, place
