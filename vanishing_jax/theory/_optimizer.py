"""What optimizers do, and cannot do, about small gradients."""

import numpy as np
from jaxtyping import Float64


def adam_update_size(log_gradient: float, *, epsilon: float = 1e-8) -> float:
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
    if not epsilon >= 0 or np.isnan(log_gradient):
        raise ValueError(f"expected a number and `epsilon` >= 0; got {log_gradient}, {epsilon}.")
    if epsilon == 0:
        return 1.0
    return float(1 / (1 + np.exp(min(np.log(epsilon) - log_gradient, 700.0))))


def steps_until_stall(rate: float, *, log_gradient: float = 0.0, epsilon: float = 1e-8) -> float:
    """Return after how many lags a vanishing contribution alone is below Adam's epsilon.

    A parameter that only hears the loss through t steps gets a gradient of log |g| = start + rate
    t. Above epsilon Adam moves it at full speed however small g is, beyond it stalls: with the
    usual epsilon 40 steps at -0.46 nats per step, where plain SGD has long stopped.

    **Arguments:**

    - `rate`: nats per step; not negative: never.
    - `log_gradient`: log |g| at lag 0.
    - `epsilon`: Adam's, positive.

    **Returns:** the number of steps, inf for a rate >= 0.

    **Raises:** `ValueError` for an epsilon that is not positive.

    **Example:**

    >>> from vanishing_jax.theory import steps_until_stall
    >>> round(steps_until_stall(-0.46), 1)
    40.0
    """
    if not epsilon > 0:
        raise ValueError(f"expected a positive `epsilon`; got {epsilon}.")
    if rate >= 0:
        return float("inf")
    return float(max((np.log(epsilon) - log_gradient) / rate, 0.0))


def lag_shares(rate: float, steps: int) -> Float64[np.ndarray, " lag"]:
    """Return which share of a gradient comes from each lag, when contributions fall by a rate.

    The contribution of lag t to the gradient of shared weights is exp(rate t), so its share is
    exp(rate t) / sum_s exp(rate s). No positive factor on the whole gradient changes it: clipping
    by the global norm, Adam, RMSProp (per parameter) or a larger learning rate cannot make a
    network hear further back; only another Jacobian can.

    **Arguments:**

    - `rate`: nats per step, such as the top exponent.
    - `steps`: T: lags 0, ..., T - 1.

    **Returns:** the T shares, which sum to 1.

    **Raises:** `ValueError` for T < 1.

    **Example:**

    >>> import math
    >>> from vanishing_jax.theory import lag_shares
    >>> lag_shares(-math.log(2), 3).round(4)
    array([0.5714, 0.2857, 0.1429])
    """
    if steps < 1:
        raise ValueError(f"expected `steps` of at least 1; got {steps}.")
    logs = rate * np.arange(steps, dtype=np.float64)
    shares = np.exp(logs - logs.max())
    return shares / shares.sum()
