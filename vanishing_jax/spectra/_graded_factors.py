"""Singular vectors of a graded product, in compiled code: what the gradient needs of its SVD."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from .._types import Array
from ._bits import ZERO, pow2
from ._finish import Rows, capped_exponents, largest_gap, orthogonal_frame, sorted_rows
from ._graded import GradedProduct, absorb

# Errors of the vectors are those of the couplings that are left, errors of the values their
# squares: twice as many flips as the values need.
_FLIP_BITS = 50


class ProductSVD(NamedTuple):
    """M = left diag(exp(logs)) right^T of M = R_0 diag(2^e) W, logs descending.

    R_0 makes the frame orthogonal: Q_T = O R_0. `left` lives in the columns of O, `right` in those
    of the start Q_0.
    """

    logs: Float[Array, "state"]
    left: Float[Array, "state state"]
    right: Float[Array, "state state"]
    orthogonalizer: Float[Array, "state state"]
    resolved: Bool[Array, ""]


class _Flipped(NamedTuple):
    """Rows with M = row_side rows col_side^T, or its transpose when `transposed`."""

    rows: Rows
    row_side: Float[Array, "state state"]
    col_side: Float[Array, "state state"]
    transposed: Bool[Array, ""]


def product_svd(product: GradedProduct) -> ProductSVD:
    """Return the SVD of one graded product, every value and vector to full accuracy.

    The steps of `log_singular_values_of_rows`, with the rotations kept. LAPACK's bidiagonal QR
    iteration, unlike divide and conquer, determines the vectors of tiny singular values of a graded
    matrix as well as those of large ones.
    """
    rows, R = orthogonal_frame(product)
    eye = jnp.eye(R.shape[0], dtype=R.dtype)
    flips = 1 + _FLIP_BITS // jnp.maximum(largest_gap(rows), 1)
    start = _Flipped(rows, eye, eye, jnp.zeros((), bool))
    flipped = _sort(jax.lax.fori_loop(0, flips, lambda _, f: _flip(f), start))
    rows = flipped.rows
    capped, resolved = capped_exponents(rows)
    A = pow2(capped, rows.triangle.dtype)[:, None] * rows.triangle
    u, sigma, vt = jax.lax.platform_dependent(A, cpu=_qr_iteration, default=_default)
    dead = rows.exponent == ZERO
    shift = jnp.where(dead, 0, rows.exponent - capped).astype(A.dtype)
    logs = jnp.log(jnp.where(dead, 1, sigma)) + shift * jnp.asarray(np.log(2), A.dtype)
    logs = jnp.where(dead, -jnp.inf, logs)
    order = jnp.argsort(-logs)
    row, col = (flipped.row_side @ u)[:, order], (flipped.col_side @ vt.T)[:, order]
    left, right = (jnp.where(flipped.transposed, a, b) for a, b in ((col, row), (row, col)))
    return ProductSVD(logs[order], left, right, R, resolved)


def _sort(f: _Flipped) -> _Flipped:
    order = jnp.argsort(-f.rows.exponent)
    return f._replace(rows=sorted_rows(f.rows), row_side=f.row_side[:, order])


def _flip(f: _Flipped) -> _Flipped:
    """Transpose by QR: D W = (R D)^T Q^T with W^T = Q R, so that the two sides change places."""
    f = _sort(f)
    Q, R = jnp.linalg.qr(f.rows.triangle.T)
    rows = Rows(*absorb(R, f.rows.exponent, jnp.eye(R.shape[0], dtype=R.dtype)))
    return _Flipped(rows, f.col_side @ Q, f.row_side, ~f.transposed)


def _qr_iteration(A):
    return jax.lax.linalg.svd(A, algorithm=jax.lax.linalg.SvdAlgorithm.QR)


def _default(A):
    return jax.lax.linalg.svd(A)
