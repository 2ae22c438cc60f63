"""The whole Lyapunov spectrum of a wide random network."""

import jax
import numpy as np
from jaxtyping import Float, Float64
from scipy.special import expit

from ..._types import ArrayLike
from .._slopes import Activation, host_activation
from ._averages import panels
from ._fixed_point import above_zero, at_rest, doubles
from ._stationary import check_weights

_LARGEST, _BISECTIONS = 1e4, 60  # of |ln mu|


def mean_field_spectrum(
    n: int,
    *,
    activation: Activation,
    gain: ArrayLike | float,
    input_variance: ArrayLike | float = 0.0,
    bias_variance: ArrayLike | float = 0.0,
    weights: str = "gaussian",
) -> Float64[np.ndarray, " state"]:
    r"""Return the n Lyapunov exponents of a random network of n units, to leading order in n.

    With the slopes $D = \phi'(\sqrt{q^*} z)$ and W asymptotically free, the share u of exponents
    below lambda follows from the law of products of R-diagonal operators: let mu solve
    $\langle \mu D^2/(1 + \mu D^2)\rangle = 1 - u$; then
    $\lambda(u) = \frac12\ln\frac{g^2 (1-u)}{\mu}$ for Gaussian and
    $\lambda(u) = \frac12\ln\frac{g^2 (1-u)}{\mu u}$ for orthogonal weights. Here at the middles
    $u = (n - i + 1/2)/n$ of n equal shares. The first approaches `mean_field_exponent`, their mean
    `mean_field_mean_exponent`. Gaussian weights lose directions down to -inf; orthogonal ones keep
    them above $\ln g - \frac12\ln\langle\phi'^{-2}\rangle$.

    **Arguments:**

    - `n`: number of units, at least 1.
    - `weights`: "gaussian" (variance gain^2/n) or "orthogonal" (gain times a random orthogonal
      matrix).
    - others: as of `mean_field_variance`.

    **Returns:** n exponents, natural log per step, descending, float64; -inf for the share of
    directions that units of slope 0 cut off (ReLU: one half).

    **Raises:** `ValueError` for `n` < 1 or an unknown law of the weights.

    **Cost:** O(n), some 0.1 ms per exponent.

    **Validity:** as `mean_field_variance`; exponents of networks of 100 units are within 0.03 of
    it in the median (`tests/theory/test_mean_field_spectrum.py`). Trained weights are not free of
    their slopes.

    **Example:**

    >>> from vanishing_jax.theory import mean_field_spectrum
    >>> mean_field_spectrum(4, activation="tanh", gain=1.0, input_variance=0.1).round(2)
    array([-0.26, -0.46, -0.76, -1.39])

    ??? cite "Reference"

        ```bibtex
        @article{haagerup2000brown,
          author  = {Haagerup, Uffe and Larsen, Flemming},
          title   = {Brown's spectral distribution measure for {R}-diagonal elements in finite
                     von {N}eumann algebras},
          journal = {Journal of Functional Analysis},
          volume  = {176},
          pages   = {331--367},
          year    = {2000},
        }
        ```
    """
    if n < 1:
        raise ValueError(f"expected a number of units `n` of at least 1; got {n}.")
    orthogonal = check_weights(weights) == "orthogonal"
    with jax.enable_x64(True):
        g, s2, b2 = doubles(gain, input_variance, bias_variance)
        q = np.asarray(above_zero(at_rest(activation, g, s2, b2).finite))
    z, step = panels()
    log_slopes = host_activation(activation).log_slope(np.sqrt(q) * z)
    density = step * np.exp(-(z**2) / 2)
    return free_log_growth(2 * log_slopes, density, n, gain=float(g), orthogonal=orthogonal)


def free_log_growth(
    log_squares: Float[np.ndarray, " value"],
    weights: Float[np.ndarray, " value"],
    n: int,
    *,
    gain: float,
    orthogonal: bool,
) -> Float64[np.ndarray, " state"]:
    r"""Return what one step D W adds to each of n exponents: the law of `mean_field_spectrum`.

    For log D^2 with the given values and weights, and u = (n - i + 1/2)/n: with mu such that
    <mu D^2 / (1 + mu D^2)> = 1 - u it is log(g^2 (1 - u) / mu) / 2 for Gaussian W, with another
    -log(u) / 2 for orthogonal W. Logs of S-transforms add up, so that the exponents of a product
    whose slopes change with time are the means of this over time.

    **Arguments:**

    - `log_squares`, `weights`: values of log phi'^2, -inf too, and their weights, of sum 1.
    - `n`: number of exponents; `gain`: g; `orthogonal`: whether W is g times an orthogonal matrix.

    **Returns:** n values, descending; -inf for the share of slopes that are 0.
    """
    u = (np.arange(n, 0, -1) - 0.5) / n
    low, high = np.full(n, -_LARGEST), np.full(n, _LARGEST)  # of log mu
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        # mu D^2 / (1 + mu D^2)
        small = expit(middle[:, None] + log_squares) @ weights < 1 - u
        low, high = np.where(small, middle, low), np.where(small, high, middle)
    growth = np.log(gain) + (np.log(1 - u) - (low + high) / 2) / 2
    if orthogonal:
        growth = growth - np.log(u) / 2
    alive = float(np.sum(weights[log_squares > -_LARGEST]))
    return np.where(1 - u < alive * (1 - 1e-12), growth, -np.inf)
