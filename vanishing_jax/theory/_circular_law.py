"""Exponents of large random matrices: the triangle law, and the circular law moved by a skip."""

import numpy as np
from jaxtyping import Float, Float64


def triangle_law(n: int, *, gain: float) -> Float64[np.ndarray, " state"]:
    """Return the large-n Lyapunov exponents of products of Gaussian matrices, as n quantiles.

    For independent entries of variance g^2/n the fraction of exponents below s is exp(2 s) / g^2
    for s <= log g, so that the i-th of n is log g + log((n - i + 1/2) / n) / 2: the growth factors
    exp(lambda) fill a triangle from 0 to g. The logs of the moduli of the eigenvalues of *one* such
    matrix have the same law (circular law), so a linear recurrent network that repeats its matrix
    shares it with a product of fresh ones as n grows. `ginibre_exponents` is exact at every n for
    the latter.

    **Arguments:**

    - `n`: how many quantiles, at least 1.
    - `gain`: g, the standard deviation of the entries times sqrt(n).

    **Returns:** the n quantiles at the middles of n equal steps of probability, descending.

    **Raises:** `ValueError` for n < 1 or a gain that is not positive and finite.

    **Validity:** n -> infinity. At n = 64 the first exponent of Newman's law is 0.004 below the
    quantile's edge log g, and one matrix's spectral radius fluctuates by about sqrt(log n / n).

    **Example:**

    >>> from vanishing_jax.theory import triangle_law
    >>> triangle_law(2, gain=1.0).round(6)
    array([-0.143841, -0.693147])

    ??? cite "Reference"

        ```bibtex
        @article{isopi1992triangle,
          author  = {Isopi, Marco and Newman, Charles M.},
          title   = {The triangle law for {L}yapunov exponents of large random matrices},
          journal = {Communications in Mathematical Physics},
          volume  = {143},
          pages   = {591--598},
          year    = {1992},
        }
        ```
    """
    return skip_exponents(n, keep=0.0, gain=gain)


def skip_exponents(n: int, *, keep: float, gain: float) -> Float64[np.ndarray, " state"]:
    """Return the large-n exponents of h' = k h + G h, G one Gaussian matrix, as n quantiles.

    The circular law fills a disk of radius g about k with eigenvalues, so the fraction of exponents
    below s is the share of that disk within exp(s) of 0: the area of a lens of two circles. The top
    exponent is log(k + g). With k = 1 - a and g = a gain it is a leaky (Euler) unit's at its zero
    fixed point, with k = 1 and g = epsilon gain that of a residual connection through time; k = 0
    is the triangle law. The same G repeats: with a fresh G at each step the mean square of a vector
    grows by k^2 + g^2 instead, less than (k + g)^2.

    **Arguments:**

    - `n`: how many quantiles, at least 1.
    - `keep`: k, real, what is kept of the state.
    - `gain`: g, the standard deviation of the entries of G times sqrt(n); 0 for none.

    **Returns:** the n quantiles at the middles of n equal steps of probability, descending, nats
    per step.

    **Raises:** `ValueError` for n < 1, a negative or infinite gain, or k = g = 0.

    **Cost:** n bisections, O(n).

    **Validity:** n -> infinity, and a state near the fixed point 0, where the slope is 1.

    **Example:**

    >>> from vanishing_jax.theory import skip_exponents
    >>> skip_exponents(3, keep=0.9, gain=0.09).round(4)  # leaky, a = 0.1, gain 0.9
    array([-0.0505, -0.1037, -0.161 ])

    ??? cite "Reference"

        ```bibtex
        @article{girko1985circular,
          author  = {Girko, Vyacheslav L.},
          title   = {Circular law},
          journal = {Theory of Probability and Its Applications},
          volume  = {29},
          pages   = {694--706},
          year    = {1985},
        }
        ```
    """
    if n < 1:
        raise ValueError(f"expected a number of quantiles `n` of at least 1; got {n}.")
    share = (np.arange(n, 0, -1) - 0.5) / n
    if not (0 <= gain < np.inf and np.isfinite(keep)) or (keep == 0 and gain == 0):
        raise ValueError(f"expected `gain` >= 0, not 0 with `keep`; got {gain} and keep={keep}.")
    if gain == 0:
        return np.full(n, np.log(abs(keep)))
    if keep == 0:
        return np.log(gain) + np.log(share) / 2
    low = np.full(n, max(abs(keep) - gain, 0.0))
    high = np.full(n, abs(keep) + gain)
    for _ in range(60):  # to the last bit of the radius
        middle = (low + high) / 2
        below = disk_share(middle, keep, gain) < share
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.log((low + high) / 2)


def skip_top_exponent(*, keep: float, gain: float) -> float:
    """Return log(|k| + g), the large-n top exponent of h' = k h + G h with one Gaussian G.

    The point of the disk of `skip_exponents` that is farthest from 0. A leaky unit of rate a has
    log(1 - a + a g): closer to 0 than log g, on the same side, so that its memory lasts about
    1/(a (1 - g)) steps.

    **Arguments:**

    - `keep`, `gain`: as in `skip_exponents`.

    **Returns:** the exponent, nats per step; -inf where both are 0.

    **Raises:** `ValueError` for a gain that is negative or not finite.

    **Example:**

    >>> from vanishing_jax.theory import skip_top_exponent
    >>> round(skip_top_exponent(keep=0.9, gain=0.09), 6)
    -0.01005
    """
    if not (0 <= gain < np.inf and np.isfinite(keep)):
        raise ValueError(f"expected a finite `keep` and `gain` >= 0; got {keep} and {gain}.")
    with np.errstate(divide="ignore"):
        return float(np.log(abs(keep) + gain))


def disk_share(
    radius: Float[np.ndarray, " state"], center: float, size: float
) -> Float64[np.ndarray, " state"]:
    """Return the share of the disk of radius `size` about `center` that is within `radius` of 0."""
    d, r, R = abs(center), np.asarray(radius, np.float64), size
    with np.errstate(divide="ignore", invalid="ignore"):
        one = np.arccos(np.clip((d**2 + r**2 - R**2) / (2 * d * r), -1, 1))
        other = np.arccos(np.clip((d**2 + R**2 - r**2) / (2 * d * R), -1, 1))
    kite = np.clip((r + R - d) * (d + r - R) * (d - r + R) * (d + r + R), 0, None)
    lens = (r**2 * one + R**2 * other - np.sqrt(kite) / 2) / (np.pi * R**2)
    inside = np.where(r <= abs(R - d), np.minimum(r / R, 1.0) ** 2 * (d < R), lens)
    return np.where(r >= d + R, 1.0, inside)
