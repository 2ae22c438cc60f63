"""The spectral norm of ds_t/ds_s for all pairs of times on a grid."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import numpy as np
from jax.core import Tracer
from jaxtyping import Float, Int

from .._chain import JacobianChain, gib, resolve_window
from .._checks import NonFiniteError
from ._lanczos import spectral_norms

_DEFAULT_POINTS = 64

# Random share of the vector that Lanczos starts with.
_SHARE = 0.3

# Bytes that the formed products may take.
MEMORY_LIMIT = 4 * 2**30


class NormTriangle(eqx.Module):
    """Log spectral norms log ||ds_t/ds_s||_2 over a triangular grid of times.

    - `times`: the grid, ascending, shape (record,).
    - `log_norm`: natural log, entry [i, j] for t = times[i] and s = times[j] <= t, shape
      (record, record): 0 on the diagonal, -inf for an exactly zero product, NaN above the diagonal.
    - `error`: estimate of the absolute error of each entry, NaN above the diagonal.
    - `dtype`: dtype of the Jacobians; `arithmetic_dtype`: that of the computation.
    - `tolerance`: what the caller asked for.
    - `axis`: what the times count, `"time"` steps or a `"layer"`.
    """

    times: Int[np.ndarray, "record"]
    log_norm: Float[np.ndarray, "record record"]
    error: Float[np.ndarray, "record record"]
    dtype: str
    arithmetic_dtype: str
    tolerance: float
    axis: str = eqx.field(static=True, default="time")

    @property
    def meets_tolerance(self) -> bool:
        """Whether every error is at most `tolerance`."""
        return bool(np.all(self.error[np.tril_indices(len(self.times))] <= self.tolerance))

    def __repr__(self) -> str:
        first, last = self.times[0], self.times[-1]
        worst = float(np.nanmax(self.error))
        missed = "" if self.meets_tolerance else f", above the tolerance {self.tolerance:.1e}"
        return (
            f"NormTriangle({len(self.times)} times from {first} to {last}: log norm of the longest "
            f"product {self.log_norm[-1, 0]:.6g}, error <= {worst:.1e}{missed})"
        )


def spectral_norm_triangle(
    chain: JacobianChain,
    *,
    points: int | Sequence[int] | None = None,
    window: tuple[int, int] | None = None,
    tolerance: float = 1e-9,
) -> NormTriangle:
    """Return log ||ds_t/ds_s||_2 for all s <= t: the largest log singular value of each product.

    Where memory is kept and where it is cut: an even slope away from the diagonal is steady decay;
    a step in t that darkens everything before it at once (a reset gate, a saturating input) cuts
    all memories; a band that stays bright is one that lasts. The norm is the best case over all
    directions, so a dark entry means that nothing of s_s is left at t, and a bright one that
    something is.

    Products over the steps of the grid are formed, scaled by powers of two, and multiplied for all
    starts at once; the norm of each comes from Golub-Kahan-Lanczos steps that start with the
    singular vector found one grid step earlier. No SVD of size n is taken.

    **Arguments:**

    - `chain`: from `linearize`, or `JacobianChain(array)`.
    - `points`: number of grid times, evenly spaced with both ends; or the times themselves,
      ascending. Default 64, or every step of a shorter window.
    - `window`: (s, t) that the even grid covers; default the whole chain.
    - `tolerance`: Lanczos rounds end when the error of each entry is below it (nats).

    **Returns:** a `NormTriangle` of NumPy arrays.

    **Raises:** `ValueError` for a bad grid or window; `NonFiniteError` for a NaN or infinite
    Jacobian, with its step; `MemoryError` when the products do not fit; `TypeError` under `jit`.

    **Cost:** T + points^2 / 2 matrix products of size n and about 15 products with a vector for
    each entry; 2 points n^2 numbers of memory.

    **Validity:** float64 whatever the Jacobians' dtype. A formed product keeps its largest singular
    value to a few eps as long as its factors do not cancel; `error` adds up, over the grid, how
    much they do. Tested against SVDs of products in high precision within 1e-9
    (`tests/spectra/test_norm_triangle.py`). For products far smaller than the products of the norms
    of their factors (by 1e16 and more, as for nilpotent steps) use `log_singular_values`.

    **Example:**

    >>> import jax.numpy as jnp, vanishing_jax as vj
    >>> chain = vj.JacobianChain(jnp.stack([0.5 * jnp.eye(3)] * 4))
    >>> vj.spectra.spectral_norm_triangle(chain, points=[0, 2, 4]).log_norm.round(2) + 0.0
    array([[ 0.  ,   nan,   nan],
           [-1.39,  0.  ,   nan],
           [-2.77, -1.39,  0.  ]])

    ??? cite "Reference"
        Golub, G. and Kahan, W. (1965). Calculating the singular values and pseudo-inverse of a
        matrix. SIAM J. Numer. Anal. 2, 205-224.
    """
    if not tolerance > 0:
        raise ValueError(f"expected a tolerance > 0; got {tolerance}.")
    times = _grid(points, window, chain.num_steps)
    m, n = len(times), chain.state_size
    needed = 2 * 8 * m * n**2
    if needed > MEMORY_LIMIT:
        raise MemoryError(
            f"the products of {m} grid times of size {n} take {gib(needed)}; the limit is "
            f"{gib(MEMORY_LIMIT)}. Take fewer points, or leading_singular_values window by window."
        )
    found = _fill(chain, times, tolerance / 2)
    return NormTriangle(times, *found, str(chain.dtype), "float64", float(tolerance), chain.axis)


def _fill(chain: JacobianChain, times, tolerance: float):
    """Return the log norms and their errors, row by row."""
    m, n = len(times), chain.state_size
    log_norm, error = np.full((m, m), np.nan), np.full((m, m), np.nan)
    np.fill_diagonal(log_norm, 0.0)
    np.fill_diagonal(error, 0.0)
    normal = np.random.default_rng(0).standard_normal((2, m, n))
    products = _Scaled(np.zeros((0, n, n)), np.zeros(0, np.int64))
    probes = _Scaled(np.zeros((0, n)), np.zeros(0, np.int64))
    vectors = np.zeros((0, n))
    for i in range(1, m):
        piece, probes = _advance(
            chain, int(times[i - 1]), int(times[i]), probes.append(normal[0, i - 1])
        )
        # All starts at once, and the new one.
        products = products.times(piece.array[0], piece.exponent).append(
            piece.array[0], piece.exponent[0]
        )
        # A share of everything beside the last singular vector: it may have been overtaken, and
        # Lanczos would call itself converged before it noticed.
        guess = np.concatenate([vectors, np.zeros((1, n))]) + _SHARE * normal[1, :i] / np.sqrt(n)
        norms, lanczos_error, vectors = spectral_norms(products.array, guess, tolerance)
        with np.errstate(divide="ignore"):
            log_norm[i, :i] = np.log(norms) + products.exponent * np.log(2)
        rounding = _rounding(products, probes, normal[0, :i], norms)
        size = np.abs(log_norm[i, :i]) + 4 * np.sqrt(n * (times[i] - times[:i]))
        least = np.where(norms > 0, np.finfo(np.float64).eps * size, 0)
        error[i, :i] = lanczos_error + rounding + least
    return log_norm, error


class _Scaled(NamedTuple):
    """Arrays of any size: `array[j] * 2**exponent[j]`, entries at most 1."""

    array: Float[np.ndarray, "record *shape"]
    exponent: Int[np.ndarray, "record"]

    def append(self, array: Any, exponent: Any = 0) -> "_Scaled":
        """Return these arrays and one more."""
        both = np.concatenate([self.array, array[None]])
        return _normalized(both, np.append(self.exponent, exponent))

    def times(self, matrix: Any, exponent: Any = 0) -> "_Scaled":
        """Return these arrays multiplied by a matrix from the left."""
        if self.array.ndim == 2:  # vectors: one matrix product
            return _normalized(self.array @ matrix.T, self.exponent + exponent)
        return _normalized(matrix @ self.array, self.exponent + exponent)


def _normalized(array, exponent) -> _Scaled:
    axes = tuple(range(1, array.ndim))
    shift = np.frexp(np.max(np.abs(array), axis=axes))[1]
    return _Scaled(np.ldexp(array, -shift.reshape(-1, *[1] * len(axes))), exponent + shift)


def _grid(points, window, num_steps: int) -> Int[np.ndarray, "record"]:
    if isinstance(points, int | None):
        s, t = resolve_window(window, num_steps)
        count = min(_DEFAULT_POINTS, t - s + 1) if points is None else points
        if points is not None and points < 2:
            raise ValueError(f"expected at least 2 points; got {points}.")
        return np.unique(np.linspace(s, t, count).round().astype(np.int64))
    if window is not None:
        raise ValueError("expected window= with a number of points; explicit times need none.")
    times = np.asarray(points)
    if times.ndim != 1 or times.size == 0 or times.dtype.kind not in "iu":
        raise ValueError(f"expected a number of points or a list of whole times; got {points}.")
    if np.any(np.diff(times) <= 0) or times[0] < 0 or times[-1] > num_steps:
        raise ValueError(f"expected ascending times from 0 to {num_steps}; got {times.tolist()}.")
    return times.astype(np.int64)


def _advance(chain: JacobianChain, s: int, t: int, probes: _Scaled):
    """Return the product J_t ... J_{s+1} formed, and the probes pushed through one by one."""
    piece = _Scaled(np.eye(chain.state_size)[None], np.zeros(1, np.int64))
    for a, b in chain.segments(s, t):
        jacobians = chain.segment(a, b)
        if isinstance(jacobians, Tracer):
            raise TypeError("expected a concrete chain; got a traced one. Call it outside jit.")
        for step, J in enumerate(np.asarray(jacobians).astype(np.float64), a + 1):
            if not np.isfinite(J).all():
                raise NonFiniteError(
                    f"expected finite Jacobians; J_t has a NaN or infinite entry at t = {step}. "
                    "Check the states of the trajectory there."
                )
            factor = _normalized(J[None], np.zeros(1, np.int64))
            piece = piece.times(factor.array[0], factor.exponent)
            probes = probes.times(factor.array[0], factor.exponent)
    return piece, probes


def _rounding(products: _Scaled, probes: _Scaled, start, norms):
    """Return the relative rounding error of each product, from its effect on a random vector.

    A vector pushed through step by step has other rounding errors than the formed product. For a
    standard normal vector their difference is about the Frobenius norm of those errors.
    """
    formed = np.matmul(products.array, start[..., None])[..., 0]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        pushed = np.ldexp(probes.array, (probes.exponent - products.exponent)[:, None])
        difference = np.linalg.norm(formed - pushed, axis=1)
        relative = 4 * difference / norms
    # A product that is exactly zero is certain if the vector vanished too.
    return np.where(difference == 0, 0, relative)
