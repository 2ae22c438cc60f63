"""Exact law of the growth of one vector under random matrices: the mean is not the typical case."""

from typing import NamedTuple

import numpy as np
from scipy.special import gammaln, polygamma, psi


class VectorGrowth(NamedTuple):
    """Law of X = log ||J_T ... J_1 v|| - log ||v||; made by `ginibre_vector_growth`.

    - `mean`, `variance`: of X; exp(mean) is the typical (geometric mean) growth.
    - `log_mean_square`: log E[exp(2 X)], of the mean squared norm.
    - `typical_share`: exp(2 mean - log_mean_square), what the typical squared growth is of the mean
      one; tends to 0 with T, because the mean is made by rarer and rarer outliers.
    """

    mean: float
    variance: float
    log_mean_square: float
    typical_share: float


def ginibre_vector_growth(n: int, *, steps: int, variance: float) -> VectorGrowth:
    """Return the exact law of how a product of T real Ginibre matrices stretches one vector.

    With independent N(0, s^2) entries, the T ratios ||J_t u|| / ||u|| are independent s chi(n)
    variables whatever u is, so log ||J_T ... J_1 v|| - log ||v|| has exactly the mean
    T (log(2 s^2) + psi(n/2)) / 2 and the variance T psi'(n/2) / 4, while the mean square is
    (n s^2)^T: at s^2 = 1/n it is kept on average, and the typical vector shrinks by 1/(2 n) per
    step. A gradient is one vector, so its norm on one seed is a draw from this law; averages of
    squared norms over seeds measure the other number. Fresh weights at each step, as in a deep
    network at initialization; a recurrent network repeats one matrix.

    **Arguments:**

    - `n`: number of rows and columns, at least 1.
    - `steps`: T, at least 0.
    - `variance`: s^2, of one entry.

    **Returns:** a `VectorGrowth`.

    **Raises:** `ValueError` for sizes out of range or a variance that is not positive and finite.

    **Example:**

    >>> from vanishing_jax.theory import ginibre_vector_growth
    >>> law = ginibre_vector_growth(8, steps=100, variance=1 / 8)
    >>> round(law.mean, 3), round(law.variance, 3), law.log_mean_square
    (-6.509, 7.096, 0.0)

    ??? cite "Reference"

        ```bibtex
        @article{cohen1984stability,
          author  = {Cohen, Joel E. and Newman, Charles M.},
          title   = {The stability of large random matrices and their products},
          journal = {Annals of Probability},
          volume  = {12},
          pages   = {283--310},
          year    = {1984},
        }
        ```
    """
    _check(n, steps, variance)
    mean = steps * (np.log(2 * variance) + psi(n / 2)) / 2
    log_square = steps * np.log(n * variance)
    share = np.exp(2 * mean - log_square)
    spread = steps * polygamma(1, n / 2) / 4
    return VectorGrowth(float(mean), float(spread), float(log_square), float(share))


def ginibre_log_moment(n: int, *, steps: int, variance: float, order: float) -> float:
    """Return log E[(||J_T ... J_1 v|| / ||v||)^k] of a product of T real Ginibre matrices.

    The k-th moment of s chi(n) is s^k 2^(k/2) Gamma((n + k)/2) / Gamma(n/2), and the steps are
    independent. Divided by k T it rises from the Lyapunov exponent (k -> 0) with k: high moments,
    and so means of squared norms or of losses, hear the rare explosions.

    **Arguments:**

    - `n`, `steps`, `variance`: as in `ginibre_vector_growth`.
    - `order`: k, any real number above -n.

    **Returns:** the natural log of the moment.

    **Raises:** `ValueError` as `ginibre_vector_growth`, and for an order of -n or less, whose
    moment is infinite.

    **Example:**

    >>> from vanishing_jax.theory import ginibre_log_moment
    >>> round(ginibre_log_moment(2, steps=10, variance=0.5, order=4.0), 6)  # 10 log 2
    6.931472
    """
    _check(n, steps, variance)
    if not -n < order < np.inf:
        raise ValueError(f"expected a finite `order` above -n = {-n}; got {order}.")
    one = order / 2 * np.log(2 * variance) + gammaln((n + order) / 2) - gammaln(n / 2)
    return float(steps * one)


def _check(n: int, steps: int, variance: float) -> None:
    if n < 1 or steps < 0:
        raise ValueError(f"expected `n` of at least 1 and `steps` of at least 0; got {n}, {steps}.")
    if not 0 < variance < np.inf:
        raise ValueError(f"expected a positive, finite `variance` of the entries; got {variance}.")
