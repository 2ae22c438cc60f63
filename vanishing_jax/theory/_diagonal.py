"""Exponents of recurrences that mix no units: linear recurrent units and independent ReLUs."""

import numpy as np
from jaxtyping import Float64
from scipy.special import xlogy


def ring_exponents(n: int, *, smallest: float, largest: float) -> Float64[np.ndarray, " state"]:
    r"""Return the exponents log |lambda| of eigenvalues uniform on a ring, as n quantiles.

    A linear recurrent unit (LRU) starts with |lambda|^2 uniform between r_min^2 and r_max^2, which
    makes lambda uniform in area. Its recurrence is diagonal, so exponents and log singular values
    per step are exactly log |lambda_i|: all in [log r_min, log r_max] at every T. With r_min = 0
    and r_max = 1 it is the circular law of a Gaussian matrix; the ring 0.9 to 0.999 loses 18 times
    less per step on average.

    **Arguments:**

    - `n`: how many quantiles, at least 1.
    - `smallest`, `largest`: r_min and r_max, 0 <= r_min < r_max.

    **Returns:** the quantiles at the middles of n equal steps of probability, descending.

    **Raises:** `ValueError` for radii out of order or n < 1.

    **Example:**

    >>> from vanishing_jax.theory import ring_exponents
    >>> ring_exponents(2, smallest=0.9, largest=0.999).round(4)
    array([-0.0251, -0.0772])

    ??? cite "Reference"

        ```bibtex
        @inproceedings{orvieto2023resurrecting,
          author    = {Orvieto, Antonio and Smith, Samuel L. and Gu, Albert and Fernando, Anushan
                       and Gulcehre, Caglar and Pascanu, Razvan and De, Soham},
          title     = {Resurrecting recurrent neural networks for long sequences},
          booktitle = {International Conference on Machine Learning},
          year      = {2023},
        }
        ```
    """
    if n < 1:
        raise ValueError(f"expected a number of quantiles `n` of at least 1; got {n}.")
    _check_ring(smallest, largest)
    share = (np.arange(n, 0, -1) - 0.5) / n
    return np.log(smallest**2 + share * (largest**2 - smallest**2)) / 2


def ring_mean_exponent(*, smallest: float, largest: float) -> float:
    r"""Return the mean exponent of eigenvalues uniform on a ring.

    With a = r_min^2 and b = r_max^2 it is ((b log b - a log a) / (b - a) - 1) / 2.

    **Arguments:**

    - `smallest`, `largest`: r_min and r_max, 0 <= r_min < r_max.

    **Returns:** the mean over units, nats per step.

    **Raises:** `ValueError` for radii out of order.

    **Example:**

    >>> from vanishing_jax.theory import ring_mean_exponent
    >>> ring_mean_exponent(smallest=0.0, largest=1.0)
    -0.5
    """
    _check_ring(smallest, largest)
    a, b = smallest**2, largest**2
    return float(((xlogy(b, b) - xlogy(a, a)) / (b - a) - 1) / 2)


def independent_weight_bound(steps: int, *, growth: float = 2.0) -> float:
    """Return the largest |u| with which no gradient of an IndRNN grows beyond `growth`.

    In h' = relu(W x + u * h + b) the Jacobian is diag(phi' u) with phi' in {0, 1}, so every
    gradient over T steps is at most |u|^T: at most `growth` for |u| <= growth^(1/T). A unit that is
    active at every step reaches it exactly; one that sleeps once passes nothing on. The bound on
    the lower side, (tolerated loss)^(1/T), keeps a unit's memory alive while it is active.

    **Arguments:**

    - `steps`: T, at least 1.
    - `growth`: the tolerated factor, positive; below 1 a tolerated loss. 2 by default.

    **Returns:** growth^(1/T).

    **Raises:** `ValueError` for a number of steps or a growth out of range.

    **Example:**

    >>> from vanishing_jax.theory import independent_weight_bound
    >>> round(independent_weight_bound(784), 9)
    1.000884507

    ??? cite "Reference"

        ```bibtex
        @inproceedings{li2018independently,
          author    = {Li, Shuai and Li, Wanqing and Cook, Chris and Zhu, Ce and Gao, Yanbo},
          title     = {Independently recurrent neural network ({IndRNN}): building a longer and
                       deeper {RNN}},
          booktitle = {CVPR},
          year      = {2018},
        }
        ```
    """
    if steps < 1 or not 0 < growth < np.inf:
        raise ValueError(
            "expected `steps` of at least 1 and a positive, finite `growth`; got "
            f"{steps} and {growth}."
        )
    return float(np.exp(np.log(growth) / steps))


def _check_ring(smallest: float, largest: float) -> None:
    if not 0 <= smallest < largest < np.inf:
        raise ValueError(f"expected 0 <= smallest < largest; got {smallest} and {largest}.")
