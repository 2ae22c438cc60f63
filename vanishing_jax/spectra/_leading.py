"""A few singular values of a product of Jacobians of large states, without any n by n array."""

from collections.abc import Iterator
from typing import NamedTuple

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Float

from .._chain import JacobianChain, resolve_window
from .._types import Key
from ._balance import ZERO
from ._error_bound import FLOOR
from ._finish import triplets_of
from ._partial_spectrum import PartialSpectrum
from ._streams import NonFiniteStep, push_of, raise_non_finite, refuse_traced
from ._sweep import SAFETY
from ._thin_sweep import ThinSweep, amplification

# Share of the tolerance that factorizations may lose; never less than what is as good as nothing.
_SHARE, _OF_ROUNDING = 1e-4, 30.0

# A direction further from the space than this (sine) is not yet found.
_LOST = 0.1


def leading_singular_values(
    chain: JacobianChain,
    k: int,
    *,
    window: tuple[int, int] | None = None,
    oversample: int = 10,
    tolerance: float = 1e-6,
    max_passes: int = 40,
    key: Key | None = None,
) -> PartialSpectrum:
    """Return the k largest singular values of J_t ... J_{s+1} with their vectors, matrix-free.

    What survives from s to t, and which components of the state carry it, for states too large for
    `log_singular_values`. Subspace iteration: a block of k + oversample vectors is pushed through
    the chain by jvp and pulled back by vjp in turns, and its singular values approach those of the
    product from below. A pass is a sweep with triangular factors and integer exponents, so the k
    values may span any range. One forward pass alone is off by O(1) e-folds; the result says how
    far it has converged.

    **Arguments:**

    - `chain`: from `linearize`; streamed or dense.
    - `k`: number of values, from 1 to the state size.
    - `window`: (s, t) for J_t ... J_{s+1}; default the whole chain.
    - `oversample`: further vectors in the block. More of them cost more per pass and need fewer
      passes: the error falls by the ratio of the (k + oversample + 1)-th to the k-th singular value
      in each.
    - `tolerance`: passes end when the error estimate of every log (in nats) is below it, or below
      rounding.
    - `max_passes`: passes at most, at least 2.
    - `key`: random key of the starting block; None takes a fixed one.

    **Returns:** a `PartialSpectrum`, natural logs, descending.

    **Raises:** `ValueError` for a bad k, window or option; `NonFiniteError` for a NaN or infinite
    Jacobian, with its step; `TypeError` under `jit`.

    **Cost:** per pass t - s times k + oversample Jacobian-vector products and, every 1 to 32 steps,
    an LU of that many columns; no array of n by n. Passes: 2 for coinciding values; else, by how
    much the k-th and the (k + oversample + 1)-th log differ, 4 at 10 nats, 6 at 3, 12 at 1, 32 at
    0.3, 85 at 0.1. A tanh network of 256 units over 256 steps, k = 16: three passes, a quarter of
    the time of all values.

    **Validity:** dense Jacobians are computed on in float64, streamed ones in their own dtype; the
    error estimate includes its rounding. Tested against products in high precision and against the
    full spectrum: over random chains of twelve families, after any number of passes, no error was
    more than half of its estimate (`tests/spectra/test_leading.py`). Like all such methods, it
    can miss a direction to which the random start is orthogonal up to rounding.

    **Example:**

    >>> import jax.numpy as jnp, vanishing_jax as vj
    >>> J = jnp.stack([jnp.diag(jnp.exp(-jnp.arange(1.0, 21.0)))] * 300)
    >>> leading = vj.spectra.leading_singular_values(vj.JacobianChain(J), 3)
    >>> leading.log_singular_values.round(3), leading.converged
    (array([-300., -600., -900.]), True)

    ??? cite "Reference"
        Halko, N., Martinsson, P. G. and Tropp, J. A. (2011). Finding structure with randomness.
        SIAM Review 53, 217-288.
    """
    s, t = _check(chain, k, window, oversample, tolerance, max_passes)
    start = _start(chain.state_size, min(k + oversample, chain.state_size), key)
    passes = _passes(chain, (s, t), start, tolerance)
    best = _iterate(passes, k, tolerance, max_passes)
    status = "converged"
    if not best.converged:
        status = f"not converged: raise max_passes={max_passes} or oversample={oversample}"
        if not np.all(best.rounding_error < 1):
            status = "lost to rounding"
    right, left = best.last.block, best.last.image
    if best.num_passes % 2 == 0:
        right, left = left, right
    largest = np.argmax(np.abs(right), axis=0)
    sign = np.where(np.take_along_axis(right, largest[None], axis=0) < 0, -1.0, 1.0)
    return PartialSpectrum(
        log_singular_values=best.last.logs[:k],
        error_bound=best.iteration_error + best.rounding_error,
        rounding_error=best.rounding_error,
        right_vectors=(right * sign)[: chain.widths[s], :k],
        left_vectors=(left * sign)[: chain.widths[t], :k],
        vector_error=best.vector_error,
        windows=np.array([s, t]),
        num_passes=best.num_passes,
        status=status,
        dtype=str(chain.dtype),
        arithmetic_dtype="float64" if chain.is_dense else str(chain.dtype),
        tolerance=float(tolerance),
        _blocks=tuple((name, part.start, part.stop) for name, part in chain.blocks.items()),
    )


