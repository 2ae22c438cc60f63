"""What a gate keeps, and what it costs a state to remember long."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import log_expit

from ..._types import Array, ArrayLike
from .._scalars import as_given


class MemorySensitivity(NamedTuple):
    """Of h' = lambda h + x under stationary input; made by `memory_sensitivity`.

    - `state_variance`: E h^2.
    - `sensitivity`: E (dh / d lambda)^2.
    - `normalized`: the same for h scaled to unit variance by sqrt(1 - lambda^2), as an LRU does:
      `sensitivity` times (1 - lambda^2), the scale itself held fixed.
    """

    state_variance: float
    sensitivity: float
    normalized: float


def gate_log_retention(bias: ArrayLike | float, *, steps: int) -> Any:
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
    if not np.isfinite(bias).all() or steps < 0:
        raise ValueError(f"expected a finite `bias` and `steps` >= 0; got {bias}, {steps}.")
    return as_given(steps * log_expit(np.asarray(bias, np.float64)))


def memory_sensitivity(
    eigenvalue: float, autocovariance: Float[Array | np.ndarray, " lag"]
) -> MemorySensitivity:
    r"""Return how strongly a linear memory h' = lambda h + x reacts to a change of lambda.

    For stationary input of zero mean with R(d) = E x_t x_{t+d}, and l = lambda:

    E h^2 = (R(0) + 2 sum_d l^d R(d)) / (1 - l^2),

    E (dh/dl)^2 = (1 + l^2) / (1 - l^2)^3 (R(0) + 2 sum_d l^d R(d))
    + 2 / (1 - l^2)^2 sum_d d l^d R(d).

    As |lambda| -> 1 the gradient along the state, dh'/dh = lambda, is cured of vanishing, while
    dh/dlambda explodes like (1 - l^2)^-3 for white input and faster for correlated input: long
    memory makes the loss landscape rough even where no gradient explodes (Zucchet & Orvieto 2024).
    Normalizing the state takes one of the three powers away, the parametrization by
    exp(-exp(nu)) another two.

    **Arguments:**

    - `eigenvalue`: lambda, real, |lambda| < 1.
    - `autocovariance`: R(0), R(1), ..., as far as they are not 0; white input is [variance].

    **Returns:** a `MemorySensitivity`.

    **Raises:** `ValueError` for |lambda| >= 1 or no R(0).

    **Example:**

    >>> import numpy as np
    >>> from vanishing_jax.theory import memory_sensitivity
    >>> law = memory_sensitivity(0.9, np.array([1.0]))
    >>> round(law.state_variance, 4), round(law.sensitivity, 4)
    (5.2632, 263.8869)

    ??? cite "Reference"

        ```bibtex
        @inproceedings{zucchet2024recurrent,
          author    = {Zucchet, Nicolas and Orvieto, Antonio},
          title     = {Recurrent neural networks: vanishing and exploding gradients are not the end
                       of the story},
          booktitle = {Advances in Neural Information Processing Systems},
          year      = {2024},
        }
        ```
    """
    R = np.asarray(autocovariance, np.float64)
    if not abs(eigenvalue) < 1:
        raise ValueError(f"expected |eigenvalue| < 1; got {eigenvalue}.")
    if R.ndim != 1 or R.size == 0:
        raise ValueError(f"expected `autocovariance` [R(0), R(1), ...]; got shape {R.shape}.")
    d, gap = np.arange(R.size), (1 - eigenvalue) * (1 + eigenvalue)
    powers = np.float64(eigenvalue) ** d * R
    spectrum = 2 * powers.sum() - R[0]
    state = spectrum / gap
    sensitivity = (1 + eigenvalue**2) / gap**3 * spectrum + 2 / gap**2 * np.sum(d * powers)
    return MemorySensitivity(float(state), float(sensitivity), float(sensitivity * gap))
