"""Exact singular values for the self-test, in integers of any size and nothing else.

Floating-point numbers are integers times powers of two, so that a product of matrices of them and
the characteristic polynomial of its Gram matrix can be computed without any rounding. That
polynomial has real roots only, the squared singular values, and for such polynomials Descartes'
rule of signs is no bound but the exact number of positive roots. Counting the roots above
e^(2 (log sigma +- delta)) therefore proves that each log singular value is within delta of the one
claimed, multiple and clustered ones included, with no other algorithm to trust.
"""

import decimal

import numpy as np
from numpy.typing import ArrayLike

# Errors to prove, smallest first. 1e-14 is below the spacing of floats near 100.
_DELTAS = tuple(10.0**-k for k in range(14, -1, -1))

_DIGITS = 60
_GUARD_BITS = 200  # of the integers that thresholds are rounded to


def proven_error(jacobians: np.ndarray, log_singular_values: ArrayLike) -> float:
    """Return the smallest power of ten that provably bounds the error of each log singular value.

    inf when the number of exact zeros (-inf) is wrong or some error is beyond 1 nat.
    """
    product, exponent = _integer_product(jacobians)
    coefficients = _characteristic_polynomial(product.T @ product)
    rank = max(k for k, c in enumerate(coefficients) if c != 0)
    logs = np.sort(np.asarray(log_singular_values, np.float64))[::-1]
    if np.isnan(logs).any() or int(np.sum(~np.isneginf(logs))) != rank:
        return float("inf")
    if rank == 0:
        return 0.0
    logs = logs[:rank]
    # Roots are sigma^2 4^-exponent; times 2^shift, the smallest is an integer of many digits.
    shift = max(0, _GUARD_BITS + 2 * exponent - int(2 * logs[-1] / np.log(2)))
    scaled = [c << (shift * k) for k, c in enumerate(coefficients[: rank + 1])]
    bits = shift - 2 * exponent
    for delta in _DELTAS:
        if all(_is_within(scaled, bits, i, log, delta) for i, log in enumerate(logs)):
            return delta
    return float("inf")


def _is_within(coefficients, bits: int, i: int, log: float, delta: float) -> bool:
    """Return whether the root at position i (from 0, descending) is e^(2 (log +- delta)) 2^bits."""
    below, above = (_threshold(log, side * delta, bits) for side in (-1, 1))
    return _roots_above(coefficients, above) <= i < _roots_above(coefficients, below)


def _threshold(log: float, delta: float, bits: int) -> int:
    with decimal.localcontext() as context:
        context.prec = _DIGITS
        size = 2 * (decimal.Decimal(float(log)) + decimal.Decimal(delta))
        return int((size + bits * decimal.Decimal(2).ln()).exp())


def _integer_product(jacobians: np.ndarray) -> tuple[np.ndarray, int]:
    """Return integers N and e with J_T ... J_1 = N 2^e."""
    n = jacobians.shape[-1]
    product, exponent = np.eye(n, dtype=int).astype(object), 0
    for J in np.asarray(jacobians, np.float64):
        mantissa, powers = np.frexp(J)
        smallest = int(np.min(powers, where=J != 0, initial=2000))
        smallest = 0 if smallest == 2000 else smallest
        whole = [
            int(m * 2.0**53) << max(0, int(e) - smallest)
            for m, e in zip(mantissa.ravel(), powers.ravel(), strict=True)
        ]
        product = np.array(whole, dtype=object).reshape(n, n) @ product
        exponent += smallest - 53
    return product, exponent


def _characteristic_polynomial(G: np.ndarray) -> list[int]:
    """Return 1, c_1, ..., c_n of det(x - G) = x^n + c_1 x^(n-1) + ... by Faddeev and LeVerrier."""
    n = len(G)
    one = np.eye(n, dtype=int).astype(object)
    M, coefficients = 0 * one, [1]
    for k in range(1, n + 1):
        M = G @ (M + coefficients[-1] * one)
        coefficients.append(-int(np.trace(M)) // k)  # the division leaves no remainder
    return coefficients


def _roots_above(coefficients: list[int], x: int) -> int:
    """Return how many roots of a polynomial with real roots only exceed x, with multiplicity."""
    # Horner's scheme, repeated: the coefficients of p(x + y) in y, highest first.
    shifted = list(coefficients)
    for last in range(len(shifted) - 1, 0, -1):
        for k in range(1, last + 1):
            shifted[k] += x * shifted[k - 1]
    signs = [c > 0 for c in shifted if c != 0]
    return sum(a != b for a, b in zip(signs[:-1], signs[1:], strict=True))
