"""Covariant Lyapunov vectors: the directions that grow at each Lyapunov exponent."""

from collections.abc import Iterator

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from .._chain import JacobianChain, resolve_window
from .._linearization import gib
from .._linearize import MEMORY_LIMIT
from . import _lapack as la
from ._lu import tall_lu
from ._streams import raise_non_finite, refuse_traced
from ._sweep import start_basis

# Separation of neighboring growths, in nats, at which the default transient stops: e^-34.5 = 1e-15.
_ENOUGH = 34.5

# Convergence beyond which a vector is called undetermined.
_UNDETERMINED = 1e-3


class CovariantVectors(eqx.Module):
    """Covariant Lyapunov vectors v_1..v_k along a trajectory, fastest growing first.

    - `vectors`: shape (time_plus_one, state, k): `vectors[j][:, i]` is the unit vector v_{i+1} at
      the state s_{times[j]}.
    - `times`: shape (time_plus_one,): consecutive; the states at which the vectors live.
    - `local_growth`: shape (time, k), one row less than `vectors`: log ||J_{t+1} v_i(t)|| at
      t = times[j], the growth from `vectors[j]` to `vectors[j + 1]`.
    - `exponents`: shape (k,): the mean of `local_growth` over the kept steps, nats per step.
    - `convergence`: shape (k,): how much of the arbitrary start is left in v_i at the worst kept
      moment, e^(-separation): the growth rates of i and its neighbors summed over the transients
      and subtracted; 1 means that nothing was forgotten.
    - `neighbor_angle`: shape (k - 1,): smallest angle between v_i and v_{i+1} over the kept moments
      in radians; 0 is a tangency (the chain is not hyperbolic there), pi/2 orthogonality.
    - `covariance_residual`: largest sine of the angle between J_{t+1} v_i(t) and v_i(t+1).
    - `transient`: steps discarded at the beginning and at the end.
    """

    vectors: Float[np.ndarray, "time_plus_one state vector"]
    times: Int[np.ndarray, "time_plus_one"]
    local_growth: Float[np.ndarray, "time vector"]
    exponents: Float[np.ndarray, "vector"]
    convergence: Float[np.ndarray, "vector"]
    neighbor_angle: Float[np.ndarray, "pair"]
    covariance_residual: float
    transient: tuple[int, int]

    @property
    def undetermined(self) -> tuple[int, ...]:
        """Positions of vectors that the transients did not single out (convergence > 1e-3).

        Their exponents are equal or too close for this chain: each is covariant, but another start
        would give another one. What is determined is the span of a group of equal exponents.
        """
        return tuple(np.flatnonzero(self.convergence > _UNDETERMINED).tolist())

    def __repr__(self) -> str:
        k = self.vectors.shape[-1]
        angle = f", neighbors at least {self.neighbor_angle.min():.2g} rad apart" if k > 1 else ""
        vague = self.undetermined
        which = ", ".join(map(str, vague)) if len(vague) <= 6 else f"{len(vague)} of them"
        note = f"; not determined individually (equal exponents?): {which}" if vague else ""
        return (
            f"CovariantVectors({k} at states {self.times[0]}..{self.times[-1]}, exponents from "
            f"{self.exponents[0]:.6g} to {self.exponents[-1]:.6g} nats/step{angle}; covariant to "
            f"{self.covariance_residual:.1e}, converged to {self.convergence.max():.1e}{note})"
        )


