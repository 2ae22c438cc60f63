"""Singular value decomposition of a small matrix whose rows differ by any power of two."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ._graded import ZERO

_MAX_SWEEPS = 40


class GradedSVD(NamedTuple):
    """The factors of A = left diag(exp(logs)) right^T, logs descending, -inf for an exact zero."""

    logs: Float[np.ndarray, "state"]
    left: Float[np.ndarray, "state state"]
    right: Float[np.ndarray, "state state"]


def graded_svd(
    exponent: Int[np.ndarray, "state"], rows: Float[np.ndarray, "state state"]
) -> GradedSVD:
    """Return the singular values and vectors of diag(2^exponent) rows, whatever its range.

    One-sided Jacobi: pairs of rows are rotated until all are orthogonal; then their norms are the
    singular values. Exponents enter a rotation only as the ratio of its two rows, so nothing
    overflows, and every singular value of a row-graded matrix keeps its relative accuracy (the
    vectors are accurate to eps over the relative distance to the next value).

    **Cost:** O(n^3) per sweep, n NumPy calls on n / 2 pairs each: for up to a few hundred rows.

    ??? cite "Reference"
        Demmel, J. and Veselic, K. (1992). Jacobi's method is more accurate than QR. SIAM J. Matrix
        Anal. Appl. 13, 1204-1245.
    """
    n = len(rows)
    exponent = exponent.astype(np.int64)
    rows = np.where((exponent == ZERO)[:, None], 0.0, rows.astype(np.float64))
    rotation = np.eye(n)
    for _ in range(_MAX_SWEEPS):
        _normalize(exponent, rows)
        order = np.argsort(-exponent, kind="stable")
        exponent, rows, rotation = exponent[order], rows[order], rotation[order]
        if not _sweep(exponent, rows, rotation):
            break
    _normalize(exponent, rows)
    return _sorted_factors(exponent, rows, rotation)


def _normalize(exponent, rows):
    """Scale each row into [1/2, 1), in place; an exact zero gets the exponent ZERO."""
    shift = np.frexp(np.max(np.abs(rows), axis=1))[1]
    alive = np.any(rows != 0, axis=1)
    rows[:] = np.ldexp(rows, -shift[:, None])
    exponent[:] = np.where(alive, exponent + shift, ZERO)


def _sweep(exponent, rows, rotation) -> bool:
    """Rotate every pair of rows that is not orthogonal, in place; say whether there was one."""
    threshold = len(rows) * np.finfo(np.float64).eps
    rotated = False
    for i, j in _rounds(int(np.sum(exponent != ZERO))):
        a, b = rows[i], rows[j]
        alpha, beta, gamma = np.sum(a * a, 1), np.sum(b * b, 1), np.sum(a * b, 1)
        skewed = np.abs(gamma) > threshold * np.sqrt(alpha * beta)
        if not skewed.any():
            continue
        rotated = True
        # Rows are sorted by size at the start of the sweep; on the way the order may tip a little.
        ratio = np.ldexp(1.0, np.clip(exponent[j] - exponent[i], -1000, 300))
        zeta = (ratio**2 * beta - alpha) / np.where(skewed, 2 * gamma, 1)
        tau = np.copysign(1.0, zeta) / (np.abs(zeta) + np.hypot(ratio, zeta))
        tau = np.where(skewed, tau, 0)[:, None]
        tangent = ratio[:, None] * tau
        cosine = 1 / np.sqrt(1 + tangent**2)
        rows[i], rows[j] = cosine * (a - ratio[:, None] * tangent * b), cosine * (tau * a + b)
        a, b = rotation[i], rotation[j]
        rotation[i], rotation[j] = cosine * (a - tangent * b), cosine * (tangent * a + b)
    return rotated


def _rounds(n: int):
    """Yield index arrays (i, j), i < j, of disjoint pairs; together they are all pairs below n."""
    players = np.arange(n + n % 2)  # one sits out when n is odd
    for _ in range(len(players) - 1):
        half = len(players) // 2
        pairs = np.sort(np.stack([players[:half], players[: half - 1 : -1]]), axis=0)
        yield tuple(pairs[:, pairs[1] < n])
        players = np.concatenate([players[:1], players[-1:], players[1:-1]])


def _sorted_factors(exponent, rows, rotation):
    norms = np.linalg.norm(rows, axis=1)
    alive = norms > 0
    logs = np.where(alive, np.log(np.where(alive, norms, 1)) + exponent * np.log(2), -np.inf)
    order = np.argsort(-logs, kind="stable")
    rank = int(np.sum(alive))
    right = (rows[order[:rank]] / norms[order[:rank], None]).T
    if rank < len(rows):  # any orthonormal completion belongs to the zeros
        basis = np.linalg.qr(np.concatenate([right, np.eye(len(rows))], axis=1))[0]
        right = np.concatenate([right, basis[:, rank:]], axis=1)
    return GradedSVD(logs[order], rotation[order].T, right)
