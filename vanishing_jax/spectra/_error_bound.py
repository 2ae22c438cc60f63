"""How far the computed logs may be from the exact ones, from what the run itself lost."""

import numpy as np
from jaxtyping import Bool, Float

_EPS = np.finfo(np.float64).eps

# Rounding errors of single factorizations add up like independent ones: as the root of the sum of
# squares. The factor leaves room for what the growth does not see (the worst of the random chains
# in the tests needs a good half of it); chains of repeated defective matrices, whose errors amplify
# each other over many steps, exceed any such bound.
_SAFETY = 32.0


def allowed_growth(tolerance: float | None, steps: int) -> float:
    """Return the growth per factorization, over the root of its steps, that keeps the tolerance.

    0 without one: every step is factored on its own.
    """
    if tolerance is None:
        return 0.0
    return tolerance / (_SAFETY * _EPS * np.sqrt(max(steps, 1)))


def error_bound(
    logs: Float[np.ndarray, "*shape state"],
    growth: Float[np.ndarray, "*shape state"],
    resolved: Bool[np.ndarray, "*shape"],
) -> Float[np.ndarray, "*shape state"]:
    """Return the bound on each log, from the growth of the factorizations of the run.

    Three parts: rounding amplified by every factorization, added up as independent errors; the
    rounding of the logs themselves; LAPACK's share at the end. inf where the record could not be
    resolved, and for zeros that may be due to cancellation.
    """
    worst = np.sqrt(np.max(growth, axis=-1, keepdims=True))
    size = np.where(np.isfinite(logs), np.abs(logs), 0)
    bound = _SAFETY * _EPS * worst + 4 * _EPS * size + 3e-13
    bound = np.where(resolved[..., None], bound, np.inf)
    # An exact zero is exact as long as no pivot was lost to cancellation.
    exact = np.where(worst * _EPS < 1e-6, 0.0, np.inf)
    return np.where(np.isneginf(logs), exact, bound)
