"""What a Lyapunov spectrum says about the attractor: its dimension and its entropy rate."""

from typing import Any

import numpy as np
from jaxtyping import Float64


def kaplan_yorke_dimension(exponents: Any) -> float:
    """Return the Kaplan-Yorke (Lyapunov) dimension of the attractor with these exponents.

    D = j + (lambda_1 + ... + lambda_j) / |lambda_{j+1}|, with j the largest number of leading
    exponents whose sum is not negative: the dimension in which volumes neither grow nor shrink. By
    the Kaplan-Yorke conjecture it equals the information dimension of a typical attractor; that is
    proved in the plane and for random systems, and D bounds the information dimension from above in
    general. For a network: in how many dimensions of its state space its activity lives. It says
    nothing about which directions those are, and finite-time exponents of a transient give a number
    without that meaning.

    **Arguments:**

    - `exponents`: all n exponents in any order, per step or per unit of time, or a
      `LyapunovExponents` of all of them. The k leading ones are enough when their sum is negative.

    **Returns:** the dimension, from 0.0 (no sum is positive) to n (no sum is negative).

    **Raises:** `ValueError` for NaN, +inf, no exponents, or another shape than (n,).

    **Example:**

    >>> from vanishing_jax.spectra import kaplan_yorke_dimension
    >>> round(kaplan_yorke_dimension([0.9056, 0.0, -14.5723]), 3)  # the Lorenz attractor
    2.062

    ??? cite "Reference"
        Kaplan, J. L. and Yorke, J. A. (1979). Chaotic behavior of multidimensional difference
        equations. Lecture Notes in Mathematics 730, 204-227.
        Ledrappier, F. (1981). Some relations between dimension and Lyapounov exponents.
        Communications in Mathematical Physics 81, 229-238.
    """
    rates, _ = _descending(exponents)
    j, total = _neutral(rates)
    return float(j) if j == len(rates) else float(j + total / -rates[j])


def kaplan_yorke_error(exponents: Any, standard_error: Any = None) -> float:
    """Return the standard error of `kaplan_yorke_dimension` from those of the exponents.

    To first order sigma_D <= sum_i |dD/dlambda_i| sigma_i, the bound that holds however the errors
    are correlated (along one trajectory they are: their sum is the mean of log|det J_t|). NaN where
    an error that counts is NaN. It does not know that a sum near 0 may change the integer j.

    **Arguments:**

    - `exponents`: as for `kaplan_yorke_dimension`.
    - `standard_error`: shape (n,), in the order of `exponents`; default its `standard_error`.

    **Returns:** the standard error; 0.0 where the dimension is 0 or n, or the next exponent -inf.

    **Raises:** `ValueError` as `kaplan_yorke_dimension` does, for errors of another shape or below
    0, and for plain exponents without errors.

    **Example:**

    >>> from vanishing_jax.spectra import kaplan_yorke_error
    >>> kaplan_yorke_error([1.0, -2.0], [0.1, 0.2])  # D = 1 + 1 / 2
    0.1
    """
    rates, order = _descending(exponents)
    error = _errors(exponents, standard_error)[order]
    j, total = _neutral(rates)
    if j in (0, len(rates)) or np.isneginf(rates[j]):
        return 0.0  # an integer that small errors do not change
    return float(np.sum(error[:j]) / -rates[j] + total * error[j] / rates[j] ** 2)


def entropy_rate(exponents: Any) -> float:
    """Return the sum of the positive exponents: the entropy rate by Pesin's formula.

    Ruelle's inequality makes it an upper bound of the Kolmogorov-Sinai entropy of any invariant
    measure; Pesin's formula makes it equal for measures that are smooth along unstable directions
    (SRB), as attractors of chaotic networks are expected to have. It is the rate at which the
    dynamics makes small differences visible: how fast a state must be observed to predict it.

    **Arguments:**

    - `exponents`: exponents in any order, or a `LyapunovExponents`; at least all positive ones.

    **Returns:** the entropy rate in nats per step (or per the unit of time of the exponents).

    **Raises:** `ValueError` for NaN, +inf, no exponents, or another shape than (n,).

    **Example:**

    >>> from vanishing_jax.spectra import entropy_rate
    >>> entropy_rate([0.5, 0.25, -3.0])
    0.75

    ??? cite "Reference"
        Pesin, Ya. B. (1977). Characteristic Lyapunov exponents and smooth ergodic theory. Russian
        Mathematical Surveys 32, 55-114.
        Ruelle, D. (1978). An inequality for the entropy of differentiable maps. Boletim da
        Sociedade Brasileira de Matematica 9, 83-87.
    """
    rates, _ = _descending(exponents)
    return float(np.sum(rates, where=rates > 0))


def entropy_rate_error(exponents: Any, standard_error: Any = None) -> float:
    """Return the standard error of `entropy_rate` from those of the exponents.

    The sum of the standard errors of the positive exponents, the bound that holds however they are
    correlated. NaN where one of those is NaN.

    **Arguments:**

    - `exponents`: as for `entropy_rate`.
    - `standard_error`: shape (n,), in the order of `exponents`; default its `standard_error`.

    **Returns:** the standard error, 0.0 where no exponent is positive.

    **Raises:** `ValueError` as `entropy_rate` does, for errors of another shape or below 0, and
    for plain exponents without errors.

    **Example:**

    >>> from vanishing_jax.spectra import entropy_rate_error
    >>> entropy_rate_error([0.5, 0.25, -3.0], [0.25, 0.125, 4.0])
    0.375
    """
    rates, order = _descending(exponents)
    error = _errors(exponents, standard_error)[order]
    return float(np.sum(error, where=rates > 0))


def _neutral(rates) -> tuple[int, float]:
    """Return how many leading exponents have a sum of at least 0, and that sum."""
    # -inf makes every later sum -inf, never NaN: +inf was refused.
    sums = np.cumsum(rates)
    j = int(np.sum(sums >= 0))
    return j, float(sums[j - 1]) if j else 0.0


def _descending(exponents):
    """Return the exponents as float64, descending, and the order that makes them so."""
    rates = _vector(getattr(exponents, "exponents", exponents), "exponents")
    if rates.size == 0 or np.isnan(rates).any() or np.isposinf(rates).any():
        raise ValueError(
            f"expected at least one exponent, finite or -inf; got {rates}. NaN comes from NaN "
            "Jacobians: check the trajectory."
        )
    order = np.argsort(-rates, kind="stable")
    return rates[order], order


def _errors(exponents, standard_error):
    """Return the standard errors in the order given."""
    if standard_error is None:
        standard_error = getattr(exponents, "standard_error", None)
    if standard_error is None:
        raise ValueError(
            "expected standard errors: pass standard_error= (one per exponent), or the result of "
            "lyapunov_exponents, which has them."
        )
    error = _vector(standard_error, "standard_error")
    size = np.size(getattr(exponents, "exponents", exponents))
    if error.size != size or (error < 0).any():
        raise ValueError(f"expected {size} standard errors, none negative; got {error}.")
    return error


def _vector(values, what) -> Float64[np.ndarray, "_"]:
    array = np.asarray(values)
    if array.dtype.kind not in "iuf" or array.ndim != 1:
        raise ValueError(
            f"expected {what} as real numbers of shape (n,); got {array.dtype} of shape "
            f"{array.shape}."
        )
    return array.astype(np.float64)
