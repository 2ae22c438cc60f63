"""How far the computed logs may be from the exact ones, from what the run itself lost."""

import numpy as np
from jaxtyping import Bool, Float

_EPS = np.finfo(np.float64).eps

_SAFETY = 8.0


def allowed_growth(tolerance: float | None, n: int, steps: int) -> float:
    """Return the growth per step that keeps `error_bound` within the tolerance; 0 without one."""
    if tolerance is None:
        return 0.0
    return tolerance / (_SAFETY * _EPS * np.sqrt(max(steps, 1)))


def error_bound(
    logs: Float[np.ndarray, "*record state"],
    growth: Float[np.ndarray, "*record state"],
    resolved: Bool[np.ndarray, "*record"],
) -> Float[np.ndarray, "*record state"]:
    """Return the bound."""
    worst = np.sqrt(np.max(growth, axis=-1, keepdims=True))
    size = np.where(np.isfinite(logs), np.abs(logs), 0)
    bound = _SAFETY * _EPS * worst + 4 * _EPS * size + 3e-13
    bound = np.where(resolved[..., None], bound, np.inf)
    # An exact zero is exact as long as no pivot was lost to cancellation.
    exact = np.where(worst * _EPS < 1e-6, 0.0, np.inf)
    return np.where(np.isneginf(logs), exact, bound)
