"""How far a gradient reaches, and what Adam does about a small one."""

from typing import Any

import numpy as np
from scipy.special import expit

from .._types import ArrayLike
from ._scalars import as_given


def memory_horizon(exponent: ArrayLike | float, *, remaining: float = 1e-3) -> Any:
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
    rate = np.asarray(exponent, np.float64)
    with np.errstate(divide="ignore"):
        return as_given(np.where(rate >= 0, np.inf, np.log(remaining) / rate))


def adam_update_size(log_gradient: ArrayLike | float, *, epsilon: float = 1e-8) -> Any:
    r"""Return the size of Adam's update under a constant gradient, in units of the learning rate.

    Bias-corrected moments of a constant gradient are g and g^2 from the first step on, so the
    update is |g| / (|g| + epsilon): 1 whatever g is, until |g| comes down to epsilon, below which
    Adam stalls as SGD does. At |g| = 1e-10 and the usual epsilon a hundredth is left. Rescaling
    acts on the sum over time of the gradient: the share of early steps in it stays what it was.

    **Arguments:**

    - `log_gradient`: log |g|, natural; logs, because vanished gradients are below all floats.
    - `epsilon`: Adam's; 1e-8 by default.

    **Returns:** |update| / learning rate, in [0, 1].

    **Raises:** `ValueError` for a negative epsilon or NaN.

    **Example:**

    >>> import math
    >>> from vanishing_jax.theory import adam_update_size
    >>> [round(adam_update_size(math.log(g)), 4) for g in (1.0, 1e-8, 1e-10)]
    [1.0, 0.5, 0.0099]

    ??? cite "Reference"

        ```bibtex
        @inproceedings{kingma2015adam,
          author    = {Kingma, Diederik P. and Ba, Jimmy},
          title     = {Adam: a method for stochastic optimization},
          booktitle = {International Conference on Learning Representations},
          year      = {2015},
        }
        ```
    """
    if not epsilon >= 0 or np.isnan(log_gradient).any():
        raise ValueError(f"expected a number and `epsilon` >= 0; got {log_gradient}, {epsilon}.")
    log_epsilon = np.log(epsilon) if epsilon > 0 else -np.inf
    return as_given(expit(np.asarray(log_gradient, np.float64) - log_epsilon))