def covariant_lyapunov_vectors(
    chain: JacobianChain,
    *,
    k: int | None = None,
    transient: int | tuple[int, int] | None = None,
    window: tuple[int, int] | None = None,
    memory_limit: int = MEMORY_LIMIT,
) -> CovariantVectors:
    """Return the covariant Lyapunov vectors of the chain: J_{t+1} v_i(t) is parallel to v_i(t+1).

    The algorithm of Ginelli et al. (2007). Forward, J_t Q_{t-1} = Q_t R_t with orthonormal Q_t and
    positive R_ii; backward, C_{t-1} = R_t^-1 C_t with columns scaled to length 1, from C = 1 at the
    end; v_i(t) is column i of Q_t C_t. Unlike singular vectors they depend neither on the window
    nor on the norm: v_i(t) grows at rate lambda_i in the future and shrinks at it in the past.
    Small angles between neighbors are near-tangencies of fast and slow directions. Vectors with
    equal exponents are not defined one by one: see `CovariantVectors.undetermined`. The covariance
    itself holds from any start, so that its residual checks the arithmetic and `convergence` the
    transients. float64 on the CPU whatever the Jacobians' dtype and the x64 flag.

    **Arguments:**

    - `chain`: from `linearize`, or `JacobianChain(array)`, with at least one step.
    - `k`: return the k leading vectors only; all by default.
    - `transient`: steps to discard at each end, one number or (begin, end). None takes as many as
      the closest pair of neighbors needs to separate by e^34.5 = 1e15, at most a third of the
      window each.
    - `window`: use J_{s+1} ... J_t only, for (s, t); default the whole chain.
    - `memory_limit`: bytes that the stored factors and vectors may take.

    **Returns:** a `CovariantVectors` of NumPy arrays, for the states s + begin to t - end.

    **Raises:** `ValueError` for a bad window, k or transient, and where R_ii, i <= k, is zero to
    rounding (a singular chain has no more covariant vectors than its rank); `NonFiniteError` for a
    NaN or infinite Jacobian; `MemoryError`, before anything is computed, beyond the limit;
    `TypeError` under `jit` or `vmap`.

    **Cost:** O(T n^2 k) time; Q, R and the vectors are stored, 16 T (n k + (k + 1)^2) bytes. The
    Jacobians of the kept steps of a streamed chain are evaluated twice, for the residual.

    **Validity:** vectors within 1e-11 of M_t's columns for chains J_t = M_t D M_{t-1}^-1 and of
    intersections of subspaces in 150 digits (`tests/spectra/test_covariant.py`). An LU before each
    QR keeps tiny rows (saturated units) to full relative accuracy, and with them `local_growth`.
    The residual is about eps ||J|| / ||J v_i||: no vector of float64 numbers is covariant where one
    step contracts by more than 1e16.

    **Example:**

    >>> import jax.numpy as jnp, vanishing_jax as vj
    >>> from vanishing_jax.spectra import covariant_lyapunov_vectors
    >>> J = jnp.stack([jnp.array([[2.0, 1.0], [0.0, 0.5]])] * 120)
    >>> found = covariant_lyapunov_vectors(vj.JacobianChain(J))
    >>> found.exponents.round(6), abs(found.vectors[0]).round(4)
    (array([ 0.693147, -0.693147]), array([[1.    , 0.5547],
           [0.    , 0.8321]]))

    ??? cite "Reference"
        Ginelli, F., Poggi, P., Turchi, A., Chate, H., Livi, R. and Politi, A. (2007).
        Characterizing dynamics with covariant Lyapunov vectors. Phys. Rev. Lett. 99, 130601.
    """
    s, t = resolve_window(window, chain.num_steps)
    k = _checked(chain, s, t, k, transient, memory_limit)
    bases, factors, gaps = _forward(chain, s, t, k)
    if transient is None:
        begin, end = _steps_to_separate(gaps[:, :k]), _steps_to_separate(gaps[::-1, : k - 1])
    else:
        begin, end = _pair(transient)
    steps = t - s - begin - end
    growth = _backward(bases[begin:], factors[begin:, :k, :k])[:steps]
    vectors = bases[begin : begin + steps + 1]
    times = np.arange(s + begin, t - end + 1)
    return CovariantVectors(
        vectors=vectors,
        times=times,
        local_growth=growth,
        exponents=growth.mean(axis=0),
        convergence=_convergence(gaps, k, begin, end),
        neighbor_angle=_neighbor_angle(vectors),
        covariance_residual=_covariance_residual(chain, vectors, times),
        transient=(begin, end),
    )


