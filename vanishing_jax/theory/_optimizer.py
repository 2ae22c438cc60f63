"""What Adam does about small gradients."""

import numpy as np


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
