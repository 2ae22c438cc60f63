"""How a perturbation grows along a chain of Jacobians."""

import numpy as np


def direction_growth(jacobians: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Return the log of the factor by which each Jacobian stretches what is left of a direction.

    **Arguments:**

    - `jacobians`: `time state state`.
    - `direction`: `state`.

    **Returns:** `time`; -inf from the step on that maps it to 0.
    """
    logs = np.full(len(jacobians), -np.inf)
    for t, jacobian in enumerate(jacobians):
        direction = jacobian @ direction
        norm = np.linalg.norm(direction)
        if norm == 0:
            break
        logs[t] = np.log(norm)
        direction = direction / norm
    return logs