def _check(chain, k, window, oversample, tolerance, max_passes) -> tuple[int, int]:
    """Return the window, after checking everything."""
    refuse_traced(chain, "Partial spectra iterate until they converge: outside jit and vmap.")
    chain.check_single("partial spectra")
    s, t = resolve_window(window, chain.num_steps)
    n = chain.bottleneck(s, t)
    if not 1 <= k <= n:
        raise ValueError(f"expected k from 1 to the state size {n}; got {k}.")
    if oversample < 0:
        raise ValueError(f"expected oversample >= 0; got {oversample}.")
    if not tolerance > 0:
        raise ValueError(f"expected a tolerance > 0; got {tolerance}.")
    if max_passes < 2:
        raise ValueError(f"expected max_passes >= 2, forward and back; got {max_passes}.")
    return s, t


def _start(n: int, p: int, key: Key | None):
    """Return a random orthonormal block."""
    if key is None:
        normal = np.random.default_rng(0).standard_normal((n, p))
    else:
        normal = np.asarray(jr.normal(key, (n, p), jnp.float32), np.float64)
    return np.linalg.qr(normal)[0]


# --- passes ---------------------------------------------------------------------------------------


class _Pass(NamedTuple):
    """What one pass found of A V = U S, V an orthonormal block; p triplets, descending.

    - `block`: V, rotated; `image`: U. Right and left singular vectors of a forward pass, left and
      right ones of a backward pass.
    - `rounding`: error of each log by the arithmetic. `rank`: p less the exact zeros.
    - `middle`: an orthonormal basis of the block in the middle of the window.
    """

    logs: Float[np.ndarray, "direction"]
    block: Float[np.ndarray, "rows direction"]
    image: Float[np.ndarray, "columns direction"]
    rounding: Float[np.ndarray, "direction"]
    rank: int
    middle: Float[np.ndarray, "middle direction"]


def _passes(chain, window: tuple[int, int], start, tolerance) -> Iterator[_Pass]:
    """Yield the passes: forward on the start, backward on what came out, forward, ..."""
    pushes = {d: push_of(chain, *window, d) for d in ("forward", "backward")}
    eps = float(np.finfo(np.float64 if chain.is_dense else chain.dtype).eps)
    steps, block, direction, met = window[1] - window[0], start, "forward", None
    least = _OF_ROUNDING * SAFETY * eps * np.sqrt(max(steps, 1))
    while True:
        try:
            allowed = max(_SHARE * tolerance, least)
            found = _one_pass(pushes[direction], block, steps, direction, allowed, eps)
        except NonFiniteStep as error:
            raise_non_finite(error.lag, *window, direction)
        amplified = 1.0 if met is None else amplification(met, found.middle)
        yield found._replace(rounding=found.rounding * amplified)
        met, block = found.middle, found.image
        direction = "backward" if direction == "forward" else "forward"


