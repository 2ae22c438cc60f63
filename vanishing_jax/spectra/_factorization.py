"""The factorization of one step: A = Q R with Q well conditioned, R triangular, and what it lost.

Frames are stored by rows: row j of `rows` is the j-th column of A. LAPACK reads that array, column
by column, as A itself, so that nothing is copied on the way to it and back. The lower triangle of
what comes out is R^T, the strict upper one L^T.

The factorization is LU with partial pivoting, Q = P^T L. It keeps small and exactly zero rows to
full relative accuracy, where Householder QR mixes them with large ones, at a quarter of its
operations; an orthogonal Q is not needed before the end.

On accelerators, where LU is a long chain of small kernels, `cholesky` does the same with matrix
products: A^T A = R^T R and Q = A R^-1. Squaring doubles the exponents, so it serves only where the
growth it reports stays small; the engine falls back to LU where it does not.
"""

import functools as ft
from typing import NamedTuple

import jax
import jax.lax.linalg as lax_linalg
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from .._types import Array
from ._rarely import rarely

_KERNEL = "lapack_dgetrf_ffi"

# Rows whose largest entries differ by more than this factor get the costlier measure of growth.
# There rounding spreads over more than the pivot's own row, found by experiment: without the factor
# one in thirty chains graded over six decades on both sides exceeds its bound.
_UNEVEN_ROWS = 2.0**6
_UNEVEN_LOSS = 8.0

# Row exchanges that are followed in one kernel.
_EXCHANGES = 16


class Factors(NamedTuple):
    """A = Q R: rows of `frame` are the columns of Q; `lower` holds R^T (read the triangle only).

    `growth` (state,) is, for each column j, the largest entry in the row of its pivot (where rows
    are very uneven: or what elimination met there, (|L||R|)_jj, if that is larger) over the pivot:
    how many times rounding is amplified in R_jj. Scaling a row of A changes nothing. inf where a
    pivot was lost to cancellation; 1 for a pivot of 0 in a row of zeros, which is exact.
    """

    frame: Float[Array, "state state"]
    lower: Float[Array, "state state"]
    growth: Float[Array, "state"]


def factor(rows: Float[Array, "state state"]) -> Factors:
    """Return Q, R and growth by LU with partial pivoting."""
    return factor_in_place(rows)[0]


def factor_in_place(rows: Float[Array, "state state"]) -> tuple[Factors, Int[Array, "state"]]:
    """Return the factors, and where each row of L went: Q[i] = L[place[i]]."""
    n = rows.shape[-1]
    size = jnp.max(jnp.abs(rows), axis=0)
    lu, pivots = _getrf(rows)
    order = _permutation(pivots)
    place = jnp.zeros(n, jnp.int32).at[order].set(jnp.arange(n, dtype=jnp.int32))
    frame = frame_of(lu, place)
    size = size[order]

    def met(lu, size):
        i, j = _indices(n)
        met = jnp.where(j <= i, jnp.abs(lu * jnp.where(i == j, jnp.ones((), lu.dtype), lu.T)), 0)
        return _UNEVEN_LOSS * jnp.maximum(size, jnp.sum(met, axis=1))

    # With rows of very different size a small row may grow on the way far beyond what it was.
    smallest = jnp.min(jnp.where(size > 0, size, jnp.inf))
    uneven = jnp.max(size) > _UNEVEN_ROWS * smallest
    size = rarely(uneven, met, lambda lu, size: size, lu, size)
    return Factors(frame, lu, _growth(size, jnp.diagonal(lu))), place


def frame_of(
    lower: Float[Array, "state state"], place: Int[Array, "state"]
) -> Float[Array, "state state"]:
    """Return the frame from L^T in the strict upper triangle and the places of its columns."""
    i, j = _indices(lower.shape[0])
    one, zero = jnp.ones((), lower.dtype), jnp.zeros((), lower.dtype)
    return jnp.where(j > i, lower, jnp.where(i == j, one, zero))[:, place]


def _indices(n):
    return (jax.lax.broadcasted_iota(jnp.int32, (n, n), axis) for axis in (0, 1))


