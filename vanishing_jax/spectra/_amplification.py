"""What the losses of a sweep have become by its end: a first-order estimate made on the way.

An error E of the factorization A = J Q = Pi L R changes the log of the i-th value by b_i^T E a_i
with b_i^T A a_i = 1 (see `_error_bound`, which sums it up for every product). Here it is taken
piece by piece, over some factorizations each, from what a sweep has anyway: row j of E is at most
about eps times the size of row j of J, times the largest of the pivots in such units; a_i = Q x_i
and b_i are triangular for the values log |R_ii|, whatever the start, and are pulled back from the
end by the triangular factors of the pieces. How much larger the rows of L^-1 make b_i is looked at
once a piece.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from . import _lapack as la
from ._balance import ZERO, pow2
from ._triangular import absorb, by_strips

# Squares stay in the range of floats.
_LARGEST = 1e150


class Piece(NamedTuple):
    """Some factorizations.

    - `exponent`, `W`: their triangular factor diag(2^exponent) W.
    - `losses`: [i, j]: the sum of squares, in units of eps, of how an error in the row of pivot j
      compares with pivot i.
    - `worst`: the sum of squares of the largest loss of each.
    """

    exponent: Int[np.ndarray, "state"]
    W: Float[np.ndarray, "state state"]
    losses: Float[np.ndarray, "state state"]
    worst: float


def piece_of(
    R: Float[np.ndarray, "state state"],
    losses: Float[np.ndarray, "factorization state"],
    rows: Float[np.ndarray, "factorization state"],
    last: Float[np.ndarray, "state state"],
) -> Piece:
    """Return the piece with the triangular factor R.

    `losses`: (factorization, pivot), squares of what is lost of each; `rows`: the sizes of the
    pivots' rows; `last`: the last factorization, L in its lower half.
    """
    with np.errstate(all="ignore"):
        rows = rows / rows.max(axis=1, keepdims=True)
        lost = np.where(losses == 0, 0.0, np.minimum(np.sqrt(losses) / rows, _LARGEST))
        crossed = (lost**2).T @ rows**2
        np.fill_diagonal(crossed, losses.sum(axis=0))
        inverse = np.tril(la.lapack.dtrtri(last, lower=1, unitdiag=1)[0], -1)
        size = rows[-1] ** 2
        reach = 1 + np.where(size > 0, inverse**2 @ size / size, 0.0)
    worst = float(np.sum(losses.max(axis=1)))
    return Piece(np.zeros(len(R), np.int64), R, crossed * reach, worst)


def merged(pieces: list[Piece]) -> list[Piece]:
    """Return the pieces, neighbors multiplied."""
    found = []
    for first, second in zip(pieces[::2], pieces[1::2], strict=False):
        exponent, W = absorb(second.W, first.exponent, first.W)
        zero = (exponent == ZERO) | (second.exponent == ZERO)
        exponent = np.where(zero, ZERO, exponent + second.exponent)
        losses = first.losses + second.losses
        found.append(Piece(exponent, W, losses, first.worst + second.worst))
    return found + pieces[len(pieces) // 2 * 2 :]


def amplified_loss(pieces: list[Piece], rank: int) -> float:
    """Return what the losses of the pieces have become at their end, for the value hit hardest.

    The root of the sum of their squares, in units of eps, of the first `rank` values.
    """
    if rank == 0:
        return 0.0
    X, total = np.eye(rank, order="F"), np.zeros(rank)
    with np.errstate(all="ignore"):
        for piece in reversed(pieces):
            X /= np.sqrt(np.einsum("ij,ij->j", X, X))
            Y = la.lapack.dtrtri(X)[0]
            total += np.einsum("ij,ij,ij->i", piece.losses[:rank, :rank], Y, Y)
            # R^-1 X, R = diag(2^e) W: columns scaled by the pivots keep it in range.
            X *= np.diagonal(piece.W)[:rank]
            e = piece.exponent[:rank]
            if e.any():
                X = np.triu(X * pow2(np.clip(e[None, :] - e[:, None], -1000, 1000)))
            W = np.asfortranarray(piece.W[:rank, :rank])
            X = by_strips(la.blas.dtrsm, W, np.asfortranarray(X))
        worst = float(np.sqrt(np.max(total)))
    return np.inf if np.isnan(worst) else worst
