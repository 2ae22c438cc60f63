"""From a sweep's product to numbers: log |R_ii|, and log singular values to full accuracy."""

from typing import Any

import numpy as np
from jaxtyping import Float

from . import _lapack as la
from ._balance import ZERO
from ._sweep import Product
from ._thin_sweep import ThinProduct
from ._triangular import absorb

_LN2 = np.log(2.0)

# Bits over which the rows of what LAPACK decomposes may spread, half to either side of 1.
_RANGE = 900


def log_r_diagonal(p: Product | ThinProduct) -> Float[np.ndarray, "state"]:
    """Return log |R_ii| of the QR factorization of P Q_0, as QR at every step would have added up.

    In the order of the columns; -inf beyond the rank.
    """
    S = np.linalg.qr(p.basis, mode="r")
    diagonal = np.abs(np.diagonal(S) * (p.W if p.W.ndim == 1 else np.diagonal(p.W)))
    zero = (p.exponent == ZERO) | (diagonal == 0)
    logs = np.log(np.where(zero, 1, diagonal)) + np.where(zero, 0, p.exponent) * _LN2
    return np.where(zero, -np.inf, logs)


def log_singular_values_of(p: Product | ThinProduct) -> Float[np.ndarray, "state"]:
    """Return the log singular values of P, descending; -inf for one that is exactly zero."""
    return _decomposed(np.linalg.qr(p.basis, mode="r"), p, False)[0]


def with_right_vectors(
    p: Product,
) -> tuple[Float[np.ndarray, "state"], Float[np.ndarray, "state state"]]:
    """Return the log singular values and V with P Q_0 V = U S: right vectors in the start's basis.

    Not to full accuracy: good enough to start another sweep with.
    """
    logs, _, right = _decomposed(np.linalg.qr(p.basis, mode="r"), p, True)
    return logs, right


def triplets_of(
    p: ThinProduct,
) -> tuple[
    Float[np.ndarray, "direction"],
    Float[np.ndarray, "state direction"],
    Float[np.ndarray, "direction direction"],
]:
    """Return log singular values of a thin product, left vectors, and right ones in its columns."""
    Q, S = np.linalg.qr(p.basis)
    logs, left, right = _decomposed(S, p, True)
    return logs, Q @ left, right


def _decomposed(S, p, vectors: bool) -> tuple[Any, Any, Any]:
    """Return of S diag(2^e) W the sorted logs, and left and right vectors or None.

    The basis is made orthogonal. Rows are sorted and the matrix transposed by QR, twice or more
    (an LR iteration): the coupling of two rows falls by the ratio of their sizes each time, after
    which the matrix is graded row by row, and diagonal for what lies far apart. Gaps between the
    exponents of neighboring rows can then be capped without changing anything in between, so that
    all rows fit into the range of floats; the caps are added to the logs. LAPACK's gesdd takes the
    singular values of a row-graded matrix to high relative accuracy.
    """
    exponent, W = absorb(S, p.exponent, p.W)
    # Left and right vectors: the rows of the matrix are those of the left ones, then, transposed,
    # of the right ones, and so on.
    sides, flips, i = [np.eye(len(exponent)) for _ in range(2)], 1, 0
    while True:
        order = np.argsort(-exponent, kind="stable")
        exponent, W = exponent[order], W[order]
        rows, columns = i % 2, 1 - i % 2
        sides[rows] = sides[rows][:, order]
        gap = np.where(exponent[1:] == ZERO, 0, exponent[:-1] - exponent[1:])
        cap = _largest_cap(gap)
        if i <= 1:  # the smaller the cap, the more decoupled rows on both of its sides have to be
            flips = max(flips, 1 + 25 // max(cap, 1) // 2 * 2)
        if i == flips:
            break
        if vectors:
            Q, R = np.linalg.qr(W.T)
            sides[columns] = sides[columns] @ Q
        else:
            R = np.asarray(np.linalg.qr(W.T, mode="r"))
        exponent, W = absorb(R, exponent)
        i += 1
    capped = _RANGE // 2 - np.concatenate([[0], np.minimum(gap, cap).cumsum()])
    M = np.ldexp(W, capped[:, None].astype(np.int32))
    dead = exponent == ZERO
    if vectors:
        # gesvd: gesdd is accurate for small values of a graded matrix only without the vectors.
        U, sigma, Vt, _ = la.lapack.dgesvd(M)
        sides = [sides[0] @ Vt.T, sides[1] @ U]
    else:
        sigma = np.linalg.svd(M, compute_uv=False)
    shift = np.where(dead, 0, exponent - capped)
    with np.errstate(divide="ignore"):
        logs = np.where(dead, -np.inf, np.log(np.where(dead, 1, sigma)) + shift * _LN2)
    order = np.argsort(-logs, kind="stable")
    left, right = (side[:, order] for side in sides) if vectors else (None, None)
    return logs[order], left, right


def _largest_cap(gap) -> int:
    """Return the largest integer G with sum(min(gap, G)) <= RANGE."""
    if gap.sum() <= _RANGE:
        return _RANGE
    low, high = 0, _RANGE
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if np.minimum(gap, middle).sum() <= _RANGE else (low, middle - 1)
    return low