def cholesky(rows: Float[Array, "state state"]) -> Factors:
    """Return Q, R and growth by Cholesky of A^T A: matrix products and one small kernel.

    The growth is that of R squared: what the product A^T A amplifies.
    """
    size = jnp.max(jnp.abs(rows))
    scale = jnp.where(size > 0, size, 1)
    lower = jnp.linalg.cholesky((rows / scale) @ (rows / scale).T)
    frame = jax.lax.linalg.triangular_solve(lower, rows / scale, left_side=True, lower=True)
    pivot = jnp.diagonal(lower)
    growth = jnp.square(jnp.linalg.norm(rows / scale, axis=1) / pivot)
    growth = jnp.where(jnp.isfinite(growth), growth, jnp.inf)
    return Factors(frame, lower * scale, growth)


def _growth(size, pivot):
    pivot = jnp.abs(pivot)
    lost = jnp.where(size > 0, jnp.inf, 1).astype(size.dtype)
    return jnp.where(pivot > 0, size / jnp.where(pivot > 0, pivot, 1), lost)


def _getrf(rows):
    """Return (lu, pivots) of A in place of its rows; pivots count from 0."""
    if rows.dtype == jnp.float64 and _lapack_is_reachable():
        return jax.lax.platform_dependent(rows, cpu=_lapack_getrf, default=_lax_getrf)
    return _lax_getrf(rows)


def _lax_getrf(rows):
    lu, pivots, _ = lax_linalg.lu(rows.T)
    return lu.T, pivots


def _lapack_getrf(rows):
    # The kernel that lax.linalg.lu calls, without the two passes around it that turn the layout
    # and look for a failed call: 1.3 to 1.4 times as fast from n = 64 on.
    shapes = [
        jax.ShapeDtypeStruct(rows.shape, rows.dtype),
        jax.ShapeDtypeStruct(rows.shape[:-1], jnp.int32),
        jax.ShapeDtypeStruct(rows.shape[:-2], jnp.int32),
    ]
    call = jax.ffi.ffi_call(
        _KERNEL, shapes, input_output_aliases={0: 0}, vmap_method="broadcast_all"
    )
    lu, pivots, _ = call(rows)
    return lu, pivots - 1


@ft.cache
def _lapack_is_reachable() -> bool:
    """Return whether lax.linalg.lu calls that kernel by that name, and it does the same for us.

    The first call goes through lax.linalg.lu in any case: it is what loads LAPACK.
    """
    A = np.random.default_rng(0).standard_normal((5, 5))
    cpu = jax.default_device(jax.local_devices(backend="cpu")[0])
    with jax.ensure_compile_time_eval(), jax.enable_x64(True), cpu:
        lowered = jax.jit(_lax_getrf).lower(jnp.asarray(A))
        if f"@{_KERNEL}(" not in lowered.as_text():
            return False
        expected = lowered.compile()(jnp.asarray(A))
        found = jax.jit(_lapack_getrf)(jnp.asarray(A))
        pairs = [(np.asarray(a), np.asarray(b)) for a, b in zip(found, expected, strict=True)]
    return all(a.shape == b.shape and np.allclose(a, b) for a, b in pairs)


def _permutation(pivots: Int[Array, "state"]) -> Int[Array, "state"]:
    """Return p with (P A)[i] = A[p[i]] from LAPACK's list of row exchanges.

    Every place is followed back through the exchanges at once, several in one kernel: 3 times as
    fast as exchanging entries one by one at n = 64, and as fast under vmap.
    """
    n = pivots.shape[-1]
    padding = jnp.arange(n, -(-n // _EXCHANGES) * _EXCHANGES, dtype=jnp.int32)
    pivots = jnp.concatenate([pivots.astype(jnp.int32), padding])

    def follow(block, place):
        first = pivots.shape[-1] - (block + 1) * _EXCHANGES
        exchanged = jax.lax.dynamic_slice_in_dim(pivots, first, _EXCHANGES)
        for i in reversed(range(_EXCHANGES)):
            j, k = first + i, exchanged[i]
            place = jnp.where((place == j) | (place == k), place ^ (j ^ k), place)
        return place

    blocks = pivots.shape[-1] // _EXCHANGES
    return jax.lax.fori_loop(0, blocks, follow, jnp.arange(n, dtype=jnp.int32))
