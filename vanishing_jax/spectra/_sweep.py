"""The sweep along a chain: J_t ... J_1 Q_0 = Q_t diag(2^e) W, on the host by LAPACK.

The product is never formed. Q_t = Pi L is the basis, a permuted unit lower triangular matrix,
packed as dgetrf leaves it; W is upper triangular with integer exponents e for its rows: the product
of the triangular factors so far. One step is

    A = J_t Q_{t-1},   A = Pi L R,   (e, W) <- R diag(2^e) W,

LU with partial pivoting instead of QR: it costs a third, and it is indifferent to the size of rows,
so that the tiny rows of saturated units keep every digit. The random orthogonal start Q_0 sorts the
columns by growth within a few steps, whatever order the chain has them in.

What keeps it short and fast:

* Balancing (`_balance`): columns of any size, before the sweep, so that there is no second kind of
  step.
* Chunks. The inner loop is four calls a step. Pivot growth, exact zeros and the range of floats are
  looked at for 8 to 256 steps at once; triangular factors are multiplied as plain floats for as
  long as the range holds, and integer exponents appear only between such pieces.
* Levels. With a tolerance 2, 4, ... 32 neighboring Jacobians are multiplied first, and share a
  factorization. What that loses is measured by the pivots: a factorization whose pivots, each in
  units of its row of the last Jacobian, spread by a factor g is off by about g eps. The steps that
  follow amplify it, by as much as they have amplified what was lost before (`_amplification`). A
  chunk that lost more than its share of the tolerance is swept again one level lower.
"""

import functools as ft
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ._amplification import Piece, amplified_loss, merged, piece_of
from ._balance import ZERO, Balanced, balanced, pow2, sizes_of
from ._lu import factor, factored, unpacked
from ._streams import Feed, NonFiniteStep
from ._triangular import absorb, products_of

EPS = 2.0**-53

# Bits by which a product of triangular factors may spread to either side.
_RANGE = 900

# Steps in a chunk: in between by what stays in cache.
_SHORTEST_CHUNK, _LONGEST_CHUNK = 16, 256

# At most 2^5 Jacobians share a factorization: more would gain little, and risk more.
_HIGHEST = 5

# Factorizations whose triangular factors are one piece of the history at first: few, for on short
# chains what amplifies within a piece counts; more for large ones, where a piece costs as much as a
# step. Beyond so many pieces neighbors are merged, and later ones are longer.
_PIECE, _PIECE_OF_LARGE, _LARGE, _PIECES = 4, 8, 48, 32

# Steps at the end, at least, over which amplification is watched where W is not kept.
_WATCHED = 64

SAFETY = 8.0
"""Standard deviations of an error, eps sqrt(sum of squares of losses), that count as its bound."""

# Share of the tolerance that sharing factorizations may use up; by how much losses are taken to be
# amplified before that is known, and the steps after which it is looked at first, then after four
# times as many each time.
_SHARE, _UNKNOWN, _FIRST_LOOK, _LATER_LOOKS = 1 / 2, 30.0, 32, 4

# What `Sweep.state` holds.
_STATE = "t level loss shared amplification look_at piece_length".split()
_STATE += "schedule exponent W dead lu permutation".split()
_PIECE_STATE = tuple(f"pieces.{name}" for name in Piece._fields)


class Product(NamedTuple):
    """J_t ... J_1 Q_0 = Q diag(2^exponent) W.

    - `lu`, `permutation`: L in the lower triangle of `lu`; row `permutation[i]` of Q is row i of L.
    - `exponent`: of the rows of W, `ZERO` for a row that is exactly zero.
    - `W`: upper triangular, rows in [1, 2); its diagonal alone where no more was asked for.
    - `loss`: sum of squares of the largest loss of each factorization, in units of eps.
    """

    lu: Float[np.ndarray, "state state"]
    permutation: Int[np.ndarray, "state"]
    exponent: Int[np.ndarray, "state"]
    W: Float[np.ndarray, "..."]
    loss: float

    @property
    def basis(self) -> Float[np.ndarray, "state state"]:
        """Q, unpacked."""
        return unpacked(self.lu, self.permutation)


class Factor(NamedTuple):
    """One factorization, kept for the first-order error: transposed Jacobians, lu, permutation."""

    jacobians: Float[np.ndarray, "step state state"]
    lu: Float[np.ndarray, "state state"]
    permutation: Int[np.ndarray, "state"]


