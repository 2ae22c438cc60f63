"""By how much errors made on the way were amplified until the end: the condition of a walk.

To first order an error E of the product J_{t+1} Q_t changes log sigma_i of the whole product by
b^T E x, where x = diag(2^e) W v_i is what became of the right singular vector v_i until t, in the
frame Q_t, and b is the covector that takes J_{t+1} Q_t x to 1 and all other singular directions to
0. LU commits errors of |E| <= c eps |L||U|. Those of single entries are independent, so

    s_i(t) = (sum_jkl (b_j L_jk U_kl x_l)^2)^(1/2)

is how many eps they cost; adding sizes instead of squares overstates it about n times. It is large
where the directions that grow forward and those that grow backward in time are nearly orthogonal to
each other: always for repeated defective matrices, at times for networks. The growth that the walk
measures at every step knows nothing of it, so s_i is computed at a few cuts, as a ratio to the
growth there.

The triangle W is rounded too, which costs w_i(t) = |v_i^T W^-1| eps: large where the random start
happens to be nearly orthogonal to a direction.

??? cite "Reference"
    Stewart, G. W. (1997). On graded QR decompositions of products of matrices. ETNA 5, 29-49.
"""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float
from scipy.linalg import get_lapack_funcs

from ._graded import ZERO
from ._history import PROBES, History

(_trtrs,) = get_lapack_funcs(("trtrs",), dtype=np.float64)

# The share of the worst direction that each one gets: a few steps say little about a single one.
_SHARE = 0.25


class Amplification(NamedTuple):
    """Root mean squares over the probed steps, for each log singular value, descending.

    - `errors`: s_i over the growth of that step. `single`: s_i. `triangle`: w_i.
    """

    errors: Float[np.ndarray, "*batch state"]
    single: Float[np.ndarray, "*batch state"]
    triangle: Float[np.ndarray, "*batch state"]


def cut_lags(length: int):
    """Return where to cut a walk of `length` steps, ascending; the last is the end.

    Before and after each of a few probed steps, the first one among them.
    """
    lags = np.arange(PROBES) * length // PROBES
    # Odd and even lags in turn: errors may grow and shrink again in step with a period of two.
    lags += (lags + np.arange(PROBES)) % 2
    lags[0] = 0
    cuts = np.unique(np.concatenate([lags, lags + 1, [length]]))
    return cuts[(cuts > 0) & (cuts <= length)]


def amplification(history: History) -> Amplification:
    """Return the amplification of a walk that was cut by `cut_lags`."""
    if np.ndim(history.count) == 1:  # a batch
        batch = range(len(history.count))
        parts = [amplification(jax.tree.map(lambda x, i=i: x[i], history)) for i in batch]
        return Amplification(*(np.stack(column) for column in zip(*parts, strict=True)))
    count, n = int(history.count), history.frame.shape[-1]
    lags = np.append(0, history.lag[:count])
    probed = [j for j in range(count) if lags[j + 1] == lags[j] + 1]
    with np.errstate(all="ignore"):
        growth = np.diff(np.max(history.growth[:count], axis=-1), prepend=0)
        ends, before = _suffixes(history, count), _prefixes(history, count)
        directions = _Directions(*ends[0])
        errors, triangle = np.ones((len(probed), n)), np.ones((len(probed), n))
        for row, j in enumerate(probed):
            triangle[row] = directions.through(before[j + 1])
            errors[row] = _cost(history, j, directions, ends)
        ratio = errors / np.sqrt(growth[probed])[:, None]
    live = directions.live[directions.order]
    return Amplification(*(_mean(values, live) for values in (ratio, errors, triangle)))


def _mean(values, live):
    mean = np.sqrt(np.mean(np.square(values), axis=0))
    mean = np.where(live, np.where(np.isnan(mean), np.inf, mean), 1.0)
    return np.maximum(mean, _SHARE * np.max(mean, initial=0.0))


def _cost(history, j, directions, ends):
    """Return s_i for the step between the cuts j and j + 1."""
    exponent, W, frame = history.exponent[j], history.triangle[j], history.frame[j].T
    x, _, _ = directions.at(ends[j], x_only=True)
    later, y, place = directions.at(ends[j + 1])
    # x in units of `later`: R x = later.
    unit = ends[j + 1][0][place].astype(np.int64) - ends[j][0][place]
    shift = exponent[:, None] + unit
    b = np.linalg.solve(frame.T, y.T).T
    cost = _root_sum_of_squares(b, frame, W, x, shift)
    exact_before = history.exact_steps[j - 1] if j else 0
    if history.exact_steps[j] > exact_before:
        none = np.zeros_like(shift)
        identity = np.eye(len(y))
        cost = np.hypot(
            _root_sum_of_squares(y, identity, W, x, shift),
            _root_sum_of_squares(b, frame, identity, later, none),
        )
    return cost


