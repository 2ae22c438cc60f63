"""How much a gate keeps of what it was given."""

import numpy as np
from scipy.special import log_expit


def gate_log_retention(bias: float, *, steps: int) -> float:
    """Return log of the share sigma(b)^t that a gate with this bias keeps over t steps.

    d c_t / d c_0 along the cell state of an LSTM with frozen gates, the same for the backward
    signal. In logs, because sigma(0)^t = 2^-t is below float32 from t = 127.

    **Arguments:**

    - `bias`: b, of the gate that keeps.
    - `steps`: t, at least 0.

    **Returns:** the natural log, at most 0.

    **Raises:** `ValueError` for a bias that is not finite or a negative number of steps.

    **Example:**

    >>> from vanishing_jax.theory import gate_log_retention
    >>> round(gate_log_retention(3.0, steps=100), 4)
    -4.8587
    """
    if not np.isfinite(bias) or steps < 0:
        raise ValueError(f"expected a finite `bias` and `steps` >= 0; got {bias}, {steps}.")
    return float(steps * log_expit(np.float64(bias)))