@ft.lru_cache(maxsize=4)
def start_basis(n: int) -> Float[np.ndarray, "state state"]:
    """Return the random orthogonal matrix Q_0 with which sweeps start, always the same."""
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((n, n)))[0]
    basis.flags.writeable = False
    return basis


class Sweep:
    """A sweep on its way: `run` takes it to the next stop; what it has found is in `product`.

    - `feed`, `num_steps`: the Jacobians, and how many there are.
    - `tolerance`: what the whole sweep may lose, in nats; None factors every Jacobian on its own.
    - `triangular`: whether W is kept whole, as singular values need it, or its diagonal only; then
      amplification is watched only where factorizations are shared, at first and over the last
      quarter.
    - `start`: Q_0.
    - `schedule`: how an earlier sweep went, to be followed whatever is lost: its `schedule`, chunk
      by chunk the number of Jacobians and the level.
    """

    def __init__(
        self,
        feed: Feed,
        n: int,
        num_steps: int,
        *,
        tolerance: float | None = None,
        triangular: bool = True,
        start: Float[np.ndarray, "state state"] | None = None,
        schedule: Int[np.ndarray, "chunk 2"] | None = None,
    ):
        self.feed, self.n, self.num_steps = feed, n, num_steps
        self.triangular = triangular
        unwatched = num_steps - max(_WATCHED, num_steps // 4)
        if schedule is not None or not (triangular or tolerance):
            unwatched = num_steps
        self._watched_from = 0 if triangular and schedule is None else unwatched
        self.chunk = int(np.clip(2**19 // n**2, _SHORTEST_CHUNK, _LONGEST_CHUNK))
        # Losses add up like independent errors; each step has its share.
        share = 0.0 if tolerance is None else (_SHARE * tolerance / (SAFETY * EPS)) ** 2
        self._allowed = share / max(num_steps, 1) if schedule is None else np.inf
        self.amplification = _UNKNOWN
        self.look_at = _FIRST_LOOK if 0 < self._allowed < np.inf else 0
        self._followed = None if schedule is None else np.asarray(schedule).tolist()
        self.schedule: list[tuple[int, int]] = []
        self.kept: list[Factor] | None = None
        self._stack = np.empty((0, n, n))
        self.t, self.level, self.loss, self.shared = 0, 0, 0.0, 0.0
        self.exponent = np.zeros(n, np.int64)
        self.W = np.eye(n) if triangular else np.ones(n)
        self.pieces: list[Piece] = []
        self.piece_length = _PIECE if n < _LARGE else _PIECE_OF_LARGE
        self.start = Q = start_basis(n) if start is None else start
        if num_steps:
            Q = pow2(self._sizes(self.feed(0, 1))[1][0])[:, None] * Q
        self.lu, self.permutation = factored(Q)
        self.dead = ~np.any(Q, axis=1)[self.permutation]
        if triangular:
            self.exponent, self.W = absorb(np.triu(self.lu), self.exponent, self.W)
        else:
            self._absorb_diagonal(np.abs(np.diagonal(self.lu))[None])

    @property
    def product(self) -> Product:
        """The product so far."""
        return Product(self.lu, self.permutation, self.exponent, self.W, self.loss)

    @property
    def estimated_error(self) -> float:
        """What the losses have become by now, in nats, of the value hit hardest.

        NaN where nobody has looked: no factorization was shared, and W is not kept.
        """
        if not self.triangular and not self.pieces:
            return np.nan
        return SAFETY * EPS * float(np.sqrt(self.loss)) * self._amplification_seen()

    def _amplification_seen(self) -> float:
        """Return by how much losses have been amplified, as far as they were watched."""
        worst = sum(piece.worst for piece in self.pieces)
        if not np.isfinite(worst):
            return np.inf
        rank = int(np.sum(self.exponent != ZERO))
        return amplified_loss(self.pieces, rank) / np.sqrt(worst) if worst else 1.0

    def copy(self) -> "Sweep":
        """Return a sweep that goes on from here on its own, and keeps nothing."""
        other = object.__new__(Sweep)
        other.__dict__.update(self.__dict__, _stack=self._stack[:0], kept=None)
        other.pieces, other.schedule = list(self.pieces), list(self.schedule)
        return other

    def state(self) -> dict[str, np.ndarray]:
        """Return where the sweep is, as arrays: `restore` goes on from there to the same bits."""
        pieces = [np.array(x) for x in zip(*self.pieces, strict=True)] or [np.zeros(0)] * 3
        found = {name: np.asarray(getattr(self, name)) for name in _STATE}
        return found | dict(zip(_PIECE_STATE, pieces, strict=True))

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go on from a `state` of a sweep over the same Jacobians."""
        for name in _STATE:
            value = state[name]
            setattr(self, name, value if value.ndim else value.item())
        self.lu, self.schedule = (
            np.asfortranarray(self.lu),
            [(int(m), int(k)) for m, k in self.schedule],
        )
        self.pieces = [Piece(*x) for x in zip(*(state[k] for k in _PIECE_STATE), strict=True)]

    # --- from stop to stop ------------------------------------------------------------------------

    def run(
        self,
        end: int,
        *,
        exact_end: bool = True,
        after_chunk: Callable[["Sweep"], Any] = lambda sweep: None,
    ) -> Product:
        """Sweep to lag `end`; return the product there.

        Its last rows are those of the last Jacobian as it is, unless `exact_end` is False: then
        they may be scaled for what comes. `after_chunk(self)` is called after every chunk but the
        last.
        """
        if end == 0 and exact_end:  # Q_0 itself, not as the first Jacobian wants it
            none = Sweep(self.feed, self.n, 0, triangular=self.triangular, start=self.start)
            return none.product
        while self.t < end:
            a, b = self.t, min(self.t + self._next_chunk(), end)
            JT, rows, own, following = self._next(a, b)
            if b == end and exact_end and following.any():
                # The rows of the last Jacobian as they are, for the record; scaled, to go on.
                self._advance(balanced(JT[:-1], rows[:-1], own[:-1], own[-1]))
                there = self.copy()
                none = np.zeros(self.n, np.int64)
                there._advance(balanced(JT[-1:], rows[-1:], own[-1:], none))
                self._advance(balanced(JT[-1:], rows[-1:], own[-1:], following))
                self.t = b
                return there.product
            self._advance(balanced(JT, rows, own, following))
            self.t = b
            self._look()
            if b < end:
                after_chunk(self)
        return self.product

    def _look(self):
        """Take losses to be amplified from now on as they have been."""
        if not 0 < self.look_at <= self.t < self.num_steps:
            return
        self.look_at *= _LATER_LOOKS
        if not self.pieces:
            return
        self.amplification = max(self._amplification_seen(), 1.0)
        if not self.triangular:
            self.look_at = 0
            if self.t < self._watched_from:
                self.pieces = []

    def _next_chunk(self):
        if self._followed is None:  # short ones at first: what they try may not do
            return self.chunk if self.t >= _FIRST_LOOK else _SHORTEST_CHUNK
        length, self.level = self._followed[len(self.schedule)]
        return length

    def _next(self, a, b):
        """Return the Jacobians a + 1 .. b, their rows, the exponents of their D and of the next."""
        JT = self.feed(a, b)
        rows, own = self._sizes(JT)
        following = np.zeros(self.n, np.int64)
        if b < self.num_steps:
            following = self._sizes(self.feed(b, b + 1))[1][0]
        return JT, rows, own, following

    def _sizes(self, JT):
        rows, exponents = sizes_of(JT)
        if not np.isfinite(rows).all():
            bad = ~np.isfinite(rows).all(axis=1)
            raise NonFiniteStep(self.t + int(bad.argmax()) + 1)
        return rows, exponents

    def _advance(self, block: Balanced):
        """Multiply by some Jacobians, of as high a level as will do."""
        levels = [block.JT]
        while len(block.JT) and not self._take(levels, block):
            self.level -= 1

    # --- one chunk --------------------------------------------------------------------------------

    def _take(self, levels, block: Balanced) -> bool:
        """Sweep over all of levels[0], unless too much is lost; say whether it was done."""
        m = len(levels[0])
        level = min(self.level, m.bit_length() - 1)
        while len(levels) <= level:  # the last one of an odd number stays at its level
            below = levels[-1][: len(levels[-1]) // 2 * 2]
            levels.append(np.matmul(below[::2], below[1::2]))
        begins, matrices = _schedule(levels, level)
        ends = [*begins[1:], m]
        if len(self._stack) < len(begins) or self.kept is not None:
            self._stack = np.empty((max(len(begins), self.chunk), self.n, self.n))
        factors, permutations = factor(matrices, self.lu, self.permutation, self._stack)
        pivots = np.abs(np.einsum("tii->ti", factors))
        last = np.take_along_axis(block.rows[np.array(ends) - 1], permutations, axis=1)
        dead, losses = _losses(self.dead, last, pivots)
        worst = losses.max(axis=1)
        squares, fourth = float(np.sum(worst)), float(np.sum(worst**2))
        # What earlier steps left of their shares may be used.
        allowed = self._allowed / self.amplification**2
        if level > 0 and not self.shared + squares <= allowed * (self.t + m):
            return False
        # Two such steps in one lose about the square: is there room for that?
        self.schedule.append((m, level))
        self.shared += squares if level else 0.0
        room = self._followed is None and fourth < allowed * m / 16
        if level == self.level < _HIGHEST and m >= 4 << level and room:
            self.level += 1
        self.lu, self.permutation = factors[-1].T.copy(order="F"), permutations[-1]
        self.dead, self.loss = dead, self.loss + (np.inf if block.lost else squares)
        self._absorb(factors, pivots, losses, last)
        self.exponent = np.where(self.exponent == ZERO, ZERO, self.exponent + block.exponent)
        if self.kept is not None:
            parts = [levels[0][a:b] for a, b in zip(begins, ends, strict=True)]
            lus = [f.T for f in factors]
            self.kept += map(Factor, parts, lus, permutations)
        return True

    def _absorb(self, factors, pivots, losses, rows):
        """Multiply (e, W) by the triangular factors, in parts that the range of floats holds."""
        watched = self.t < self.look_at or self.t >= self._watched_from
        if not self.triangular:
            self._absorb_diagonal(pivots)
            # With nothing shared there is nothing to decide.
            if not (watched and self.shared):
                return
        bits = np.log2(np.where(pivots > 0, pivots, 1)).cumsum(axis=0)
        a, before, count = 0, 0, len(pivots)
        while a < count:
            beyond = np.abs(bits[a + 1 :] - before).max(axis=1, initial=0) > _RANGE
            b = a + 1 + int(beyond.argmax()) if beyond.any() else count
            parts, R = products_of(factors[a:b], self.piece_length)
            if self.triangular:
                self.exponent, self.W = absorb(R, self.exponent, self.W)
            if watched:
                begins = range(a, b, self.piece_length)
                for part, i, j in zip(parts, begins, [*begins[1:], b], strict=True):
                    lu = factors[j - 1].T
                    self.pieces.append(piece_of(part, losses[i:j], rows[i:j], lu))
            a, before = b, bits[b - 1]
        if len(self.pieces) > _PIECES:
            self.pieces = merged(self.pieces)
            self.piece_length = min(2 * self.piece_length, _LONGEST_CHUNK)

    def _absorb_diagonal(self, pivots):
        mantissa, shift = np.frexp(pivots)  # at most a chunk of them: their product stays in range
        value, more = np.frexp(self.W * mantissa.prod(axis=0))
        zero = (value == 0) | (self.exponent == ZERO)
        self.exponent = np.where(zero, ZERO, self.exponent + shift.sum(axis=0) + more)
        self.W = np.where(zero, 0.0, value)


def _schedule(levels, level):
    """Return where each product of up to 2^level Jacobians begins, and the products."""
    m, whole = len(levels[0]), len(levels[0]) >> level
    begins, matrices = list(range(0, whole << level, 1 << level)), list(levels[level][:whole])
    t = whole << level
    for k in reversed(range(level)):  # the rest, in products as large as fit
        if t + (1 << k) <= m:
            begins.append(t)
            matrices.append(levels[k][t >> k])
            t += 1 << k
    return begins, matrices


def _losses(dead, rows, pivots):
    """Return which rows are exactly zero by now, and the squares of what each pivot has lost.

    A pivot is worth its size relative to its row of the last Jacobian: what was lost of it is how
    much larger the largest of these sizes is.
    """
    all_dead = np.vstack([dead, (rows == 0) & (pivots == 0)])
    all_dead = np.logical_or.accumulate(all_dead, axis=0)[1:]
    with np.errstate(all="ignore"):
        sizes = pivots / rows
        largest = np.max(np.where(all_dead, 0, sizes), axis=1, keepdims=True)
        return all_dead[-1], np.where(all_dead, 0.0, (largest / sizes) ** 2)
