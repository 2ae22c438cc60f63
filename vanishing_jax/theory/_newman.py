"""Lyapunov exponents of products of independent Gaussian (Ginibre) matrices."""

import numpy as np
from jaxtyping import Float64
from scipy.special import polygamma, psi


def ginibre_exponents(n: int, *, variance: float) -> Float64[np.ndarray, " state"]:
    """Return Newman's exact Lyapunov exponents of a product of real Ginibre matrices.

    For independent n x n matrices whose entries are independent N(0, s^2), the exponents are
    lambda_i = (log(2 s^2) + psi((n - i + 1) / 2)) / 2, with psi the digamma function: the mean log
    of independent chi variables with n, n - 1, ..., 1 degrees of freedom. Natural log per step,
    exact for every n. The law of a network at the start of training with fresh weights at each
    step; a recurrent network repeats its one matrix, and shares these exponents only as n grows.

    **Arguments:**

    - `n`: number of rows and columns, at least 1.
    - `variance`: s^2, the variance of one entry; 1/n makes E||J v||^2 = ||v||^2.

    **Returns:** the n exponents, descending, float64.

    **Raises:** `ValueError` when `n` < 1 or `variance` is not positive and finite.

    **Example:**

    >>> from vanishing_jax.theory import ginibre_exponents
    >>> ginibre_exponents(2, variance=1 / 2).round(6)
    array([-0.288608, -0.981755])

    ??? cite "Reference"

        ```bibtex
        @article{newman1986distribution,
          author  = {Newman, Charles M.},
          title   = {The distribution of {L}yapunov exponents: exact results for random matrices},
          journal = {Communications in Mathematical Physics},
          volume  = {103},
          pages   = {121--126},
          year    = {1986},
        }
        ```
    """
    if not 0 < variance < np.inf:
        raise ValueError(f"expected a positive, finite `variance` of the entries; got {variance}.")
    return (np.log(2 * variance) + psi(_degrees_of_freedom(n) / 2)) / 2


def ginibre_growth_variance(n: int) -> Float64[np.ndarray, " state"]:
    """Return the variance, per step, of the log growth along each direction of a Ginibre product.

    The QR factors R_t of a product of independent real Ginibre matrices have independent diagonals
    with R_ii ~ s chi(n - i + 1), so log R_ii has variance psi'((n - i + 1) / 2) / 4 whatever s is.
    After T independent steps the measured exponents scatter about `ginibre_exponents` with this
    variance over T, which makes a z-score out of a measurement. The first entry is also the
    variance per step of log||J_T...J_1 v|| for any fixed v.

    **Arguments:**

    - `n`: number of rows and columns, at least 1.

    **Returns:** the n variances in the order of `ginibre_exponents` (ascending), float64.

    **Raises:** `ValueError` when `n` < 1.

    **Example:**

    >>> from vanishing_jax.theory import ginibre_growth_variance
    >>> ginibre_growth_variance(2).round(6)
    array([0.411234, 1.233701])

    ??? cite "Reference"

        ```bibtex
        @article{forrester2013lyapunov,
          author  = {Forrester, Peter J.},
          title   = {Lyapunov exponents for products of complex {G}aussian random matrices},
          journal = {Journal of Statistical Physics},
          volume  = {151},
          pages   = {796--808},
          year    = {2013},
        }
        ```
    """
    return polygamma(1, _degrees_of_freedom(n) / 2) / 4


def _degrees_of_freedom(n: int) -> Float64[np.ndarray, " state"]:
    """Return n, n - 1, ..., 1: the chi degrees of freedom of the QR diagonal."""
    if n < 1:
        raise ValueError(f"expected a matrix size `n` of at least 1; got {n}.")
    return np.arange(n, 0, -1, dtype=np.float64)
