"""How far the computed logs may be from the exact ones, from what the run itself lost."""

import numpy as np
from jaxtyping import Bool, Float, Int

from ._amplification import Amplification

_EPS = np.finfo(np.float64).eps

# Rounding errors of single factorizations add up like independent ones: as the root of the sum of
# squares. The factors leave room for what the growth does not see: without the amplification; with
# it, where every step is factored on its own; and where several are factored together.
_SAFETY, _SAFETY_SINGLY, _SAFETY_TOGETHER = 32.0, 24.0, 48.0

# What was lost, and then amplified, at a few probed steps stands for all steps; these factors leave
# room for those that were not probed. `_AMPLIFIED` where every step is factored on its own, as the
# probed ones are; the other two where several are factored together: less of their growth is
# amplified, but it does not see what cancels between them. Chosen by experiment, on random chains
# of 27 families with up to 16 units (the default seed of benchmarks/bench_accuracy.py among them),
# so only another seed tests them.
_AMPLIFIED = 16.0
_AMPLIFIED_TOGETHER, _LOST_SINGLY = 0.16, 20.0

# Steps from which on the worst amplification matters more than the usual one. It is the inverse of
# an angle between directions, and small angles are as frequent as they are small: the worst of T
# steps grows like T, and so does the root of the sum of squares, not like the root of T. The number
# is from one chain of the grid, tanh of gain 0.9 with 8 units, whose error it covers.
_USUAL_STEPS = 50

# The same for the rounding of the Jacobians themselves, by comparison with float64 (GRU: 10 to 14).
_ROUNDED = 48.0


def allowed_growth(tolerance: float | None, steps: int) -> float:
    """Return the growth per factorization, over the root of its steps, that keeps the tolerance.

    0 without one: every step is factored on its own.
    """
    if tolerance is None:
        return 0.0
    # The other parts of the bound need room too.
    return 0.75 * tolerance / (_SAFETY_TOGETHER * _EPS * np.sqrt(max(steps, 1)))


def error_bound(
    logs: Float[np.ndarray, "*shape state"],
    growth: Float[np.ndarray, "*shape state"],
    resolved: Bool[np.ndarray, "*shape"],
    lags: Int[np.ndarray, "record"],
    amplification: Amplification | None = None,
    *,
    together: bool = False,
) -> Float[np.ndarray, "*shape state"]:
    """Return the bound on each log, from the growth of the factorizations of the run.

    Rounding amplified by every factorization, and from there until the end, added up as independent
    errors; the rounding of the logs themselves; LAPACK's share. inf where the record could not be
    resolved, and for zeros that may be due to cancellation. `amplification` is that of the last
    record and serves for all. `together`: several steps were factored at once.
    """
    worst = np.sqrt(np.max(growth, axis=-1, keepdims=True))
    size = np.where(np.isfinite(logs), np.abs(logs), 0)
    bound = _EPS * _lost(worst, lags, amplification, together) + 4 * _EPS * size + 3e-13
    bound = np.where(resolved[..., None], bound, np.inf)
    # An exact zero is exact as long as no pivot was lost to cancellation.
    exact = np.where(worst * _EPS < 1e-6, 0.0, np.inf)
    return np.where(np.isneginf(logs), exact, bound)


def rounding_of_jacobians(
    logs: Float[np.ndarray, "*shape state"],
    lags: Int[np.ndarray, "record"],
    amplification: Amplification | None,
    dtype,
) -> Float[np.ndarray, "*shape state"]:
    """Return the change of each log to be expected of entries of Jacobians rounded to `dtype`.

    Rounding an entry of J_t costs what rounding its product with the frame does.
    """
    if amplification is None:
        return np.zeros_like(logs)
    root = np.sqrt(lags)[:, None]
    change = _ROUNDED * np.finfo(dtype).eps * amplification.single[..., None, :] * root
    return np.where(np.isneginf(logs), 0.0, change)


def bound_of_single_steps(
    rounding: Float[np.ndarray, "*shape state"], lags: Int[np.ndarray, "record"], dtype
) -> float:
    """Return what remains of the largest bound if hardly any growth is allowed.

    `rounding` is from `rounding_of_jacobians`, which knows what was amplified.
    """
    singly = rounding * (_EPS / np.finfo(dtype).eps / _ROUNDED) * _LOST_SINGLY
    return float(np.max(singly * _tail(lags), initial=0.0))


def _lost(worst, lags, amplification, together):
    """Return the loss in units of eps."""
    if amplification is None:
        return _SAFETY * worst
    root = np.sqrt(lags)[:, None]
    tail = _tail(lags)
    ratio, single, triangle = (x[..., None, :] for x in amplification)
    if together:
        # Few probes, and losses that they do not see: every direction gets the worst.
        safety, (ratio, single) = _SAFETY_TOGETHER, map(_worst_direction, (ratio, single))
        singly = _LOST_SINGLY * single * root * tail
        amplified = np.maximum(_AMPLIFIED_TOGETHER * ratio * worst, singly)
    else:
        safety = _SAFETY_SINGLY
        amplified = _AMPLIFIED * np.maximum(ratio * worst, single * root) * tail
    return np.maximum(safety * worst, amplified) + triangle * root


def _worst_direction(x):
    return np.max(x, axis=-1, keepdims=True)


def _tail(lags):
    return np.maximum(lags / _USUAL_STEPS, 1)[:, None]
