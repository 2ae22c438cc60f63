"""All exponents of products of D_t W whose slopes are known, by free probability."""

import numpy as np
from jaxtyping import Float, Float64

_BISECTIONS = 50


def free_log_growth(
    squares: Float[np.ndarray, " value"],
    weights: Float[np.ndarray, " value"],
    n: int,
    *,
    gain: float,
    orthogonal: bool,
) -> Float64[np.ndarray, " state"]:
    r"""Return what one step D W adds to each of n exponents: the law of `mean_field_spectrum`.

    For slopes D^2 with the given values and weights, and u = (n - i + 1/2)/n: with mu such that
    <mu D^2 / (1 + mu D^2)> = 1 - u it is log(g^2 (1 - u) / mu) / 2 for Gaussian W, with another
    -log(u) / 2 for orthogonal W. Logs of S-transforms add up, so that the exponents of a product
    whose slopes change with time are the means of this over time.

    **Arguments:**

    - `squares`, `weights`: values of phi'^2 and their weights, of sum 1.
    - `n`: number of exponents; `gain`: g; `orthogonal`: whether W is g times an orthogonal matrix.

    **Returns:** n values, descending; -inf for the share of slopes that are 0.
    """
    u = (np.arange(n, 0, -1) - 0.5) / n
    low, high = np.full(n, -600.0), np.full(n, 600.0)  # of log mu
    log_squares = np.log(np.maximum(squares, 1e-300))
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        # mu D^2 / (1 + mu D^2), without overflow
        share = 1 / (1 + np.exp(np.clip(-(middle[:, None] + log_squares), -700, 700)))
        small = np.where(squares > 0, share, 0.0) @ weights < 1 - u
        low, high = np.where(small, middle, low), np.where(small, high, middle)
    log_mu = (low + high) / 2
    growth = np.log(gain) + (np.log(1 - u) - log_mu) / 2
    if orthogonal:
        growth = growth - np.log(u) / 2
    alive = float(np.sum(weights[squares > 0]))
    return np.where(1 - u < alive, growth, -np.inf)