def _checked(chain, s, t, k, transient, memory_limit) -> int:
    """Return k after checking every argument, and the memory needed."""
    chain.check_square("covariant Lyapunov vectors")
    n = chain.state_size
    refuse_traced(chain, "Call covariant_lyapunov_vectors outside jit and vmap, once per chain.")
    if s == t:
        raise ValueError(f"expected a window of at least one step; got ({s}, {t}).")
    if k is not None and not 1 <= k <= n:
        raise ValueError(f"expected k from 1 to the state size {n}; got {k}.")
    k = n if k is None else int(k)
    if transient is not None and (min(_pair(transient)) < 0 or sum(_pair(transient)) >= t - s):
        raise ValueError(
            f"expected a transient (begin, end) that leaves at least one of {t - s} steps; got "
            f"{_pair(transient)}. Use a longer chain, or transient=None."
        )
    needed = 16 * (t - s + 1) * (n * k + (k + 1) ** 2)
    if needed > memory_limit:
        raise MemoryError(
            f"{k} covariant vectors of size {n} over {t - s} steps need {gib(needed)}; "
            f"memory_limit is {gib(memory_limit)}. Ask for fewer vectors (k=), a shorter "
            "window=(s, t), or raise memory_limit."
        )
    return k


def _pair(transient) -> tuple[int, int]:
    begin, end = (transient, transient) if np.ndim(transient) == 0 else transient
    return int(begin), int(end)


# --- forward: bases and triangular factors, backward: vectors -------------------------------------


def _forward(chain, s, t, k):
    """Return k columns of Q_s .. Q_t, J_t Q_{t-1} = Q_t R_t by LU, the R_t, and gaps of growth.

    LU with partial pivoting keeps rows much smaller than the others, as saturated units make them;
    the bases are well conditioned, not orthonormal. The gaps are those of neighboring log |R_ii| by
    QR over each step.
    """
    n = chain.state_size
    columns = min(k + 1, n)  # the growth of one more says how well the k-th is separated from it
    bases, factors = np.empty((t - s + 1, n, k)), np.empty((t - s, columns, columns))
    # A random start, because slow directions may come first (triangular Jacobians).
    Q = start_basis(n)[:, :columns]
    bases[0], log_volume = Q[:, :k], [np.zeros(columns)]
    for a, jacobians in _pieces(chain, s, t):
        noise = []
        for step, J in enumerate(jacobians, a - s):
            Q, R, permutation = tall_lu(J @ Q)
            noise.append(_is_noise(J, Q, R, permutation[:k]))
            bases[step + 1], factors[step] = Q[:, :k], R
            log_volume.append(np.log(np.abs(np.diagonal(np.linalg.qr(Q, mode="r")))))
        _check_rank(np.array(noise), a)
    with np.errstate(divide="ignore"):  # the additional column may lie beyond the rank
        pivots = np.log(np.abs(np.diagonal(factors, axis1=1, axis2=2)))
    return bases, factors, -np.diff(pivots + np.diff(log_volume, axis=0), axis=1)


def _is_noise(J, Q, R, rows):
    """Say which of the leading pivots, in these rows, are zero to rounding."""
    # The numbers that were added up to make the pivot: first in J Q, then in the elimination.
    summed = np.abs(J[rows]).sum(axis=1) + np.sum(np.abs(Q[rows] * R.T[: len(rows)]), axis=1)
    pivots = np.abs(np.diagonal(R)[: len(rows)])
    return pivots <= 4 * len(J) * np.finfo(np.float64).eps * summed


def _check_rank(noise, a):
    """Raise where one of the leading k pivots is zero to rounding."""
    if not noise.any():
        return
    rank = int(np.argmax(noise.any(axis=0)))
    step = a + 1 + int(np.argmax(noise[:, rank]))
    advice = f"Ask for k={rank} or fewer" if rank else "No direction survives that step"
    raise ValueError(
        f"expected a chain of rank at least {noise.shape[1]}; at step {step} its product has rank "
        f"{rank} to rounding (R_ii = 0 for i = {rank + 1}): a singular step, or one too "
        "ill-conditioned for float64. There are no more covariant vectors than the rank. "
        f"{advice}, or use a window without that step."
    )


