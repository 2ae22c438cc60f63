"""Leading singular triplets of an operator too large to form, from products with a few vectors.

The operator A is a product of many Jacobians (or its inverse): A B and A^T B come as graded
`ThinProduct`s whose columns may differ by any power of two. Each pass applies A or A^T to a block
and reads Ritz values and vectors from the small graded factor. Earlier blocks are kept, and the
Ritz values are those of the whole space: a block Krylov method with thick restarts. It converges
with the root of the relative gap and gets along with gaps of a hundredth of an e-fold.

Images of different passes can be combined only if no leading direction is shared between them that
is so much larger that the rounding of its two shares hides the smaller ones. Such directions are
not kept but pushed through the chain again, together with the new block: one pass is graded and
hides nothing.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ._graded import ZERO
from ._graded_svd import graded_svd
from ._thin_product import ThinProduct

# Blocks in the space at most.
_MAX_BLOCKS = 8

# A direction further from the space than this (sine) is not yet found.
_LOST = 0.1

Operator = Callable[[Float[np.ndarray, "rows direction"]], ThinProduct]


class Triplets(NamedTuple):
    """A right_i = exp(logs_i) left_i, descending."""

    logs: Float[np.ndarray, "direction"]
    left: Float[np.ndarray, "rows direction"]
    right: Float[np.ndarray, "columns direction"]

    def between(self, i: int, j: int) -> "Triplets":
        """Return those from i to j."""
        return Triplets(*(values[..., i:j] for values in self))


class Outcome(NamedTuple):
    """The k leading triplets after the last pass, and what is not known of them.

    - `iteration_error`: of each log, for lack of passes; `rounding_error`: by the arithmetic.
    - `vector_error`: sine of the angle of each vector.
    """

    triplets: Triplets
    iteration_error: Float[np.ndarray, "direction"]
    rounding_error: Float[np.ndarray, "direction"]
    vector_error: Float[np.ndarray, "direction"]
    num_passes: int
    converged: bool


def block_iteration(
    forward: Operator,
    adjoint: Operator,
    start: Float[np.ndarray, "columns direction"],
    k: int,
    *,
    tolerance: float,
    max_passes: int,
    eps: float,
) -> Outcome:
    """Return the k leading triplets of A, from passes forward, adjoint, forward, ...

    **Arguments:**

    - `forward`, `adjoint`: B -> A B and B -> A^T B.
    - `start`: orthonormal block of p >= k random vectors.
    - `tolerance`: stop when the error for lack of passes is below half of it, or below rounding.
    - `max_passes`: at least 2.
    - `eps`: unit roundoff of the operator.
    """
    p = start.shape[1]
    rank, before, change, found = p, np.full(p, np.inf), np.full(p, np.inf), False
    for number, step in enumerate(_passes(forward, adjoint, start, k, tolerance, eps), 1):
        # An exact zero is certain whichever pass finds it.
        rank = min(rank, step.rank)
        alive = np.arange(p) < rank
        now = step.triplets._replace(logs=np.where(alive, step.triplets.logs, -np.inf))
        rounding = np.where(alive, step.rounding, 0)
        angle, vectors = _errors(now.logs, step.distance, rounding)
        last, change = change, _change(now.logs, before)
        was_found, found = found, bool(np.all((angle <= np.maximum(tolerance / 2, rounding))[:k]))
        if found and was_found:
            # With the space found, changes that no longer shrink are rounding beyond the estimate.
            rounding = np.maximum(rounding, np.where(change > last / 2, change, 0))
        iteration = np.maximum(angle, change)
        before = now.logs
        usable = bool(np.all(rounding[:k] < 1))
        settled = bool(np.all((iteration <= np.maximum(tolerance / 2, rounding))[:k]))
        # The other direction may fare better: judge after both.
        if (usable and settled) or number == max_passes or not (usable or number == 1):
            break
    first = iteration[:k], rounding[:k], vectors[:k]
    return Outcome(now.between(0, k), *first, number, usable and settled)


class _Pass(NamedTuple):
    """What one pass found: p triplets, how far they lie from the space before, and errors."""

    triplets: Triplets
    distance: Float[np.ndarray, "direction"]
    rounding: Float[np.ndarray, "direction"]
    rank: int


def _passes(forward, adjoint, start, k, tolerance, eps) -> Iterator[_Pass]:
    """Yield the passes: forward on a new block, adjoint on the leading left Ritz vectors, ..."""
    p = start.shape[1]
    target = max(tolerance, 1e4 * eps) / 8
    block, kept, left, noise = start, None, None, np.zeros(p)
    while True:
        image, rounding, rank = _image(forward, block, eps)
        space = image if kept is None else _merged(kept, image)
        found = space.between(0, p)
        distance = np.ones(p) if left is None else _distance(found.left, left)
        yield _Pass(found, distance, rounding + noise, rank)
        left = found.left
        image, rounding, rank = _image(adjoint, left, eps)
        found = Triplets(image.logs, image.right, image.left)
        distance = _distance(found.right, space.right)
        yield _Pass(found, distance, rounding, rank)
        again, noise = _noise(found.logs, rounding * np.maximum(distance, eps), k, target)
        capacity = min(_MAX_BLOCKS * p, len(start)) - p
        kept = space.between(again, again + capacity)
        block = _complement(kept.right, found.right)


def _image(apply, block, eps):
    """Return the triplets of A restricted to the block, their rounding errors, and the rank."""
    p = block.shape[1]
    # Mixed columns are all dominated by the same direction at every step, as with a random start:
    # the triangle stays well conditioned even where the order of growth changes on the way.
    mix = np.linalg.qr(np.random.default_rng(1).standard_normal((p, p)))[0]
    frame, exponent, rows, growth, residual, _ = (np.asarray(x) for x in apply(block @ mix))
    svd = graded_svd(exponent, rows.astype(np.float64) @ mix.T)
    triplets = Triplets(svd.logs, frame.astype(np.float64) @ svd.left, block @ svd.right)
    zero = exponent == ZERO
    # A zero is exact unless a pivot was lost to cancellation, or a solve gave nothing.
    certain = residual == 0 and bool(np.all(np.isfinite(growth[zero])))
    growth = np.maximum.accumulate(growth.astype(np.float64))
    size = np.where(np.isfinite(svd.logs), np.abs(svd.logs), 0)
    rounding = 8 * np.sqrt(p) * (eps * growth + float(residual)) + 4 * eps * size
    if not residual < 0.5:
        rounding = np.full(p, np.inf)
    rank = int(np.sum(~zero)) if certain else p
    return triplets, rounding, rank


def _merged(old: Triplets, new: Triplets) -> Triplets:
    """Return the Ritz triplets of the sum of two spaces, whose right vectors are orthonormal."""
    logs = np.concatenate([old.logs, new.logs])
    order = np.argsort(-logs, kind="stable")
    left = np.concatenate([old.left, new.left], axis=1)[:, order]
    right = np.concatenate([old.right, new.right], axis=1)[:, order]
    frame, R = np.linalg.qr(left)
    alive = np.isfinite(logs[order])
    bits = np.where(alive, logs[order], 0) / np.log(2)
    exponent = np.where(alive, np.floor(bits), ZERO).astype(np.int64)
    # A matrix with graded columns is one with graded rows, transposed.
    svd = graded_svd(exponent, (R * np.exp2(bits - np.floor(bits))).T)
    return Triplets(svd.logs, frame @ svd.right, _orthonormal(right @ svd.left))


def _orthonormal(vectors):
    """Return columns that are orthonormal but for rounding made so again, each with its sign."""
    Q, R = np.linalg.qr(vectors)
    return Q * np.where(np.diagonal(R) < 0, -1.0, 1.0)


def _noise(logs, shares, k: int, target: float):
    """Return how many leading directions to push again, and the noise in each value otherwise.

    Direction j is shared by the images of two passes if it is kept, by `shares_j` of its size times
    the rounding error. Where the shares cancel this noise stays in all smaller values.
    """
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        sizes = logs + np.log(shares)
        for again in range(k + 1):
            kept = np.where(np.arange(len(logs)) < again, -np.inf, sizes)
            ratio = np.maximum.accumulate(kept) - logs
            noise = np.where(np.isfinite(logs), np.exp(np.minimum(ratio, 300)), 0)
            if noise[k - 1] <= target:
                break
    return again, noise


def _complement(basis, vectors):
    """Return an orthonormal block orthogonal to `basis` that completes it to span `vectors`."""
    rest = vectors - basis @ (basis.T @ vectors)
    norms = np.linalg.norm(rest, axis=0)
    filler = np.random.default_rng(2).standard_normal(rest.shape)
    # What has converged leaves only rounding errors: take a random direction instead.
    rest = np.where(norms > 1e-12, rest / np.where(norms > 0, norms, 1), filler)
    for _ in range(3):
        rest = np.linalg.qr(rest - basis @ (basis.T @ rest))[0]
    return rest


def _distance(vectors, basis):
    """Return the sine of the angle between each vector and the span of `basis`."""
    return np.minimum(np.linalg.norm(vectors - basis @ (basis.T @ vectors), axis=0), 1)


def _change(logs, before):
    """Return twice the change of each log since the pass before, 0 for a zero.

    It compares a forward pass with an adjoint one, so it sees rounding too; twice, because the
    change itself is as large as the error where one of the two passes is the better one.
    """
    alive = np.isfinite(logs)
    return np.where(alive, 2 * np.abs(np.where(alive, logs, 0) - before), 0)


def _errors(logs, distance, rounding):
    """Return the errors of the logs and of the vectors from what the last half-iteration moved.

    A space at angle phi from the i leading singular vectors gives sigma_i up to the factor
    cos(phi). Half an iteration moves it by S = gap phi, so that the error was S^2 / (2 gap), and is
    less by now; a factor 4 is for a gap taken from Ritz values. With no gap, S itself bounds the
    distance to some singular value.
    """
    alive = np.isfinite(logs)
    distance = np.where(alive, distance, 0)
    total = np.sqrt(np.cumsum(distance**2))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        gap = _gap_to(logs, _first_unknown(total))
        angle = np.where(total > _LOST, np.inf, np.fmin(total, 2 * total**2 / gap))
        above = np.append(np.inf, np.expm1(2 * (logs[:-1] - logs[1:])))
        nearest = np.minimum(_gap_to(logs, np.arange(len(logs)) + 1), above)
        vectors = np.fmin((distance + rounding) / nearest, 1)
    return np.where(alive, angle, 0), np.where(alive, vectors, 1)


def _first_unknown(total):
    """Return for each i the index j > i of the first direction not yet found, else the last."""
    lost, last = np.flatnonzero(total > _LOST), len(total) - 1
    return np.array([min([*lost[lost > i], last]) for i in range(len(total))])


def _gap_to(logs, index):
    """Return 1 - (sigma_j / sigma_i)^2 for j = index_i; 1 beyond the last."""
    return -np.expm1(2 * (np.append(logs, -np.inf)[index] - logs))
