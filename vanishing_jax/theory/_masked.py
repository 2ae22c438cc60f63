"""Growth along products of Gaussian matrices whose rows are switched off at random (ReLU)."""

from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy.special import gammaln, polygamma, psi, xlog1py, xlogy


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

    >>> from vanishing_jax.theory._masked import masked_ginibre_exponents
    >>> masked_ginibre_exponents(2, variance=1.0).round(6)  # chi(1) in 2 of 3 cases, else chi(2)
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
    weights, freedom = conditional_rows(n, active)
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

    >>> from vanishing_jax.theory._masked import masked_ginibre_growth_variance
    >>> masked_ginibre_growth_variance(1, active=0.3).round(6)  # pi^2 / 8: |normal| or dead
    array([1.233701])
    """
    weights, freedom = conditional_rows(n, active)
    mean = np.sum(weights * psi(freedom / 2), axis=1, keepdims=True)
    spread = np.sum(weights * (psi(freedom / 2) - mean) ** 2, axis=1)
    return (np.sum(weights * polygamma(1, freedom / 2), axis=1) + spread) / 4


def conditional_rows(n: int, active: float) -> Any:
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
