"""Lyapunov exponents of products of blocks cut out of random orthogonal matrices."""

import numpy as np
from jaxtyping import Float64
from scipy.special import polygamma, psi


def truncated_orthogonal_exponents(n: int, *, removed: int) -> Float64[np.ndarray, " state"]:
    """Return the exact Lyapunov exponents of a product of truncated orthogonal matrices.

    Each factor is the upper left n x n block of an independent orthogonal matrix of size n + m,
    uniform (Haar) on O(n + m). Its QR diagonal is independent with
    R_ii^2 ~ Beta((n - i + 1) / 2, m / 2), the same law at every step since the block times a fixed
    orthogonal matrix is distributed as the block: with psi the digamma function,
    lambda_i = (psi((n - i + 1) / 2) - psi((n + m - i + 1) / 2)) / 2. Natural log per step, exact
    for every n and m. It models a state that is mixed without loss with m units which are then
    forgotten: no direction grows, and each shrinks by at least log(1 + m/n) / 2 per step.

    **Arguments:**

    - `n`: rows and columns that are kept, at least 1.
    - `removed`: m, the rows and columns cut off; 0 keeps an orthogonal matrix (exponents 0).

    **Returns:** the n exponents, descending, float64, none positive.

    **Raises:** `ValueError` when `n` < 1 or `removed` < 0.

    **Example:**

    >>> from vanishing_jax.theory._truncated_orthogonal import truncated_orthogonal_exponents
    >>> truncated_orthogonal_exponents(2, removed=2)  # psi(1) - psi(2) = -1
    array([-0.5, -1. ])

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
        @book{muirhead1982aspects,
          author    = {Muirhead, Robb J.},
          title     = {Aspects of Multivariate Statistical Theory},
          publisher = {Wiley},
          year      = {1982},
          note      = {Section 3.3: the triangular factor of a matrix Beta variable},
        }
        ```
    """
    kept, all_ = _degrees_of_freedom(n, removed)
    return (psi(kept / 2) - psi(all_ / 2)) / 2


def truncated_orthogonal_growth_variance(n: int, *, removed: int) -> Float64[np.ndarray, " state"]:
    """Return the variance, per step, of the log growth along each direction of such a product.

    That of half the log of a Beta((n - i + 1) / 2, m / 2) variable:
    (psi'((n - i + 1) / 2) - psi'((n + m - i + 1) / 2)) / 4. Steps and directions are independent,
    so that exponents measured over T steps scatter about `truncated_orthogonal_exponents` with this
    variance over T.

    **Arguments:**

    - `n`: rows and columns that are kept, at least 1.
    - `removed`: m, the rows and columns cut off.

    **Returns:** the n variances in the order of `truncated_orthogonal_exponents` (ascending).

    **Raises:** `ValueError` when `n` < 1 or `removed` < 0.

    **Example:**

    >>> from vanishing_jax.theory._truncated_orthogonal import truncated_orthogonal_growth_variance
    >>> truncated_orthogonal_growth_variance(2, removed=2)  # psi'(1) - psi'(2) = 1
    array([0.25, 1.  ])
    """
    kept, all_ = _degrees_of_freedom(n, removed)
    return (polygamma(1, kept / 2) - polygamma(1, all_ / 2)) / 4


def _degrees_of_freedom(n: int, removed: int):
    """Return n - i + 1 and n + m - i + 1: of column i kept, and of all of it."""
    if n < 1 or removed < 0:
        raise ValueError(
            f"expected a block size `n` of at least 1 and `removed` of at least 0; got n={n}, "
            f"removed={removed}."
        )
    kept = np.arange(n, 0, -1, dtype=np.float64)
    return kept, kept + removed
