"""LU factorizations A = Pi L R, packed as LAPACK leaves them: the bases Q = Pi L of all sweeps."""

from typing import Any

import numpy as np
from jaxtyping import Float

from . import _lapack as la


def factored(A: Float[np.ndarray, "state column"]) -> tuple[Any, Any]:
    """Return L and R, packed, of A = Pi L R, and the permutation: Pi puts row i of L there."""
    lu, pivots, _ = la.lapack.dgetrf(A)
    index = np.arange(float(len(A)))[:, None]
    return lu, la.lapack.dlaswp(index, pivots)[:, 0].astype(np.intp)


def unpacked(lu: Any, permutation: Any) -> Float[np.ndarray, "state column"]:
    """Return the basis Q = Pi L of a packed factorization, square or tall."""
    Q, p = np.empty(lu.shape), lu.shape[1]
    Q[permutation[p:]] = lu[p:]
    Q[permutation[:p]] = np.tril(lu[:p], -1)
    Q[permutation[:p], np.arange(p)] = 1.0
    return Q


def tall_lu(A: Float[np.ndarray, "state column"]) -> tuple[Any, Any, Any]:
    """Return Q, R and a permutation with A = Q R: row `permutation[i]` of Q is row i of L."""
    lu, permutation = factored(A)
    return unpacked(lu, permutation), np.triu(lu[: A.shape[1]]), permutation


def factor(matrices: Any, lu: Any, permutation: Any, stack: Any) -> tuple[Any, Any]:
    """Return the factors of A = J Q = Pi L R for one J after the other, and the permutations.

    The inner loop of everything: the columns of J (rows of its transpose) in the order of the
    basis, J L by a triangular product, LU in place, the pivots as a permutation. The factors lie
    transposed in `stack`.
    """
    dtrmm, dgetrf, dlaswp = la.blas.dtrmm, la.lapack.dgetrf, la.lapack.dlaswp
    index, permutations = np.arange(float(len(permutation)))[:, None], []
    for M, place in zip(matrices, stack, strict=False):
        M.take(permutation, 0, place, "clip")
        A = dtrmm(1.0, lu, place.T, side=1, lower=1, diag=1, overwrite_b=1)
        lu, pivots, _ = dgetrf(A, overwrite_a=1)
        permutation = dlaswp(index, pivots)[:, 0].astype(np.intp)
        permutations.append(permutation)
    return stack[: len(permutations)], np.array(permutations)
