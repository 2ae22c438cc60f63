"""Covariant Lyapunov vectors: the directions that grow at each Lyapunov exponent."""

from collections.abc import Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Float, Int

from .._chain import JacobianChain, gib, resolve_window
from .._checks import NonFiniteError
from .._linearize import MEMORY_LIMIT

# Steps per compiled scan: shorter pieces are padded, so that every T shares one compilation.
_CHUNK = 64
_CHUNK_BYTES = 64 * 2**20

# Separation of neighboring growths, in nats, at which the default transient stops: e^-34.5 = 1e-15.
_ENOUGH = 34.5

# Convergence beyond which a vector is called undetermined.
_UNDETERMINED = 1e-3


class CovariantVectors(eqx.Module):
    """Covariant Lyapunov vectors v_1..v_k along a trajectory, fastest growing first.

    - `vectors`: shape (moment, state, k): `vectors[j][:, i]` is the unit vector v_{i+1} at the
      state s_{times[j]}.
    - `times`: shape (moment,): consecutive; the states at which the vectors live.
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

    vectors: Float[np.ndarray, "moment state vector"]
    times: Int[np.ndarray, "moment"]
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
    # One column more, because its growth says how well the k-th is separated from the rest.
    Q, R = _forward(chain, s, t, k, min(k + 1, chain.state_size))
    with np.errstate(divide="ignore"):  # the additional column may lie beyond the rank
        log_diagonal = np.log(np.diagonal(R, axis1=1, axis2=2))
    begin, end = _transients(log_diagonal, k, transient)
    coefficients, growth = _backward(R[begin:, :k, :k])
    steps = t - s - begin - end
    vectors = _normalized(Q[begin : begin + steps + 1] @ coefficients[: steps + 1])
    times = np.arange(s + begin, t - end + 1)
    return CovariantVectors(
        vectors=vectors,
        times=times,
        local_growth=growth[:steps],
        exponents=growth[:steps].mean(axis=0),
        convergence=_convergence(log_diagonal, k, begin, end),
        neighbor_angle=_neighbor_angle(coefficients[: steps + 1]),
        covariance_residual=_covariance_residual(chain, vectors, times),
        transient=(begin, end),
    )


def _checked(chain, s, t, k, transient, memory_limit) -> int:
    """Return k after checking every argument, and the memory needed."""
    chain.check_square("covariant Lyapunov vectors")
    n = chain.state_size
    if chain.is_dense and isinstance(chain.jacobians, Tracer):
        raise TypeError(
            "expected concrete Jacobians; got a traced array. Call covariant_lyapunov_vectors "
            "outside jit and vmap, once per chain."
        )
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


# --- forward: Q and R -----------------------------------------------------------------------------


def _forward(chain, s, t, k, columns):
    """Return Q_s..Q_t, shape (T+1, n, k), and R_{s+1}..R_t, shape (T, columns, columns)."""
    n = chain.state_size
    # A random start, because slow directions may come first (triangular Jacobians).
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((n, n)))[0][:, :columns]
    stored_Q, stored_R = np.empty((t - s + 1, n, k)), np.empty((t - s, columns, columns))
    stored_Q[0] = Q[:, :k]
    for a, jacobians in _pieces(chain, s, t):
        count, here = len(jacobians), slice(a - s, a - s + len(jacobians))
        with jax.enable_x64(True), jax.default_device(jax.local_devices(backend="cpu")[0]):
            steps = _forward_scan(Q, _padded(jacobians, _chunk_length(n)))
            Qs, Rs, noise = (np.asarray(x)[:count] for x in steps)
        _check_rank(noise[:, :k], a)
        stored_Q[1:][here], stored_R[here], Q = Qs[:, :, :k], Rs, Qs[-1]
    return stored_Q, stored_R


@jax.jit
def _forward_scan(Q, jacobians):
    def step(Q, J):
        Q, R, noise = _factor(J, Q)
        return Q, (Q, R, noise)

    return jax.lax.scan(step, Q, jacobians)[1]


def _factor(J, Q):
    """Return the QR factors of J Q, R_ii >= 0, and which R_ii are nothing but rounding.

    By LU with pivoting, then QR of the well-conditioned L: a Householder QR alone loses rows much
    smaller than the others, as saturated units make them, and hides exact zeros.
    """
    A = J @ Q
    n, k = A.shape
    packed, _, permutation = jax.lax.linalg.lu(A)
    L = jnp.tril(packed, -1) + jnp.eye(n, k, dtype=A.dtype)
    U = jnp.triu(packed[:k])
    orthonormal, S = jnp.linalg.qr(L)
    R = S @ U
    sign = jnp.where(jnp.diagonal(R) < 0, -1.0, 1.0).astype(A.dtype)
    Q_next = jnp.zeros_like(A).at[permutation].set(orthonormal * sign[None, :])
    # The numbers that were added up to make the pivot: first in J Q, then in the elimination.
    summed = jnp.diagonal((jnp.abs(J) @ jnp.abs(Q))[permutation[:k]])
    summed = summed + jnp.sum(jnp.abs(L[:k]) * jnp.abs(U).T, axis=1)
    noise = jnp.abs(jnp.diagonal(U)) <= 4 * n * jnp.finfo(A.dtype).eps * summed
    return Q_next, sign[:, None] * R, noise


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
    """Yield (a, J_{a+1}..J_b as float64) over the window, at most one chunk at a time."""
    length = _chunk_length(chain.state_size)
    for begin, end in chain.segments(s, t):
        segment = np.asarray(chain.segment(begin, end))
        for a in range(begin, end, length):
            piece = segment[a - begin : a - begin + length].astype(np.float64)
            bad = ~np.isfinite(piece).all(axis=(1, 2))
            if bad.any():
                raise NonFiniteError(
                    "expected finite Jacobians; J_t has a NaN or infinite entry first at "
                    f"t = {a + 1 + int(np.argmax(bad))}. Check the states of the trajectory there."
                )
            yield a, piece


def _chunk_length(n: int) -> int:
    return max(1, min(_CHUNK, _CHUNK_BYTES // (8 * n * n)))


def _padded(matrices, length, *, front=False):
    """Return `length` matrices, the missing ones as identities."""
    missing = length - len(matrices)
    identities = np.broadcast_to(np.eye(matrices.shape[-1]), (missing, *matrices.shape[1:]))
    return np.concatenate([identities, matrices] if front else [matrices, identities])


# --- backward: the coefficients of the vectors in the columns of Q --------------------------------


def _backward(R):
    """Return C before the first R and after each, (T+1, k, k), and the log growths, (T, k)."""
    steps, k = R.shape[:2]
    length = _chunk_length(k)
    coefficients, growth = np.empty((steps + 1, k, k)), np.empty((steps, k))
    coefficients[-1] = np.eye(k)
    for end in range(steps, 0, -length):
        begin = max(0, end - length)
        with jax.enable_x64(True), jax.default_device(jax.local_devices(backend="cpu")[0]):
            padded = _padded(R[begin:end], length, front=True)
            found = _backward_scan(coefficients[end], padded)
            C, log_growth = (np.asarray(x)[begin - end :] for x in found)
        coefficients[begin:end], growth[begin:end] = C, log_growth
    return coefficients, growth


@jax.jit
def _backward_scan(C, R):
    def step(C, R):
        solved = jax.scipy.linalg.solve_triangular(R, C)
        largest = jnp.max(jnp.abs(solved), axis=0)  # or squares would overflow
        scaled = solved / largest[None, :]
        norm = jnp.linalg.norm(scaled, axis=0)
        C = scaled / norm[None, :]
        # C_{t-1} = R^-1 C_t with unit columns: a vector grows by one over that length.
        return C, (C, -jnp.log(largest) - jnp.log(norm))

    return jax.lax.scan(step, C, R, reverse=True)[1]


# --- what the transients achieved, and checks -----------------------------------------------------


def _transients(log_diagonal, k, transient) -> tuple[int, int]:
    """Return the steps to discard at both ends."""
    if transient is not None:
        return _pair(transient)
    separation = log_diagonal[:, :-1] - log_diagonal[:, 1:]
    longest = len(separation) // 3
    return (
        _steps_to_separate(separation[:, :k], longest),
        _steps_to_separate(separation[::-1, : k - 1], longest),
    )


def _steps_to_separate(separation, longest) -> int:
    """Return after how many steps every pair is separated, at most `longest`."""
    enough = (np.cumsum(separation, axis=0) >= _ENOUGH).all(axis=1)
    if separation.shape[1] == 0:
        return 0
    return min(longest, int(np.argmax(enough)) + 1) if enough.any() else longest


def _convergence(log_diagonal, k, begin, end):
    """Return e^-separation of each vector from its neighbors over the transients, at most 1.

    The span of v_1..v_i forgets the start forward, by the gap to i + 1; v_i within it forgets the
    start backward, by the gap to i - 1.
    """
    separation = log_diagonal[:, :-1] - log_diagonal[:, 1:]
    forward, backward = np.full(k, np.inf), np.full(k, np.inf)
    pairs = min(k, separation.shape[1])
    forward[:pairs] = separation[:begin, :pairs].sum(axis=0)
    backward[1:] = separation[len(separation) - end :, : k - 1].sum(axis=0)
    return np.exp(-np.maximum(np.minimum(forward, backward), 0))


def _neighbor_angle(coefficients):
    """Return the smallest angle between neighboring columns, over all moments."""
    left, right = coefficients[:, :, :-1], coefficients[:, :, 1:]
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