def _one_pass(push, block, steps, direction, tolerance, eps) -> _Pass:
    p = block.shape[1]
    # Mixed columns are all dominated by the same direction at every step, as with a random start:
    # the triangle stays well conditioned even where the order of growth changes on the way.
    mix = np.linalg.qr(np.random.default_rng(1).standard_normal((p, p)))[0]
    sweep = ThinSweep(push, block @ mix, steps, tolerance=tolerance, eps=eps / 2)
    halfway = steps // 2 if direction == "forward" else steps - steps // 2
    middle = np.linalg.qr(sweep.run(halfway).basis)[0]
    product = sweep.run(steps)
    logs, image, coordinates = triplets_of(product)
    loss = np.sqrt(np.maximum.accumulate(product.loss))
    size = np.where(np.isfinite(logs), np.abs(logs), 0)
    zero = product.exponent == ZERO
    # A zero is exact unless a pivot was lost to cancellation.
    rank = int(np.sum(~zero)) if np.all(np.isfinite(product.loss[zero])) else p
    rounding = SAFETY * np.sqrt(p) * eps * loss + 4 * eps * size + FLOOR
    return _Pass(logs, block @ (mix @ coordinates), image, rounding, rank, middle)


# --- iteration ------------------------------------------------------------------------------------


class _Outcome(NamedTuple):
    """The last pass, and what is not known of its k leading triplets.

    - `iteration_error`: of each log, for lack of passes; `rounding_error`: by the arithmetic.
    - `vector_error`: sine of the angle of each vector.
    """

    last: _Pass
    iteration_error: Float[np.ndarray, "direction"]
    rounding_error: Float[np.ndarray, "direction"]
    vector_error: Float[np.ndarray, "direction"]
    num_passes: int
    converged: bool


def _iterate(passes, k, tolerance, max_passes) -> _Outcome:
    """Go on until the error for lack of passes is below half the tolerance, or below rounding."""
    rank, logs, change, found, previous = np.inf, np.inf, np.inf, False, None
    for number, one in enumerate(passes, 1):
        p = len(one.logs)
        # An exact zero is certain whichever pass finds it.
        rank = min(rank, one.rank)
        alive = np.arange(p) < rank
        before, logs = logs, np.where(alive, one.logs, -np.inf)
        rounding = np.where(alive, one.rounding, 0)
        # What came out is compared with what went in two passes ago.
        distance = np.ones(p) if previous is None else _distance(one.image, previous)
        previous = one.block
        angle, vectors = _errors(logs, distance, rounding)
        last, change = change, _change(logs, before)
        was_found, found = found, bool(np.all((angle <= np.maximum(tolerance / 2, rounding))[:k]))
        if found and was_found:
            # With the space found, changes that no longer shrink are rounding beyond the estimate.
            rounding = np.maximum(rounding, np.where(change > last / 2, change, 0))
        iteration = np.maximum(angle, change)
        usable = bool(np.all(rounding[:k] < 1))
        settled = bool(np.all((iteration <= np.maximum(tolerance / 2, rounding))[:k]))
        # The other direction may fare better: judge after both.
        if (usable and settled) or number == max_passes or not (usable or number == 1):
            break
    one = one._replace(logs=logs)
    return _Outcome(one, iteration[:k], rounding[:k], vectors[:k], number, usable and settled)


def _distance(vectors, basis):
    """Return the sine of the angle between each vector and the span of `basis`."""
    return np.minimum(np.linalg.norm(vectors - basis @ (basis.T @ vectors), axis=0), 1)


def _change(logs, before):
    """Return twice the change of each log since the pass before, 0 for a zero.

    It compares a forward pass with a backward one, so it sees rounding too; twice, because the
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
    return 0.0 - np.expm1(2 * (np.append(logs, -np.inf)[index] - logs))  # 0 - 0 is no -0
