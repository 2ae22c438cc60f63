"""Products of triangular factors, rows scaled by integer powers of two so that any size is held."""

import functools as ft
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from . import _lapack as la
from ._balance import ZERO

# Sizes for which stacked matrix products beat BLAS calls one by one.
_SMALL = 48

# Columns that are multiplied together: a strip needs the rows above its diagonal only.
_STRIP = 64


def absorb(
    R: Float[np.ndarray, "row row"],
    exponent: Int[np.ndarray, "row"],
    W: Float[np.ndarray, "row column"] | None = None,
) -> tuple[Int[np.ndarray, "row"], Float[np.ndarray, "row column"]]:
    """Return (e', W') with diag(2^e') W' = R diag(2^e) W, rows of W' in [1, 2), scaled exactly."""
    reach = np.where(R != 0, np.frexp(R)[1] + exponent, ZERO)
    largest = reach.max(axis=1)
    shift = np.clip(exponent - largest[:, None], -5000, 5000)
    C = np.ldexp(np.where(exponent == ZERO, 0.0, R), shift.astype(np.int32))
    W = C if W is None else C @ W
    size = np.abs(W).max(axis=1)
    zero = (size == 0) | (largest < ZERO // 2)
    k = np.frexp(size)[1] - 1
    W = np.where(zero[:, None], 0.0, np.ldexp(W, -k[:, None]))
    return np.where(zero, ZERO, largest + k), W


def products_of(factors: Float[np.ndarray, "factor state state"], length: int) -> tuple[Any, Any]:
    """Return the products of `length` neighboring triangular factors each, and of all of them.

    `factors` are transposed, with L in the other half; `length` is a power of two.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if factors.shape[-1] < _SMALL:
            parts = np.tril(factors)
            while len(parts) > 1 and length > 1:
                parts, length = _in_pairs(parts), length // 2
            whole = parts
            while len(whole) > 1:
                whole = _in_pairs(whole)
            return parts.swapaxes(-1, -2), whole[0].T
        parts = []
        for a in range(0, len(factors), length):
            R = np.triu(factors[a].T)
            for lu in factors[a + 1 : a + length]:
                R = by_strips(la.blas.dtrmm, lu.T, R)
            parts.append(R)
        return parts, ft.reduce(lambda R, part: by_strips(la.blas.dtrmm, part, R), parts)


def by_strips(
    operation: Callable[..., Any],
    R: Float[np.ndarray, "state state"],
    X: Float[np.ndarray, "state state"],
) -> Float[np.ndarray, "state state"]:
    """Return R X by `dtrmm`, or R^-1 X by `dtrsm`, of upper triangular matrices.

    In half the time of one call, which would not know that X is triangular.
    """
    n = len(X)
    if n <= _STRIP:
        return operation(1.0, R, X, lower=0)
    product = np.zeros((n, n), order="F")
    for a in range(0, n, _STRIP):
        b = min(a + _STRIP, n)
        product[:b, a:b] = operation(1.0, R[:b, :b], X[:b, a:b], lower=0)
    return product


def _in_pairs(factors):
    """Return transposed products of neighbors, the last of an odd number as it is."""
    odd = factors[len(factors) // 2 * 2 :]
    return np.concatenate([np.matmul(factors[:-1:2], factors[1::2]), odd])
