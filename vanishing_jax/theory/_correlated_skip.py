"""The top exponent of leaky and residual networks, whose slopes are correlated in time."""

import numpy as np
from jaxtyping import Float

from .._types import Array


def correlated_skip_exponent(
    correlations: Float[Array | np.ndarray, " lag"], *, keep: float, gain: float
) -> float:
    r"""Return the large-n top exponent of v' = k v + g D_t G v, one Gaussian G, changing slopes.

    G has entries of variance 1/n and repeats; D_t = diag(phi') with C(d) = <phi'_t phi'_{t+d}>. Two
    moments of v are then correlated through G, and the two-time covariance of v grows like
    x^(t + t') psi(t - t') with the largest x at which

    x^2 psi(d) - k x (psi(d + 1) + psi(d - 1)) + k^2 psi(d) = g^2 C(d) psi(d)

    has a bounded solution: the exponent is log x. Slopes that never change give log(k + g sqrt(C)),
    the disk of radius g about k, ones that are renewed at each step (C(d) = 0 for d > 0)
    log(k^2 + g^2 C(0)) / 2, and k = 0 the mean-field log(g^2 C(0)) / 2. For leaky units k = 1 - a
    and g = a times the gain of W. The discrete-time form of the ground-state equation of
    Sompolinsky, Crisanti and Sommers.

    **Arguments:**

    - `correlations`: C(0), C(1), ..., C(L); the last value is taken to go on for ever, so that L
      should reach where it no longer changes.
    - `keep`: k >= 0, what is kept of the state.
    - `gain`: g, of what is added.

    **Returns:** log x, nats per step; -inf for k = g = 0.

    **Raises:** `ValueError` for negative numbers or no correlation.

    **Cost:** 60 eigenvalues of a tridiagonal matrix of size L + 1.

    **Validity:** n -> infinity, slopes that depend on G only through averages. Simulated at n = 400
    within 0.01 (`tests/theory/test_correlated_skip.py`).

    **Example:**

    >>> import numpy as np
    >>> from vanishing_jax.theory._correlated_skip import correlated_skip_exponent
    >>> fresh = correlated_skip_exponent(np.array([1.0, 0.0]), keep=0.9, gain=0.3)
    >>> frozen = correlated_skip_exponent(np.array([1.0, 1.0]), keep=0.9, gain=0.3)
    >>> round(fresh, 4), round(frozen, 4)  # log(0.9) / 2 and log(1.2)
    (-0.0527, 0.1823)

    ??? cite "Reference"

        ```bibtex
        @article{sompolinsky1988chaos,
          author  = {Sompolinsky, H. and Crisanti, A. and Sommers, H. J.},
          title   = {Chaos in random neural networks},
          journal = {Physical Review Letters},
          volume  = {61},
          pages   = {259--262},
          year    = {1988},
        }
        ```
    """
    from scipy.linalg import eigvalsh_tridiagonal

    C = np.asarray(correlations, np.float64)
    C = np.r_[C, C[-1:]] if C.ndim == 1 and C.size == 1 else C
    if C.ndim != 1 or C.size == 0 or not (C[0] >= 0 and keep >= 0 and gain >= 0):
        raise ValueError(
            f"expected [C(0), C(1), ...] and `keep`, `gain` >= 0; got shape {C.shape}, "
            f"C(0) = {C.flat[0] if C.size else None}, keep={keep}, gain={gain}."
        )
    if keep == 0 or gain == 0 or C[0] == 0:
        with np.errstate(divide="ignore"):
            return float(np.log(keep**2 + gain**2 * C[0]) / 2)
    # Even solutions, psi(-1) = psi(1), that decay by the same share at each step beyond C(L).
    coupling = np.full(len(C) - 1, -keep)
    coupling[0] *= np.sqrt(2)  # the symmetric form of 2 psi(1) in the first row

    def lowest(x):
        diagonal = x**2 + keep**2 - gain**2 * C
        half = max((x**2 + keep**2 - gain**2 * C[-1]) / (2 * keep * x), 1.0)
        diagonal[-1] -= keep * x * (half - np.sqrt(half**2 - 1))
        return eigvalsh_tridiagonal(diagonal, x * coupling, select="i", select_range=(0, 0))[0]

    low, high = np.sqrt(keep**2 + gain**2 * C.min().clip(0)), keep + gain * np.sqrt(C.max())
    for _ in range(60):
        x = (low + high) / 2
        low, high = (low, x) if lowest(x) > 0 else (x, high)
    return float(np.log((low + high) / 2))
