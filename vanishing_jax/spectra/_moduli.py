"""Products of many numbers, each with its size apart as an integer, and their logs.

Adding up T logs rounds at the size of the sum; multiplying mantissas in [1/2, 1) and adding integer
exponents does not: the relative error of the product is T roundings, whatever its size.
"""

import itertools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

# So many mantissas in [1/2, 1) multiply without leaving the normal range of float64.
_UNSCALED = 512

_EPS = float(np.finfo(np.float64).eps)


class Moduli(NamedTuple):
    """Numbers mantissa * 2^exponent >= 0, and how many roundings of half an eps each took."""

    mantissa: Float[np.ndarray, "*shape"]
    exponent: Int[np.ndarray, "*shape"]
    roundings: int = 0


def ones(shape: tuple[int, ...]) -> Moduli:
    """Return ones, the empty products."""
    return Moduli(np.full(shape, 0.5), np.ones(shape, np.int64))


def moduli_of(blocks: Float[np.ndarray, "*shape size size"]) -> Moduli:
    """Return the one singular value of each block: of size 1, or a scaled rotation of size 2."""
    if blocks.shape[-1] == 1:
        mantissa, exponent = np.frexp(np.abs(blocks[..., 0, 0]))
        return Moduli(mantissa, exponent.astype(np.int64), 1)
    a, b = blocks[..., 0, 0], blocks[..., 0, 1]
    _, shift = np.frexp(np.maximum(np.abs(a), np.abs(b)))
    mantissa, exponent = np.frexp(np.hypot(np.ldexp(a, -shift), np.ldexp(b, -shift)))
    return Moduli(mantissa, exponent.astype(np.int64) + shift, 3)  # hypot: below one eps


def are_scaled_rotations(blocks: Float[np.ndarray, "*shape 2 2"]) -> np.ndarray:
    """Say of each block whether it is exactly a scaled rotation, [[a, -b], [b, a]].

    Such a block multiplies by the complex number a + i b; so do products of them, and both singular
    values are the modulus.
    """
    return (blocks[..., 0, 0] == blocks[..., 1, 1]) & (blocks[..., 0, 1] == -blocks[..., 1, 0])


def multiply(
    product: Moduli, factors: Moduli, records: Int[np.ndarray, "record"]
) -> tuple[Moduli, list[Moduli]]:
    """Return the product times all factors, and what it was after each number of them in `records`.

    Time is the factors' first axis; `records` ascends from 0.
    """
    steps, found = len(factors.mantissa), {0: product}
    for a, b in itertools.pairwise(sorted({*records.tolist(), *range(0, steps, _UNSCALED), steps})):
        mantissa, shift = np.frexp(product.mantissa * factors.mantissa[a:b].prod(axis=0))
        exponent = product.exponent + factors.exponent[a:b].sum(axis=0) + shift
        roundings = product.roundings + (b - a) * factors.roundings
        product = found[b] = Moduli(mantissa, exponent, roundings)
    return product, [found[record] for record in records.tolist()]


def logs_of(product: Moduli) -> Float[np.ndarray, "*shape"]:
    """Return natural logs; -inf for zero only."""
    zero = product.mantissa == 0
    logs = np.log(np.where(zero, 1, product.mantissa)) + product.exponent * np.log(2)
    return np.where(zero, -np.inf, logs)


def error_of(product: Moduli) -> Float[np.ndarray, "*shape"]:
    """Return the bound on the absolute error of each log; 0 for a zero, which is exact."""
    size = np.abs(product.exponent) * np.log(2) + 1
    bound = product.roundings * _EPS + 2 * _EPS * size
    return np.where(product.mantissa == 0, 0.0, bound)
