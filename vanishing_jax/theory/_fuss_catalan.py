"""Singular values of products of a fixed number of large Gaussian matrices (Fuss-Catalan law)."""

import math

import numpy as np
from jaxtyping import Float64


def fuss_catalan_moments(factors: int, *, count: int) -> Float64[np.ndarray, " moments"]:
    """Return the mean powers of the squared singular values of a product of large matrices.

    For M independent n x n matrices with entries of variance 1/n, and n -> infinity, the mean of
    sigma^(2 k) is m_k = C((M + 1) k, k) / (M k + 1): the Fuss-Catalan numbers. m_1 = 1 at every M
    (the mean square is kept) and m_2 = M + 1: the spread grows with the depth. The M-th power of
    one matrix has the same limit.

    **Arguments:**

    - `factors`: M, at least 1.
    - `count`: how many moments, at least 1.

    **Returns:** m_1, ..., m_count, float64.

    **Raises:** `ValueError` for numbers below 1.

    **Example:**

    >>> from vanishing_jax.theory import fuss_catalan_moments
    >>> fuss_catalan_moments(2, count=4).tolist()
    [1.0, 3.0, 12.0, 55.0]

    ??? cite "Reference"

        ```bibtex
        @article{alexeev2010asymptotic,
          author  = {Alexeev, Nikita and Goetze, Friedrich and Tikhomirov, Alexander},
          title   = {Asymptotic distribution of singular values of powers of random matrices},
          journal = {Lithuanian Mathematical Journal},
          volume  = {50},
          pages   = {121--132},
          year    = {2010},
        }
        ```
    """
    _check(factors=factors, count=count)
    return np.array(
        [math.comb((factors + 1) * k, k) / (factors * k + 1) for k in range(1, count + 1)]
    )


def fuss_catalan_edge(factors: int) -> float:
    """Return the largest singular value of a product of M large matrices of entry variance 1/n.

    Its square is (M + 1)^(M + 1) / M^M, so that it grows like sqrt(e (M + 1/2)): a product of
    critical matrices amplifies some direction, but by a power of the number of steps, not
    exponentially.

    **Arguments:**

    - `factors`: M, at least 1.

    **Returns:** sigma_1 as n -> infinity.

    **Raises:** `ValueError` for M below 1.

    **Validity:** n -> infinity; at finite n it fluctuates by O(n^(-2/3)).

    **Example:**

    >>> from vanishing_jax.theory import fuss_catalan_edge
    >>> fuss_catalan_edge(1), round(fuss_catalan_edge(100), 4)
    (2.0, 16.5283)
    """
    _check(factors=factors)
    M = factors
    return math.exp(((M + 1) * math.log(M + 1) - M * math.log(M)) / 2)


def fuss_catalan_log_singular_values(
    n: int, *, factors: int, gain: float = 1.0
) -> Float64[np.ndarray, " state"]:
    r"""Return the expected log singular values of a product of M large Gaussian matrices.

    The quantiles of the Fuss-Catalan law, at the middles of n equal steps of probability. In the
    parameter $0 < \phi < \pi/(M+1)$ the squared singular value is
    $x = \sin^{M+1}((M+1)\phi) / (\sin\phi\, \sin^M(M\phi))$, with a density known in closed form;
    the distribution function is integrated from it. This is what a spectrum of a *finite* product
    should look like, before the exponents of `triangle_law`, which are its limit over M, are
    reached: sigma_1 of a critical product is far above 1.

    **Arguments:**

    - `n`: how many quantiles.
    - `factors`: M, the number of steps.
    - `gain`: g: entries have variance g^2/n; adds M log g.

    **Returns:** natural logs, descending, shape (n,), float64.

    **Raises:** `ValueError` for numbers below 1 or a gain that is not positive and finite.

    **Validity:** n -> infinity, for independent matrices and for the powers of one.

    **Example:**

    >>> from vanishing_jax.theory import fuss_catalan_log_singular_values
    >>> fuss_catalan_log_singular_values(3, factors=1).round(4)
    array([ 0.3702, -0.2133, -1.3373])

    ??? cite "Reference"

        ```bibtex
        @article{forrester2014raney,
          author  = {Forrester, Peter J. and Liu, Dang-Zheng},
          title   = {{R}aney distributions and random matrix theory},
          journal = {Journal of Statistical Physics},
          volume  = {158},
          pages   = {1051--1082},
          year    = {2015},
        }
        ```
    """
    _check(n=n, factors=factors)
    if not 0 < gain < np.inf:
        raise ValueError(f"expected a positive, finite `gain`; got {gain}.")
    M = factors
    # phi = 0 is the upper edge; toward pi/(M+1) x falls to 0, as a power that log-spacing follows.
    end = np.pi / (M + 1)
    phi = end * (1 - np.geomspace(1, 1e-14, 20_001)[1:-1])
    log_x = _log_square(phi, M)
    upper = 2 * math.log(fuss_catalan_edge(M))
    log_x = np.r_[upper, log_x]
    # rho(x) x is smooth in phi and bounded: integrate rho dx = rho x dlog(x), by trapezoids.
    weight = np.r_[0.0, _density_times_x(phi, M)]
    steps = (weight[1:] + weight[:-1]) / 2 * -np.diff(log_x)
    above = np.r_[0.0, np.cumsum(steps)]
    share = (np.arange(n) + 0.5) / n
    logs = np.interp(share, above / above[-1], log_x)
    return logs / 2 + M * math.log(gain)


def _log_square(phi, M):
    sine = np.sin((np.pi / (M + 1) - phi) * (M + 1))  # = sin((M+1) phi), without cancellation
    return (M + 1) * np.log(sine) - np.log(np.sin(phi)) - M * np.log(np.sin(M * phi))


def _density_times_x(phi, M):
    sine = np.sin((np.pi / (M + 1) - phi) * (M + 1))
    return np.sin(phi) * sine / (np.pi * np.sin(M * phi))


def _check(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"expected `{name}` of at least 1; got {number}.")
