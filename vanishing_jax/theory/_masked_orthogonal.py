"""Growth along products of orthogonal matrices whose rows are switched off at random (ReLU)."""

import numpy as np
from jaxtyping import Float64
from scipy.special import polygamma, psi

from ._masked import conditional_rows


def masked_orthogonal_exponents(
    n: int, *, gain: float = 1.0, active: float = 0.5
) -> Float64[np.ndarray, " state"]:
    """Return the exact exponents of products of g diag(mask) Q, Q orthogonal, given survival.

    Each Q is uniform (Haar) on O(n), fresh at every step, and each row is active with probability
    p. Given B ~ Binomial(n, p) active rows, R_ii^2 ~ g^2 Beta((B - i + 1)/2, (n - B)/2), so that
    entry i is log g + E[psi((B - i + 1)/2) - psi((n - i + 1)/2) | B >= i] / 2, under the condition
    of `masked_ginibre_exponents`. With p = 1/2 it is the exact law of a ReLU network without biases
    and with fresh orthogonal weights: flipping the sign of a row of Q changes its mask and nothing
    else. At g = sqrt(2) the mean square of a vector is kept, and the typical one shrinks by about
    3/(4 n) per step, instead of 5/(4 n) with Gaussian weights: orthogonal weights do not make a
    ReLU network an isometry, and its last directions die as fast.

    **Arguments:**

    - `n`: number of rows and columns, at least 1.
    - `gain`: g; 1 by default, sqrt(1/p) keeps the mean square.
    - `active`: p, the probability that a row is active, in (0, 1]; 1 gives n times log g.

    **Returns:** the n conditional exponents, descending, float64.

    **Raises:** `ValueError` when `n` < 1, `gain` is not positive and finite, or `active` is outside
    (0, 1].

    **Cost:** O(n^2).

    **Example:**

    >>> from vanishing_jax.theory import masked_orthogonal_exponents
    >>> masked_orthogonal_exponents(2).round(6)  # log |cos| of a random angle in 2 of 3 cases
    array([-0.462098,  0.      ])

    ??? cite "Reference"
        Derived here from the triangular factor of a matrix Beta variable: Muirhead, R. J. (1982).
        Aspects of Multivariate Statistical Theory, section 3.3. Wiley.
    """
    if not 0 < gain < np.inf:
        raise ValueError(f"expected a positive, finite `gain`; got {gain}.")
    weights, freedom = conditional_rows(n, active)
    whole = psi(np.arange(n, 0, -1) / 2)
    return np.log(gain) + (np.sum(weights * psi(freedom / 2), axis=1) - whole) / 2


def masked_orthogonal_growth_variance(
    n: int, *, active: float = 0.5
) -> Float64[np.ndarray, " state"]:
    """Return the variance, per step, of the log growth along each direction that survives.

    Given B >= i: E[psi'((B - i + 1)/2) - psi'((n - i + 1)/2)] / 4 from the rotation plus
    Var[psi((B - i + 1)/2)] / 4 from the number B of active rows. The first entry is also that of
    the log norm of one vector.

    **Arguments:**

    - `n`: number of rows and columns, at least 1.
    - `active`: p, the probability that a row is active, in (0, 1].

    **Returns:** the n variances in the order of `masked_orthogonal_exponents`, float64.

    **Raises:** `ValueError` when `n` < 1 or `active` is outside (0, 1].

    **Cost:** O(n^2).

    **Example:**

    >>> from vanishing_jax.theory import masked_orthogonal_growth_variance
    >>> masked_orthogonal_growth_variance(3, active=1.0)
    array([0., 0., 0.])
    """
    weights, freedom = conditional_rows(n, active)
    mean = np.sum(weights * psi(freedom / 2), axis=1, keepdims=True)
    spread = np.sum(weights * (psi(freedom / 2) - mean) ** 2, axis=1)
    rotation = np.sum(weights * polygamma(1, freedom / 2), axis=1)
    return (rotation - polygamma(1, np.arange(n, 0, -1) / 2) + spread) / 4
