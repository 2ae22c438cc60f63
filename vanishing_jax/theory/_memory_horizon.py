"""Steps over which a gradient survives an exponent."""

import math


def memory_horizon(exponent: float, *, remaining: float = 1e-3) -> float:
    """Return the number of steps after which a gradient has shrunk to the share `remaining`.

    ln(remaining)/exponent, for a norm that changes by the factor exp(exponent) per step. 1e-3 is
    what `vj.diagnose` calls the horizon; exp(-1) gives the decay time xi = -1/lambda_1.

    **Arguments:**

    - `exponent`: nats per step, as of `mean_field_exponent`.
    - `remaining`: between 0 and 1.

    **Returns:** steps; `inf` for an exponent >= 0, whose gradients do not vanish, `nan` for NaN.

    **Raises:** `ValueError` for `remaining` outside (0, 1).

    **Example:**

    >>> import math
    >>> from vanishing_jax.theory import memory_horizon
    >>> round(memory_horizon(-0.1, remaining=math.exp(-1)), 6)
    10.0
    """
    if not 0 < remaining < 1:
        raise ValueError(f"expected `remaining` between 0 and 1; got {remaining}.")
    return math.inf if exponent >= 0 else math.log(remaining) / exponent
