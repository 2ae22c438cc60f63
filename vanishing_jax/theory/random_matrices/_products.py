"""Exact growth along products of random matrices: exponents, and their variance per step.

Each is the law of the diagonal of the triangular factor of one step; steps are independent.
"""

from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy.special import gammaln, polygamma, psi, xlog1py, xlogy


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
    return (np.log(2 * variance / beta) + psi(_chi_freedom(n, beta) / 2)) / 2


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
    return polygamma(1, _chi_freedom(n, beta) / 2) / 4


def truncated_orthogonal_exponents(n: int, *, removed: int) -> Float64[np.ndarray, " state"]:
    """Return the exact Lyapunov exponents of a product of truncated orthogonal matrices.

    Each factor is the upper left n x n block of an independent orthogonal matrix of size n + m,
    uniform (Haar) on O(n + m). Its QR diagonal is independent with
    R_ii^2 ~ Beta((n - i + 1) / 2, m / 2), the same law at every step since the block times a fixed
    orthogonal matrix is distributed as the block: with psi the digamma function,
    lambda_i = (psi((n - i + 1) / 2) - psi((n + m - i + 1) / 2)) / 2 (Forrester 2015, cited by
    `ginibre_growth_variance`). Natural log per step, exact for every n and m. It models a state
    that is mixed without loss with m units which are then forgotten: no direction grows, and each
    shrinks by at least log(1 + m/n) / 2 per step.

    **Arguments:**

    - `n`: rows and columns that are kept, at least 1.
    - `removed`: m, the rows and columns cut off; 0 keeps an orthogonal matrix (exponents 0).

    **Returns:** the n exponents, descending, float64, none positive.

    **Raises:** `ValueError` when `n` < 1 or `removed` < 0.

    **Example:**

    >>> from vanishing_jax.theory.random_matrices import _products
    >>> _products.truncated_orthogonal_exponents(2, removed=2)  # psi(1) - psi(2) = -1
    array([-0.5, -1. ])

    ??? cite "Reference"

        ```bibtex
        @book{muirhead1982aspects,
          author    = {Muirhead, Robb J.},
          title     = {Aspects of Multivariate Statistical Theory},
          publisher = {Wiley},
          year      = {1982},
          note      = {Section 3.3: the triangular factor of a matrix Beta variable},
        }
        ```
    """
    kept, all_ = _beta_freedom(n, removed)
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

    >>> from vanishing_jax.theory.random_matrices import _products
    >>> _products.truncated_orthogonal_growth_variance(2, removed=2)  # psi'(1) - psi'(2) = 1
    array([0.25, 1.  ])
    """
    kept, all_ = _beta_freedom(n, removed)
    return (polygamma(1, kept / 2) - polygamma(1, all_ / 2)) / 4


def masked_ginibre_exponents(
    n: int, *, variance: float, active: float = 0.5
) -> Float64[np.ndarray, " state"]:
    """Return the exact Lyapunov exponents of products of diag(mask) W, given that they survive.

    W has independent N(0, s^2) entries and each row is active with probability p, independently and
    anew at every step. With B ~ Binomial(n, p) active rows, R_ii ~ s chi(B - i + 1): the i-th
    growth is lost for good at the first step with B < i. Entry i is the mean log growth per step of
    direction i *given that no step so far had B < i*,
    E[(log(2 s^2) + psi((B - i + 1) / 2)) / 2 | B >= i]; without that condition the exponent is
    -inf. The first entry is the mean of log ||J_t ... J_1 v|| - log ||J_{t-1} ... J_1 v|| for any
    fixed v that is still alive. The conditions of different entries differ, so that on one chain
    only those with B_t >= i for all t can be compared.

    With p = 1/2 this is the exact law of a ReLU network without biases and with fresh weights at
    every layer or step: sign(w . s) is independent of (w . v)^2 for symmetric w. A recurrent
    network repeats one W, and shares the law only approximately, as n grows.

    **Arguments:**

    - `n`: number of rows and columns, at least 1.
    - `variance`: s^2, the variance of one entry; 1/(n p) makes E||J v||^2 = ||v||^2 (He: 2/n).
    - `active`: p, the probability that a row is active, in (0, 1]; 1 gives `ginibre_exponents`.

    **Returns:** the n conditional exponents, descending, float64.

    **Raises:** `ValueError` when `n` < 1, `variance` is not positive and finite, or `active` is
    outside (0, 1].

    **Cost:** O(n^2).

    **Example:**

    >>> from vanishing_jax.theory.random_matrices import _products
    >>> _products.masked_ginibre_exponents(2, variance=1.0).round(6)  # chi(1) in 2 of 3 cases
    array([-0.404132, -0.635181])

    ??? cite "Reference"

        ```bibtex
        @article{hanin2020products,
          author  = {Hanin, Boris and Nica, Mihai},
          title   = {Products of many large random matrices and gradients in deep neural networks},
          journal = {Communications in Mathematical Physics},
          volume  = {376},
          pages   = {287--322},
          year    = {2020},
        }
        ```
    """
    if not 0 < variance < np.inf:
        raise ValueError(f"expected a positive, finite `variance` of the entries; got {variance}.")
    weights, freedom = _conditional_rows(n, active)
    return (np.log(2 * variance) + np.sum(weights * psi(freedom / 2), axis=1)) / 2


def masked_ginibre_growth_variance(n: int, *, active: float = 0.5) -> Float64[np.ndarray, " state"]:
    """Return the variance, per step, of the log growth along each direction that survives.

    Given B >= i, log R_ii has variance E[psi'((B - i + 1) / 2)] / 4 from the Gaussians plus
    Var[psi((B - i + 1) / 2)] / 4 from the number B of active rows. Steps are independent, so that
    exponents measured over T steps scatter about `masked_ginibre_exponents` with this variance over
    T; the first entry is also that of the log norm of one vector. Directions are not independent of
    each other: they share B.

    **Arguments:**

    - `n`: number of rows and columns, at least 1.
    - `active`: p, the probability that a row is active, in (0, 1].

    **Returns:** the n variances in the order of `masked_ginibre_exponents`, float64.

    **Raises:** `ValueError` when `n` < 1 or `active` is outside (0, 1].

    **Cost:** O(n^2).

    **Example:**

    >>> from vanishing_jax.theory.random_matrices import _products
    >>> _products.masked_ginibre_growth_variance(1, active=0.3).round(6)  # pi^2 / 8
    array([1.233701])
    """
    weights, freedom = _conditional_rows(n, active)
    mean = np.sum(weights * psi(freedom / 2), axis=1, keepdims=True)
    spread = np.sum(weights * (psi(freedom / 2) - mean) ** 2, axis=1)
    return (np.sum(weights * polygamma(1, freedom / 2), axis=1) + spread) / 4


def _chi_freedom(n: int, beta: int) -> Float64[np.ndarray, " state"]:
    """Return beta n, beta (n - 1), ..., beta: the chi degrees of freedom of the QR diagonal."""
    if n < 1:
        raise ValueError(f"expected a matrix size `n` of at least 1; got {n}.")
    if beta not in (1, 2):
        raise ValueError(f"expected `beta` 1 (real) or 2 (complex); got {beta}.")
    return beta * np.arange(n, 0, -1, dtype=np.float64)


def _beta_freedom(n: int, removed: int):
    """Return n - i + 1 and n + m - i + 1: of column i kept, and of all of it."""
    if n < 1 or removed < 0:
        raise ValueError(
            f"expected a block size `n` of at least 1 and `removed` of at least 0; got n={n}, "
            f"removed={removed}."
        )
    kept = np.arange(n, 0, -1, dtype=np.float64)
    return kept, kept + removed


def _conditional_rows(n: int, active: float) -> Any:
    """Return P(B = b | B >= i) and b - i + 1 (1 where b < i), rows i = 1..n, columns b = 1..n."""
    log_probability = _log_binomial(n, active)[1:]
    rows = np.arange(1, n + 1)
    alive = rows[None, :] >= rows[:, None]
    logs = np.where(alive, log_probability, -np.inf)
    # Relative to the largest: the condition B >= i may be improbable beyond the range of floats.
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    freedom = np.where(alive, rows[None, :] - rows[:, None] + 1, 1).astype(np.float64)
    return weights / weights.sum(axis=1, keepdims=True), freedom


def _log_binomial(n: int, active: float) -> Float64[np.ndarray, "rows"]:
    """Return log P(B = b) for b = 0..n."""
    if n < 1:
        raise ValueError(f"expected a matrix size `n` of at least 1; got {n}.")
    if not 0 < active <= 1:
        raise ValueError(f"expected a probability `active` in (0, 1]; got {active}.")
    b = np.arange(n + 1)
    choices = gammaln(n + 1) - gammaln(b + 1) - gammaln(n - b + 1)
    return choices + xlogy(b, active) + xlog1py(n - b, -active)
