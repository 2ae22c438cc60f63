"""The curse of memory: a state that remembers long reacts violently to its own parameter."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from .._types import Array


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
