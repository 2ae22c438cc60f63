"""Exact balancing: after it every chain is of one kind, and one kind of step serves them all.

LU with partial pivoting forgives rows of any size: a row scaled by a power of two is eliminated
with the same roundings. It does not forgive columns. Where the columns of J_t are of very uneven
size (the activation comes first, J = W D, or the sweep goes backward over J = D W), the products
J_t Q lose what the small columns carry, because it is added to what the large ones carry.

So let J_t = K_t D_t with D_t powers of two, the sizes of the columns of the row-equilibrated J_t,
and hand each D to the rows of the Jacobian before, where it does no harm:

    J_T ... J_2 J_1 = K_T (D_T K_{T-1}) ... (D_2 K_1) D_1 = J'_T ... J'_1 D_1,
    J'_t = D_{t+1} J_t D_t^-1.

No rounding is committed, and all steps of a chunk are scaled at once. A zero column of J_{t+1} has
D = 0 and becomes a zero *row* of J'_t: an exact zero that elimination finds as one.

Jacobians come transposed: `JT[t]` is J_{t+1}^T.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

ZERO = -(2**40)
"""The exponent of an exact zero: far below any that occurs, far above overflow of int64."""

# Columns whose sizes differ by less than 2^3 are left alone: most chains, which saves the scaling.
_UNEVEN = 3

# Bits by which the largest entries may differ from 1: 32 such Jacobians multiply within the range.
_MODERATE = 20

# Numbers whose squares stay in cache.
_CACHED = 2**15

# Below, entries may have lost digits.
_TINY = 2.0**-1000


def pow2(exponent: Int[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Return 2^exponent; 0 for the exponent of an exact zero, of either sign."""
    zero = np.abs(exponent) >= -ZERO
    return np.where(zero, 0.0, np.ldexp(1.0, np.where(zero, 0, exponent).astype(np.int32)))


def sizes_of(
    JT: Float[np.ndarray, "time state state"],
) -> tuple[Float[np.ndarray, "time state"], Int[np.ndarray, "time state"]]:
    """Return the sizes of the rows of each Jacobian, and the exponents of its D.

    The size of a row is its norm, or its largest entry where squares leave the range. The exponents
    are those of the columns of the row-equilibrated Jacobian: 0 throughout where they are even,
    `ZERO` for a zero column. A Jacobian that is not finite has a row size that is not.
    """
    m, n = len(JT), JT.shape[1]
    rows, columns, ones = np.empty((m, n)), np.empty((m, n)), np.ones((1, n))
    with np.errstate(all="ignore"):
        together = max(1, _CACHED // (n * n))
        for a in range(0, m, together):
            squares = JT[a : a + together] ** 2
            rows[a : a + together] = np.matmul(ones, squares)[:, 0]  # faster than a sum
            weights = 1 / rows[a : a + together, :, None]
            columns[a : a + together] = np.matmul(squares, weights)[:, :, 0]
        plain = np.all((rows > 1e-240) & (rows < 1e240) & (columns > 1e-200), axis=1)
        rows, exponents = np.sqrt(rows), np.frexp(columns)[1].astype(np.int64) >> 1
    # Each Jacobian for itself: it must have the same D whatever others it is looked at with.
    if not plain.all():
        few = JT[~plain]
        rows[~plain] = np.maximum(few.max(axis=1), -few.min(axis=1))
        weight = np.where(rows[~plain] > 0, np.frexp(rows[~plain])[1], 0)
        with np.errstate(invalid="ignore"):
            reach = np.frexp(few)[1].astype(np.int64) - weight[:, None, :]
            exponents[~plain] = np.where(few != 0, reach, ZERO).max(axis=2)
    return rows, _even_as_zero(exponents)


def _even_as_zero(exponents):
    exponents[exponents.min(axis=1) >= exponents.max(axis=1) - _UNEVEN] = 0
    return exponents


class Balanced(NamedTuple):
    """Jacobians J'_t = D_{t+1} J_t D_t^-1 2^-s_t, transposed.

    - `rows`: the sizes of their rows.
    - `exponent`: the sum of the s_t, which are 0 unless entries are far from 1.
    - `lost`: whether entries left the range of floats by that.
    """

    JT: Float[np.ndarray, "time state state"]
    rows: Float[np.ndarray, "time state"]
    exponent: int
    lost: bool


def balanced(
    JT: Float[np.ndarray, "time state state"],
    rows: Float[np.ndarray, "time state"],
    own: Int[np.ndarray, "time state"],
    following: Int[np.ndarray, "state"],
) -> Balanced:
    """Return the Jacobians balanced, and of a size whose products stay in the range of floats.

    `rows` and `own` are from `sizes_of`, `following` the exponents of the D behind the last.
    """
    if own.any() or following.any():
        after = np.concatenate([own[1:], following[None]])
        JT = JT * pow2(-own)[:, :, None] * pow2(after)[:, None, :]
        rows = sizes_of(JT)[0]
    largest = rows.max(axis=1, initial=0)
    shift = np.where(largest > 0, np.frexp(largest)[1], 0).astype(np.int64)
    if np.abs(shift).max(initial=0) <= _MODERATE:
        return Balanced(JT, rows, 0, False)
    # In two factors: one power of two alone may lie outside the range.
    half = shift // 2
    scaled = JT * pow2(-half)[:, None, None] * pow2(half - shift)[:, None, None]
    lost = bool(np.any((np.abs(scaled) < _TINY) & (JT != 0)))
    return Balanced(scaled, sizes_of(scaled)[0], int(shift.sum()), lost)
