"""Lyapunov exponents of products of independent real or complex Gaussian (Ginibre) matrices."""

import numpy as np
from jaxtyping import Float64
from scipy.special import polygamma, psi


def ginibre_exponents(n: int, *, variance: float, beta: int = 1) -> Float64[np.ndarray, " state"]:
    """Return Newman's exact Lyapunov exponents of a product of Ginibre matrices.

    For independent n x n matrices of independent Gaussian entries with E|z|^2 = s^2, real
    (beta = 1) or complex (beta = 2), the exponents are
    lambda_i = (log(2 s^2 / beta) + psi(beta (n - i + 1) / 2)) / 2, with psi the digamma function:
    the mean log of s / sqrt(beta) times chi variables with beta n, ..., beta degrees of freedom.
    Natural log per step, exact for every n. The law of a network at the start of training with
    fresh weights at each step; a recurrent network repeats its one matrix, and shares these
    exponents only as n grows. Complex matrices written as real 2n x 2n ones [[Re, -Im], [Im, Re]]
    have each exponent twice.

    **Arguments:**

    - `n`: number of rows and columns, at least 1.
    - `variance`: s^2 = E|z|^2 of one entry; 1/n makes E||J v||^2 = ||v||^2.
    - `beta`: real dimensions of an entry: 1 (real, the default) or 2 (complex).

    **Returns:** the n exponents, descending, float64.

    **Raises:** `ValueError` when `n` < 1, `beta` is neither 1 nor 2, or `variance` is not positive
    and finite.

    **Example:**

    >>> from vanishing_jax.theory import ginibre_exponents
    >>> ginibre_exponents(2, variance=1 / 2).round(6)
    array([-0.288608, -0.981755])
    >>> ginibre_exponents(2, variance=1 / 2, beta=2).round(6)
    array([-0.135181, -0.635181])

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
    if not 0 < variance < np.inf:
        raise ValueError(f"expected a positive, finite `variance` of the entries; got {variance}.")
    return (np.log(2 * variance / beta) + psi(_degrees_of_freedom(n, beta) / 2)) / 2


def ginibre_growth_variance(n: int, *, beta: int = 1) -> Float64[np.ndarray, " state"]:
    """Return the variance, per step, of the log growth along each direction of a Ginibre product.

    The QR factors R_t of a product of independent Ginibre matrices have independent diagonals with
    R_ii ~ s chi(beta (n - i + 1)) / sqrt(beta), so log R_ii has variance
    psi'(beta (n - i + 1) / 2) / 4 whatever s is. After T independent steps the measured exponents
    scatter about `ginibre_exponents` with this variance over T, which makes a z-score out of a
    measurement. The first entry is also the variance per step of log||J_T...J_1 v||, v fixed.

    **Arguments:**

    - `n`: number of rows and columns, at least 1.
    - `beta`: 1 for real matrices (the default), 2 for complex ones.

    **Returns:** the n variances in the order of `ginibre_exponents` (ascending), float64.

    **Raises:** `ValueError` when `n` < 1 or `beta` is neither 1 nor 2.

    **Example:**

    >>> from vanishing_jax.theory import ginibre_growth_variance
    >>> ginibre_growth_variance(2).round(6)
    array([0.411234, 1.233701])

    ??? cite "Reference"

        ```bibtex
        @article{forrester2015asymptotics,
          author  = {Forrester, Peter J.},
          title   = {Asymptotics of finite system {L}yapunov exponents for some random matrix
                     ensembles},
          journal = {Journal of Physics A: Mathematical and Theoretical},
          volume  = {48},
          pages   = {215205},
          year    = {2015},
        }
        ```
    """
    return polygamma(1, _degrees_of_freedom(n, beta) / 2) / 4


def _degrees_of_freedom(n: int, beta: int) -> Float64[np.ndarray, " state"]:
    """Return beta n, beta (n - 1), ..., beta: the chi degrees of freedom of the QR diagonal."""
    if n < 1:
        raise ValueError(f"expected a matrix size `n` of at least 1; got {n}.")
    if beta not in (1, 2):
        raise ValueError(f"expected `beta` 1 (real) or 2 (complex); got {beta}.")
    return beta * np.arange(n, 0, -1, dtype=np.float64)
