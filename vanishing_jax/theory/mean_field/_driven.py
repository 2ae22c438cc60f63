"""Mean-field theory of a plain network along the inputs it is given, whatever their law."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float64

from ..._types import Array
from .._slopes import Activation, Slopes, host_activation

# The Gaussian field by trapezoids, exponentially accurate for smooth slopes; units by quantiles.
_REACH, _POINTS, _MOST_UNITS = 7.0, 97, 32
_MOST_VALUES = 100  # of slopes, for the whole spectrum


class DrivenMeanField(NamedTuple):
    """Mean-field theory along given inputs; made by `driven_mean_field`.

    - `recurrent_variance`: (time,), of W h_{t-1} over units.
    - `log_growth`: (time,), log(g^2 <phi'^2>_t) / 2: expected log growth of a gradient at step t,
      whose mean over time is the top exponent.
    """

    recurrent_variance: Float64[np.ndarray, " time"]
    log_growth: Float64[np.ndarray, " time"]


def driven_mean_field(
    drive: Float[Array | np.ndarray, "time hidden"],
    *,
    activation: Activation,
    gain: float,
    state_square: float = 0.0,
) -> DrivenMeanField:
    r"""Return how variance and gradients evolve along the given inputs of a wide random network.

    The network is h_t = phi(W h_{t-1} + d_t) with W random, of gain g, and known drives d_t =
    U x_t + b. Over the draw of W each component of W h_{t-1} is Gaussian with variance v_t =
    g^2 |h_{t-1}|^2 / n, so that v_{t+1} = g^2 <phi(sqrt(v_t) z + d_ti)^2>, averaged over z ~ N(0,1)
    and over units i, and gradients grow by log(g^2 <phi'^2>) / 2. `mean_field_exponent` is the case
    of drives that are N(0, s^2), independent in time and of each other. Here they may be correlated
    in time (W h_{t-1} is independent of d_t all the same), of few dimensions, constant (a bias) or
    of any distribution; only their dependence on W is excluded.

    **Arguments:**

    - `drive`: d_1..d_T, shape (T, n): what input and bias add to the pre-activations.
    - `activation`: as in `mean_field_exponent`.
    - `gain`: g; Gaussian or orthogonal weights.
    - `state_square`: mean square of the components of h_0.

    **Returns:** a `DrivenMeanField`.

    **Raises:** `ValueError` for a gain that is negative or not finite.

    **Cost:** O(T min(n, 32)) averages of 97 points.

    **Validity:** n -> infinity at fixed T; averages to 1e-6 for tanh and the sigmoid, exact for
    ReLU and the identity; above 32 units the drives of a step enter by 32 quantiles.

    **Example:**

    >>> import numpy as np
    >>> from vanishing_jax.theory.mean_field._driven import driven_mean_field
    >>> d = np.random.default_rng(0).normal(size=(200, 64)) * 0.1**0.5
    >>> theory = driven_mean_field(d, activation="tanh", gain=1.0)
    >>> round(float(theory.log_growth[20:].mean()), 2)  # mean_field_exponent: -0.1864
    -0.19

    ??? cite "Reference"
        Massar, M. and Massar, S. (2013). Mean-field theory of echo state networks. Physical Review
        E 87, 042809.
    """
    if not 0 <= gain < np.inf:
        raise ValueError(f"expected a finite `gain` of at least 0; got {gain}.")
    phi, d = host_activation(activation), quantiles(np.asarray(drive, np.float64))
    variance, growth = np.empty(len(d)), np.empty(len(d))
    v = gain**2 * state_square
    for t, units in enumerate(d):
        variance[t] = v
        square, slope = averages(phi, v, units)
        growth[t] = gain**2 * slope
        v = gain**2 * square
    with np.errstate(divide="ignore"):
        return DrivenMeanField(variance, np.log(growth) / 2)


def averages(phi: Slopes, variance: float, units: Any) -> tuple[float, float]:
    """Return <phi^2> and <phi'^2> over the Gaussian field and the units' drives."""
    s = np.sqrt(variance)
    if phi.name == "identity":
        return variance + float(np.mean(units**2)), 1.0
    if s == 0:
        return float(np.mean(phi.value(units) ** 2)), float(np.mean(phi.slope(units) ** 2))
    if phi.name == "relu":
        from scipy.special import ndtr

        above = ndtr(units / s)
        density = np.exp(-((units / s) ** 2) / 2) / np.sqrt(2 * np.pi)
        square = (units**2 + variance) * above + units * s * density
        return float(np.mean(square)), float(np.mean(above))
    z = np.linspace(-_REACH, _REACH, _POINTS)
    weight = np.exp(-(z**2) / 2)
    weight /= weight.sum()
    a = s * z[None, :] + units[:, None]
    return (
        float(np.mean(phi.value(a) ** 2 @ weight)),
        float(np.mean(phi.slope(a) ** 2 @ weight)),
    )


def slope_squares(phi: Slopes, variance: float, units: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the values that phi'^2 takes over the field and the units, and their weights."""
    z = np.linspace(-_REACH, _REACH, _POINTS)
    weight = np.exp(-(z**2) / 2)
    a = np.sqrt(variance) * z[None, :] + units[:, None]
    squares = phi.slope(a).ravel() ** 2
    weights = np.broadcast_to(weight, a.shape).ravel() / (weight.sum() * len(units))
    order = np.argsort(squares)
    squares, weights = squares[order], weights[order]
    bins = np.minimum((np.cumsum(weights) * _MOST_VALUES).astype(int), _MOST_VALUES - 1)
    dead = squares == 0
    bins = np.where(dead, 0, bins + 1)
    total = np.bincount(bins, weights, minlength=_MOST_VALUES + 1)
    mean = np.bincount(bins, weights * squares, minlength=_MOST_VALUES + 1)
    used = total > 0
    return mean[used] / total[used], total[used]


def quantiles(drive: Any) -> Any:
    """Return the drives of every step, or quantiles where there are more units than needed."""
    n = drive.shape[1]
    if n <= _MOST_UNITS:
        return drive
    edges = np.linspace(0, n, _MOST_UNITS + 1).astype(int)
    return np.add.reduceat(np.sort(drive, axis=1), edges[:-1], axis=1) / np.diff(edges)