def _pieces(chain, s, t) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (a, J_{a+1}..J_b as float64) over the window, as many as are held at once."""
    for a, b in chain.segments(s, t):
        piece = np.asarray(chain.segment(a, b)).astype(np.float64, copy=False)
        bad = ~np.isfinite(piece).all(axis=(1, 2))
        if bad.any():
            raise_non_finite(a - s + 1 + int(np.argmax(bad)), s, t, "forward")
        yield a, piece


def _backward(bases, factors):
    """Put the vectors in the place of the bases; return the log growth over each step.

    Ginelli's iteration C_{t-1} = R_t^-1 C_t in the coordinates of the bases, with columns scaled so
    that those of Q_t C_t are unit vectors: each grows by one over what it was scaled by.
    """
    growth = np.empty(factors.shape[:2])
    C = np.linalg.inv(np.linalg.qr(bases[-1], mode="r"))  # orthonormal vectors at the end
    bases[-1] = _normalized(bases[-1] @ C)
    for i in range(len(factors) - 1, -1, -1):
        C = la.blas.dtrsm(1.0, factors[i], C)
        largest = np.max(np.abs(C), axis=0)  # or squares would overflow
        C = C / largest
        images = bases[i] @ C
        norm = np.linalg.norm(images, axis=0)
        C, bases[i] = C / norm, images / norm
        growth[i] = -np.log(largest) - np.log(norm)
    return growth


# --- what the transients achieved, and checks -----------------------------------------------------


def _steps_to_separate(gaps) -> int:
    """Return after how many steps every pair is separated, at most a third of all."""
    total = np.cumsum(gaps[: len(gaps) // 3], axis=0)
    separated = np.all(np.insert(total, 0, 0, axis=0) >= _ENOUGH, axis=1)
    return int(np.argmax(np.append(separated[:-1], True)))


def _convergence(gaps, k, begin, end):
    """Return e^-separation of each vector from its neighbors over the transients, at most 1.

    The span of v_1..v_i forgets the start forward, by the gap to i + 1; v_i within it forgets the
    start backward, by the gap to i - 1.
    """
    forward = np.append(gaps[:begin].sum(axis=0), np.inf)[:k]
    backward = np.append(np.inf, gaps[len(gaps) - end :].sum(axis=0))[:k]
    return np.exp(-np.maximum(np.minimum(forward, backward), 0))


def _neighbor_angle(vectors):
    """Return the smallest angle between neighboring columns, over all moments."""
    left, right = vectors[:, :, :-1], vectors[:, :, 1:]
    cosine = np.abs(np.sum(left * right, axis=1))
    return np.arctan2(_sine(left, right), cosine).min(axis=0)


def _covariance_residual(chain, vectors, times) -> float:
    """Return the largest sine between J_{t+1} v_i(t) and v_i(t+1), from the Jacobians anew."""
    largest = 0.0
    for a, jacobians in _pieces(chain, int(times[0]), int(times[-1])):
        j = a - int(times[0])
        pushed = _normalized(jacobians @ vectors[j : j + len(jacobians)])
        after = vectors[j + 1 : j + 1 + len(jacobians)]
        largest = max(largest, float(_sine(pushed, after).max()))
    return largest


def _sine(left, right):
    """Return the sine of the angle between unit columns, accurate for small ones."""
    along = np.sum(left * right, axis=-2, keepdims=True)
    return np.minimum(np.linalg.norm(left - along * right, axis=-2), 1.0)


def _normalized(vectors):
    """Return the columns at length 1, however small their entries are."""
    scaled = vectors / np.max(np.abs(vectors), axis=-2, keepdims=True)
    return scaled / np.linalg.norm(scaled, axis=-2, keepdims=True)
