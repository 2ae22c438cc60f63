"""How far the computed logs may be from the exact ones, from what the run itself lost."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from ._amplification import Amplification
from ._rounding_cost import RoundingCost

_EPS = np.finfo(np.float64).eps

# Rounding errors of single factorizations add up like independent ones: as the root of the sum of
# squares. The factors leave room for what the growth does not see: without the amplification; with
# it, where every step is factored on its own; and where several are factored together.
_SAFETY, _SAFETY_SINGLY, _SAFETY_TOGETHER = 32.0, 24.0, 48.0

# What was amplified is seen in two ways. At a few probed steps exactly, for each direction: these
# stand for all steps (`_AMPLIFIED` where every step is factored on its own, as the probed ones are;
# the other two where several are factored together: less of their growth is amplified, but it does
# not see what cancels between them). And block by block along the whole walk, as far as the blocks'
# triangles show it (`Records.amplified`, its factors in `_engine`): hardly ever less than what
# happened, but much more for strongly graded chains, so no more than `_OVERLOOKED` times what the
# probes say (together: with the factors that follow it, or times the growth, for one plain step
# among exact ones is not probed).
# Chosen by experiment, on the grid and on random chains of 27 families (the seeds 51 to 53 and 71
# of benchmarks/bench_accuracy.py), so only another seed tests them.
_AMPLIFIED, _OVERLOOKED = 10.0, 64.0
_AMPLIFIED_TOGETHER, _LOST_SINGLY = 0.04, 320.0
_OVERLOOKED_TOGETHER, _OVERLOOKED_SINGLY, _OVERLOOKED_PLAIN = 64 * 0.16, 64 * 40.0, 6 * 48.0

# With every step looked at, for each direction, nothing is left to guess but chance: errors are up
# to 3 times their first-order deviation (seeds 51 to 53 and 81 of benchmarks/bench_sharp_bound.py
# and its larger chains).
_SHARP = 12.0

# Relative error of a pivot up to which first-order errors mean something.
_FIRST_ORDER = 1e-3

# LAPACK's share, and that of the last steps.
_FLOOR = 3e-13

# From here on the first-order estimates under the bound mean nothing, in nats.
_LARGEST = 0.1

# The same for the rounding of the Jacobians themselves, by comparison with float64 (GRU: 10 to 14).
_ROUNDED = 48.0


class Recorded(NamedTuple):
    """`_engine.Records` on the host."""

    logs: Float[np.ndarray, "*batch record state"]
    growth: Float[np.ndarray, "*batch record state"]
    resolved: Bool[np.ndarray, "*batch record"]
    amplified: Float[np.ndarray, "*batch record"]


def allowed_growth(tolerance: float | None, steps: int) -> float:
    """Return the growth per factorization, over the root of its steps, that keeps the tolerance.

    0 without one: every step is factored on its own.
    """
    if tolerance is None:
        return 0.0
    # The other parts of the bound need room too.
    return 0.75 * tolerance / (_SAFETY_TOGETHER * _EPS * np.sqrt(max(steps, 1)))


def error_bound(
    records: Recorded,
    lags: Int[np.ndarray, "record"],
    amplification: Amplification | None = None,
    *,
    together: bool = False,
) -> Float[np.ndarray, "*batch record state"]:
    """Return the bound on each log, from the growth of the factorizations of the run.

    Rounding amplified by every factorization, and from there until the end, added up as independent
    errors; the rounding of the logs themselves; LAPACK's share. inf where that is no small number,
    where the record could not be resolved, and for zeros that may be due to cancellation.
    `amplification` is that of the last record and serves for all. `together`: several steps were
    factored at once.
    """
    logs = records.logs
    worst = np.sqrt(np.max(records.growth, axis=-1, keepdims=True))
    size = np.where(np.isfinite(logs), np.abs(logs), 0)
    lost = _lost(worst, records.amplified[..., None], lags, amplification, together)
    bound = _EPS * lost + 4 * _EPS * size + _FLOOR
    bound = np.where(records.resolved[..., None] & (bound < _LARGEST), bound, np.inf)
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


def sharp_error_bound(found: RoundingCost) -> Float[np.ndarray, "*batch state"]:
    """Return the bound on each log from what rounding cost at every step (`_rounding_cost`).

    The first-order error of independent roundings, the rounding of the logs, LAPACK's share. inf as
    in `error_bound`, and everywhere where a pivot was nearly lost to cancellation.
    """
    size = np.where(np.isfinite(found.logs), np.abs(found.logs), 0)
    growth = found.growth[..., None]
    bound = _SHARP * _EPS * (found.cost + found.triangle) + 4 * _EPS * size + _FLOOR
    known = found.resolved[..., None] & (growth * _EPS < _FIRST_ORDER)
    bound = np.where(known & (bound < _LARGEST), bound, np.inf)
    return np.where(np.isneginf(found.logs), np.where(growth * _EPS < 1e-6, 0.0, np.inf), bound)


def sharp_rounding_of_jacobians(found: RoundingCost, dtype) -> Float[np.ndarray, "*batch state"]:
    """Return `rounding_of_jacobians` from every step."""
    change = _ROUNDED * np.finfo(dtype).eps * found.cost
    return np.where(np.isneginf(found.logs), 0.0, change)


def bound_of_single_steps(
    rounding: Float[np.ndarray, "*shape state"], lags: Int[np.ndarray, "record"], dtype
) -> float:
    """Return what remains of the largest bound if hardly any growth is allowed.

    `rounding` is from `rounding_of_jacobians`, which knows what was amplified.
    """
    singly = rounding * (_EPS / np.finfo(dtype).eps / _ROUNDED) * _LOST_SINGLY
    return float(np.max(singly, initial=0.0))


def _lost(worst, amplified, lags, amplification, together):
    """Return the loss in units of eps."""
    if amplification is None:
        return _SAFETY * worst
    root = np.sqrt(lags)[:, None]
    ratio, single, triangle = (x[..., None, :] for x in amplification)
    if together:
        # Few probes, and losses that they do not see: every direction gets the worst.
        safety = _SAFETY_TOGETHER
        ratio, single = _worst_direction(ratio) * worst, _worst_direction(single) * root
        probed = np.maximum(_AMPLIFIED_TOGETHER * ratio, _LOST_SINGLY * single)
        most = np.maximum(_OVERLOOKED_TOGETHER * ratio, _OVERLOOKED_SINGLY * single)
        most = np.maximum(most, _OVERLOOKED_PLAIN * worst)
    else:
        safety, probed = _SAFETY_SINGLY, _AMPLIFIED * np.maximum(ratio * worst, single * root)
        most = _OVERLOOKED * probed
    amplified = np.maximum(probed, np.minimum(amplified, most))
    return np.maximum(safety * worst, amplified) + triangle * root


def _worst_direction(x):
    return np.max(x, axis=-1, keepdims=True)