def _root_sum_of_squares(b, left, right, x, shift):
    """Return, for each i, the root of the sum of (b_ij left_jk right_kl x_li 2^shift_ki)^2.

    Rounding errors of single entries are independent. Sizes are put aside: squares would leave the
    range of floats.
    """
    size_b, size_x = np.max(np.abs(b), axis=1), np.max(np.abs(x), axis=0)
    size = np.max(shift, axis=0)
    scale = np.ldexp(1.0, np.clip(2 * (shift - size), -1000, 0))
    met = (np.square(right) @ np.square(x / size_x)) * scale
    total = np.einsum("ij,ji->i", np.square(b / size_b[:, None]) @ np.square(left), met)
    return np.ldexp(np.sqrt(total) * size_b * size_x, np.clip(size, -2000, 2000))


class _Directions:
    """The right singular directions of diag(2^e) W, up to the gaps between the rows' sizes."""

    def __init__(self, exponent, triangle):
        self.live = exponent != ZERO
        self.exponent = exponent
        self.order = np.argsort(-exponent.astype(np.int64), kind="stable")
        self.vectors = np.linalg.qr(triangle[self.order].T)[0]
        self.coupling = triangle @ self.vectors
        self.coupling[self.order] = np.tril(self.coupling[self.order])

    def at(self, end, *, x_only=False):
        """Return x (columns), y (rows, y x = 1) where `end` begins, and each x's place there.

        x is in units of 2^f at its place, f = the exponents of the whole less those of `end`.
        """
        exponent, W = end
        live = self.live & (exponent != ZERO)
        f = np.where(live, self.exponent - exponent, 0)
        shift = np.clip(f[:, None] - f[self.order], -200, 300)  # no subnormal numbers: slow
        both = live[:, None] & live[self.order]
        n = len(f)
        B = np.where(both, np.ldexp(self.coupling, shift), np.eye(n)[:, self.order])
        W = np.where(live[:, None], W, np.eye(n))
        x = _solve(W, B)
        if x_only:
            return x, None, self.order
        y = _solve(B[self.order], W[self.order], lower=True)
        return x, y, self.order

    def through(self, before):
        """Return |v_i^T W^-1|."""
        exponent, W = before
        W = np.where((exponent != ZERO)[:, None], W, np.eye(len(W)))
        return np.linalg.norm(_solve(W, self.vectors, transposed=True), axis=0)


def _suffixes(history, count):
    """Return (e, W) from the start and from each cut to the end, in an orthogonal last frame."""
    n = history.frame.shape[-1]
    R = np.asarray(np.linalg.qr(history.frame[count - 1].T, mode="r"))
    product = (np.zeros(n, np.int64), R)
    found = [product]
    for j in range(count - 1, -1, -1):
        product = _compose(*product, history.exponent[j], history.triangle[j])
        found.append(product)
    return found[::-1]


def _prefixes(history, count):
    n = history.frame.shape[-1]
    product = (np.zeros(n, np.int64), np.eye(n))
    found = [product]
    for j in range(count):
        product = _compose(history.exponent[j], history.triangle[j], *product)
        found.append(product)
    return found


def _compose(exponent, triangle, earlier_exponent, earlier_triangle):
    """Return `_history.compose` in NumPy."""
    alive = (triangle != 0) & (earlier_exponent != ZERO)
    size = np.frexp(triangle)[1] + earlier_exponent
    a = np.max(np.where(alive, size, ZERO), axis=1)
    shift = np.where(alive, earlier_exponent - a[:, None], 0)
    W = np.where(alive, np.ldexp(triangle, np.clip(shift, -2000, 2000)), 0) @ earlier_triangle
    k = np.frexp(np.max(np.abs(W), axis=1))[1] - 1
    dead = (a == ZERO) | (exponent == ZERO) | ~np.any(W, axis=1)
    W = np.where(dead[:, None], 0, np.ldexp(W, -k[:, None]))
    return np.where(dead, ZERO, exponent + a + k), W


def _solve(triangle, right, *, lower=False, transposed=False):
    # LAPACK itself: for small matrices the checks of solve_triangular cost more than the solution.
    return _trtrs(triangle, right, lower=lower, trans=int(transposed))[0]
