"""The sweep with a few columns: J_t ... J_1 Q_0 = Q_t diag(2^e) W, Q_t of shape (n, p).

As in `_sweep`, with a tall Q_t = Pi L. The columns are pushed through several steps one by one, by
matrix products where Jacobians are stored, by jvp or vjp where they are streamed, and share a
factorization as far as the tolerance allows: no n by n array exists.

What a factorization loses cannot be read off the pivots alone, because the directions that grow
fastest need not be among so few. A random vector, another one each time, goes along: where its
image is g times a pivot, in the row of that pivot, the pivot is off by about g eps, or less, which
is then looked at.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ._lu import tall_lu
from ._streams import NonFiniteStep, Push
from ._sweep import EPS, SAFETY
from ._triangular import absorb

# Steps that may share a factorization.
_MOST_STEPS = 32


class ThinProduct(NamedTuple):
    """J_t ... J_1 Q_0 = basis diag(2^exponent) W.

    - `basis`: well conditioned, not orthonormal.
    - `loss`: per column, the sum of squares of the losses of all factorizations, in units of eps.
    """

    basis: Float[np.ndarray, "state column"]
    exponent: Int[np.ndarray, "column"]
    W: Float[np.ndarray, "column column"]
    loss: Float[np.ndarray, "column"]


class ThinSweep:
    """A thin sweep on its way: `run` takes it to the next stop.

    - `start`: Q_0, p columns.
    - `tolerance`: what the whole sweep may lose, in nats; None factors after every step.
    - `eps`: roundoff of the push.
    """

    def __init__(
        self,
        push: Push,
        start: Float[np.ndarray, "state column"],
        num_steps: int,
        *,
        tolerance: float | None,
        eps: float = EPS,
    ):
        self.push, self.t, self.at_once = push, 0, 1
        share = 0.0 if tolerance is None else (tolerance / (SAFETY * eps)) ** 2
        self.allowed = share / max(num_steps, 1)
        # A product that comes so close to the end of the range may have lost digits beyond it.
        self.smallest = 1e-250 if eps < 1e-12 else 1e-30
        self.random = np.random.default_rng(1)
        p = start.shape[1]
        self.dead, self.loss = np.zeros(p, bool), np.zeros(p)
        self.basis, R, _ = tall_lu(start)
        self.exponent, self.W = absorb(R, np.zeros(p, np.int64))

    @property
    def product(self) -> ThinProduct:
        """The product so far."""
        return ThinProduct(self.basis, self.exponent, self.W, self.loss)

    def run(self, end: int) -> ThinProduct:
        """Sweep to lag `end`; return the product there."""
        while self.t < end:
            steps = min(self.at_once, end - self.t)
            if self._take(steps):
                self.t += steps
            else:
                self.at_once = steps // 2
        return self.product

    def _take(self, steps: int) -> bool:
        """Push through so many steps, unless too much is lost; say whether it was done."""
        probe = self.random.standard_normal((len(self.basis), 1))
        image = self.push(self.t, self.t + steps, np.concatenate([self.basis, probe], axis=1))
        if not np.isfinite(image).all():
            if steps == 1:
                raise NonFiniteStep(self.t + 1)
            return False
        Q, R, permutation = tall_lu(image[:, :-1])
        rows = permutation[: len(R)]
        pivots, sizes = np.abs(np.diagonal(R)), np.abs(image[rows, -1])
        dead = self.dead | ((pivots == 0) & (sizes == 0))
        squares = _squares(sizes, pivots, dead)
        too_much = not np.max(squares, initial=0) <= self.allowed
        if steps > 1 and (too_much or np.any(~dead & (pivots < self.smallest))):
            return False
        if too_much:
            squares = np.minimum(squares, _squares(self._summed(Q, R, rows), pivots, dead))
        elif steps == self.at_once < _MOST_STEPS and np.max(squares**2) < self.allowed / 16:
            self.at_once *= 2
        self.basis, self.dead, self.loss = Q, dead, self.loss + squares * steps
        self.exponent, self.W = absorb(R, self.exponent, self.W)
        return True

    def _summed(self, Q, R, rows):
        """Return how large the numbers were that added up to each pivot of one step.

        First in J Q, which random signs show without |J|: a column that is exactly zero where J is
        large loses nothing there. Then in the elimination.
        """
        signs = self.random.choice([-1.0, 1.0], self.basis.shape)
        terms = np.abs(self.push(self.t, self.t + 1, self.basis * signs)[rows]) + np.abs(R)
        return np.einsum("ji,ij->j", np.abs(Q[rows]), terms)


def _squares(sizes, pivots, dead):
    with np.errstate(all="ignore"):
        return np.where(dead, 0.0, np.maximum(sizes / pivots, 1.0) ** 2)


def amplification(
    ahead: Float[np.ndarray, "state column"], back: Float[np.ndarray, "state column"]
) -> Float[np.ndarray, "column"]:
    """Return by how much errors made at a step have grown at the end, over what carries them.

    From orthonormal bases there of what was pushed forward, and of what was pulled back from the
    end. An error E changes the log of the volume of i columns A by tr((U^T A)^-1 U^T E), where U is
    that volume pulled back: 1 / cos of the largest angle between the two. Of those that hold a
    column the smallest counts, for one among equals has no space of its own.
    """
    M = back.T @ ahead
    cosines = [np.linalg.svd(M[:i, :i], compute_uv=False)[-1] for i in range(1, len(M) + 1)]
    return 1 / np.maximum(np.maximum.accumulate(cosines[::-1])[::-1], EPS)
