"""How two trajectories of one wide random network forget, or keep, that they differed."""

import functools as ft
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..._types import Array, ArrayLike
from .._slopes import Activation, slopes
from ._averages import gaussian_pair_average
from ._fixed_point import at_rest, doubles

_CLOSEST = 1e-5  # a fixed point nearer to 1 is taken for 1


class MeanFieldCorrelation(NamedTuple):
    """Correlation c* at rest, chi at c*, and the decay time xi = -1/ln chi in steps."""

    correlation: float
    susceptibility: float
    decay_time: float


def mean_field_correlation(
    *,
    activation: Activation,
    gain: ArrayLike | float,
    input_variance: ArrayLike | float = 0.0,
    bias_variance: ArrayLike | float = 0.0,
    input_correlation: float = 1.0,
) -> MeanFieldCorrelation:
    r"""Return where the correlation of two trajectories of one network settles, and how fast.

    Both start near each other and get inputs of variance s^2 with correlation rho, at each step the
    same for rho = 1. Their pre-activations have the correlation $c_{t+1} q^* = g^2
    \mathrm{E}\,\phi(x)\phi(y) + \rho s^2 + s_b^2$, x and y ~ N(0, q*) with correlation c_t. c* is
    the fixed point reached from just below 1, $\chi_{c^*} = g^2\mathrm{E}\,\phi'(x)\phi'(y)$ the
    factor by which a deviation shrinks per step, and $\xi = -1/\ln\chi_{c^*}$ the number of steps
    over which the network still shows what has happened (Chen et al. 2018). With the same inputs,
    c* = 1 and chi is the `mean_field_susceptibility` where that is at most 1: then xi is half of
    the decay time of a gradient's norm. Above, in chaos, c* < 1.

    **Arguments:**

    - `input_correlation`: rho from -1 to 1.
    - others: as of `mean_field_variance`.

    **Returns:** `MeanFieldCorrelation(correlation, susceptibility, decay_time)`, Python numbers;
    `decay_time` is `inf` at chi = 1, the correlation `nan` where all states decay to 0 (or have no
    finite variance), with chi then that of the smallest (largest) states.

    **Raises:** `ValueError` for a number out of range.

    **Cost:** some seconds the first time for an activation, then 0.2 s.

    **Validity:** as `mean_field_variance`, and q* below about 100. Found to 1e-6; a fixed point
    closer than 1e-5 to 1 is given as 1.

    **Example:**

    >>> from vanishing_jax.theory import mean_field_correlation
    >>> found = mean_field_correlation(activation="tanh", gain=2.0)  # chaos: they lose each other
    >>> print(f"{found.correlation:.3f} {found.susceptibility:.3f} {found.decay_time:.1f}")
    0.000 0.882 8.0

    The reference is that of `mean_field_exponent`.
    """
    if not -1 <= input_correlation <= 1:
        raise ValueError(f"expected `input_correlation` from -1 to 1; got {input_correlation}.")
    with jax.enable_x64(True):
        g, s2, b2 = doubles(gain, input_variance, bias_variance)
        q, chi, _ = at_rest(activation, g, s2, b2)
        if not (np.isfinite(q) and q > 0):
            return _result(np.nan, float(chi))
        shared = input_correlation * s2 + b2

        def excess(c):
            return float(_next(activation, jnp.asarray(c), q, g, shared)[0]) - c

        if input_correlation == 1 and chi <= 1 + 1e-9:
            return _result(1.0, float(chi))
        c = _below_one(excess)
        if c is None:
            return _result(1.0, float(chi))
        return _result(c, float(_next(activation, jnp.asarray(c), q, g, shared)[1]))


def _below_one(excess) -> float | None:
    """Return the largest fixed point below 1 from where the correlation falls; None if none is."""
    from scipy.optimize import brentq  # its import changes warning filters

    grid = 1 - np.concatenate([np.geomspace(_CLOSEST, 1, 20), np.linspace(1, 2, 6)[1:]])
    if excess(grid[0]) > 0:
        return None
    for high, low in itertools.pairwise(grid):
        value = excess(low)
        if abs(value) < 1e-12:  # an odd function without shared inputs has 0 exactly
            return float(low)
        if value > 0:
            return brentq(excess, low, high, xtol=1e-12)  # pyright: ignore
    return -1.0


def _result(correlation: float, chi: float) -> MeanFieldCorrelation:
    with np.errstate(divide="ignore"):
        time = -1 / np.log(chi) if chi != 1 else np.inf
    return MeanFieldCorrelation(correlation, chi, float(time) if time > 0 else np.inf)


@ft.partial(jax.jit, static_argnums=0)
def _next(activation: Activation, c: Array, q: Array, g: Array, shared: Array):
    """Return the next correlation after c, and chi at c."""
    phi = slopes(activation)

    value = g**2 * gaussian_pair_average(phi.value, q, c) + shared
    return value / q, g**2 * gaussian_pair_average(phi.slope, q, c)
