"""From a product in factors to its log singular values, its singular vectors and its QR growth."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from .._types import Array
from ._powers import ZERO, pow2
from ._scan import Product, absorb, matmul

# LAPACK's singular values (dqds) square the entries: half of the exponent range may be used.
_FINISH = {"float64": 900, "float32": 100}


class Spectrum(NamedTuple):
    """The singular value decomposition of R_0 diag(2^e) W, logs descending, -inf for exact zeros.

    R_0 makes the basis orthogonal, Q = O R_0: `left` vectors live in the columns of O, `right` ones
    in those of the start Q_0. `resolved` is False where the spectrum has more scales than the
    exponent range has bits: neighbors lose their order, and values are off by up to log 2.
    """

    logs: Float[Array, "state"]
    left: Float[Array, "state state"]
    right: Float[Array, "state state"]
    orthogonalizer: Float[Array, "state state"]
    resolved: Bool[Array, ""]


class _Rows(NamedTuple):
    """Row-graded diag(2^exponent) W of which M = row_side rows col_side^T, or its transpose."""

    exponent: Int[Array, "state"]
    W: Float[Array, "state state"]
    row_side: Float[Array, "state *columns"]
    col_side: Float[Array, "state *columns"]


def growth_of(product: Product) -> Spectrum:
    """Return log |R_ii| of the QR factorization of J_t ... J_1 Q_0, in the order of the columns.

    They belong to the columns of O and Q_0 themselves.

    The diagonal of an orthogonal-triangular factorization is unique, so these are the sums of
    logs that a QR factorization at every step would have accumulated.
    """
    R, W = jnp.linalg.qr(product.basis, mode="r"), product.W
    eye = jnp.eye(len(R), dtype=R.dtype)
    diagonal = jnp.abs(jnp.diagonal(R) * (W if W.ndim == 1 else jnp.diagonal(W)))
    dead = (product.exponent == ZERO) | (diagonal == 0)
    scale = jnp.where(dead, 0, product.exponent).astype(R.dtype) * jnp.asarray(np.log(2), R.dtype)
    logs = jnp.where(dead, -jnp.inf, jnp.log(jnp.where(dead, 1, diagonal)) + scale)
    return Spectrum(logs, eye, eye, R, jnp.asarray(True))


def spectrum_of(product: Product, *, vectors: bool) -> Spectrum:
    """Return the singular value decomposition of a product; `vectors` False leaves them empty.

    Every value, and every vector, to full accuracy, in two steps. Rows are sorted and transposed by
    QR until they are nearly orthogonal across large gaps: an LR iteration, each pass of which
    multiplies the coupling of two rows by the ratio of their sizes. Then the gaps are capped so
    that the matrix fits the exponent range, and LAPACK has it: it is accurate to a few eps in every
    singular value of a row-graded matrix, and for the vectors if by QR iteration rather than divide
    and conquer.
    """
    n, dtype = len(product.basis), product.basis.dtype
    R = jnp.linalg.qr(product.basis, mode="r")
    eye = jnp.eye(n if vectors else 0, dtype=dtype)
    rows = _sorted(_Rows(*absorb(R, product.exponent, product.W), eye, eye), vectors)
    # One flip always; more when many rows share the range and gaps are capped tightly. Errors of
    # the vectors are those of the couplings that are left, errors of the values their squares.
    flips = 1 + (50 if vectors else 25) // jnp.maximum(_largest_cap(rows.exponent, dtype), 1)
    rows = jax.lax.fori_loop(0, flips, lambda _, rows: _flip(rows, vectors), rows)
    dead = rows.exponent == ZERO
    gap = jnp.where(dead[1:], 0, rows.exponent[:-1] - rows.exponent[1:])
    cap = _largest_cap(rows.exponent, dtype)
    capped = jnp.cumsum(-jnp.minimum(gap, cap), dtype=jnp.int32)
    capped = jnp.concatenate([jnp.zeros(1, jnp.int32), capped]) + _FINISH[dtype.name] // 2
    A = pow2(capped, dtype)[:, None] * rows.W
    if vectors:
        u, sigma, vt = jax.lax.platform_dependent(A, cpu=_svd_by_qr_iteration, default=_svd)
        row, col = matmul(rows.row_side, u), matmul(rows.col_side, vt.T)
        odd = flips % 2 == 1
        left, right = jnp.where(odd, col, row), jnp.where(odd, row, col)
    else:
        sigma, left, right = jnp.linalg.svd(A, compute_uv=False), eye, eye
    shift = jnp.where(dead, 0, rows.exponent - capped).astype(dtype)
    logs = jnp.log(jnp.where(dead, 1, sigma)) + shift * jnp.asarray(np.log(2), dtype)
    logs = jnp.where(dead, -jnp.inf, logs)
    order = jnp.argsort(-logs)
    if vectors:
        left, right = left[:, order], right[:, order]
    return Spectrum(logs[order], left, right, R, (cap > 0) | jnp.all(gap == 0))


def _svd(A):
    return jax.lax.linalg.svd(A)


def _svd_by_qr_iteration(A):
    return jax.lax.linalg.svd(A, algorithm=jax.lax.linalg.SvdAlgorithm.QR)


def _sorted(rows, vectors):
    order = jnp.argsort(-rows.exponent)
    side = rows.row_side[:, order] if vectors else rows.row_side
    return _Rows(rows.exponent[order], rows.W[order], side, rows.col_side)


def _flip(rows, vectors):
    """Transpose by QR: D W = (R D)^T Q^T with W^T = Q R, so that the two sides change places."""
    if vectors:
        Q, R = jnp.linalg.qr(rows.W.T)
        sides = matmul(rows.col_side, Q), rows.row_side
    else:
        R = jnp.linalg.qr(rows.W.T, mode="r")
        sides = rows.row_side, rows.col_side
    return _sorted(_Rows(*absorb(R, rows.exponent, None), *sides), vectors)


def _largest_cap(exponent, dtype):
    """Return the largest G such that gaps of sorted rows, capped at G, fit the exponent range."""
    bits = _FINISH[dtype.name]
    gap = jnp.where(exponent[1:] == ZERO, 0, exponent[:-1] - exponent[1:])
    caps = jnp.arange(bits + 1, dtype=jnp.int32)
    total = jnp.sum(jnp.minimum(gap[None, :], caps[:, None]), axis=1)
    return jnp.max(jnp.where(total <= bits, caps, 0))
