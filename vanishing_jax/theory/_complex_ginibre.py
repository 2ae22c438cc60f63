"""Lyapunov exponents of products of independent complex Gaussian (Ginibre) matrices."""

import numpy as np
from jaxtyping import Float64
from scipy.special import polygamma, psi


def complex_ginibre_exponents(n: int, *, variance: float) -> Float64[np.ndarray, " state"]:
    """Return the exact Lyapunov exponents of a product of complex Ginibre matrices.

    For independent n x n matrices whose entries are independent complex Gaussians with E|z|^2 = s^2
    (s^2/2 for the real and for the imaginary part), lambda_i = (log(s^2) + psi(n - i + 1)) / 2,
    with psi the digamma function: the mean log of R_ii, where R_ii^2 ~ s^2 Gamma(n - i + 1).
    Natural log per step, exact for every n. Written as real 2n x 2n matrices [[Re, -Im], [Im, Re]],
    the product has each exponent twice.

    **Arguments:**

    - `n`: number of rows and columns, at least 1.
    - `variance`: s^2 = E|z|^2 of one entry; 1/n makes E||J v||^2 = ||v||^2.

    **Returns:** the n exponents, descending, float64.

    **Raises:** `ValueError` when `n` < 1 or `variance` is not positive and finite.

    **Example:**

    >>> from vanishing_jax.theory import complex_ginibre_exponents
    >>> complex_ginibre_exponents(2, variance=1 / 2).round(6)
    array([-0.135181, -0.635181])

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
    if not 0 < variance < np.inf:
        raise ValueError(f"expected a positive, finite `variance` of the entries; got {variance}.")
    return (np.log(variance) + psi(_shapes(n))) / 2


def complex_ginibre_growth_variance(n: int) -> Float64[np.ndarray, " state"]:
    """Return the variance, per step, of the log growth along each direction of such a product.

    The diagonals of the QR factors of a product of independent complex Ginibre matrices are
    independent, R_ii^2 ~ s^2 Gamma(n - i + 1), so log R_ii has variance psi'(n - i + 1) / 4
    whatever s is, half of that of real matrices or less. After T steps the measured exponents
    scatter about `complex_ginibre_exponents` with this variance over T.

    **Arguments:**

    - `n`: number of rows and columns, at least 1.

    **Returns:** the n variances in the order of `complex_ginibre_exponents` (ascending), float64.

    **Raises:** `ValueError` when `n` < 1.

    **Example:**

    >>> from vanishing_jax.theory import complex_ginibre_growth_variance
    >>> complex_ginibre_growth_variance(2).round(6)
    array([0.161234, 0.411234])

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
    return polygamma(1, _shapes(n)) / 4


def _shapes(n: int) -> Float64[np.ndarray, " state"]:
    """Return n, n - 1, ..., 1: the shapes of the Gamma variables R_ii^2."""
    if n < 1:
        raise ValueError(f"expected a matrix size `n` of at least 1; got {n}.")
    return np.arange(n, 0, -1, dtype=np.float64)
