"""One self-connected tanh unit: where it rests, how fast it forgets, how well it holds a bit."""

from typing import NamedTuple

import numpy as np


class FixedPoint(NamedTuple):
    """A stable rest state of h' = tanh(w h); made by `tanh_fixed_point`.

    - `state`: h*, nonnegative; -h* is the other one.
    - `multiplier`: w (1 - h*^2), the factor of a gradient per step there.
    - `exponent`: log |multiplier|, nats per step.
    """

    state: float
    multiplier: float
    exponent: float


def tanh_fixed_point(weight: float) -> FixedPoint:
    r"""Return where one tanh unit h' = tanh(w h) comes to rest, and its exponent there.

    For |w| <= 1 it is 0, with multiplier w. For w > 1 it is the positive solution of h = tanh(w h),
    with multiplier w (1 - h^2) < 1: a *stronger* weight makes gradients vanish *faster*, because it
    saturates the unit (w = 2: -1.79 nats per step, w = 5: -7.00), and w = 1 is the best that a
    single unit at rest can do. Below -1 the state alternates between the same two values.

    **Arguments:**

    - `weight`: w, finite.

    **Returns:** a `FixedPoint`; for w < -1 the multiplier of one step of the alternation.

    **Raises:** `ValueError` for a weight that is not finite.

    **Example:**

    >>> from vanishing_jax.theory import tanh_fixed_point
    >>> [round(tanh_fixed_point(w).exponent, 6) for w in (1.5, 2.0, 5.0)]
    [-0.93061, -1.793529, -7.00345]

    ??? cite "Reference"
        Doya, K. (1993). Bifurcations of recurrent neural networks in gradient descent learning.
        IEEE Transactions on Neural Networks 1, 75-80.
    """
    w = abs(float(weight))
    if not np.isfinite(w):
        raise ValueError(f"expected a finite `weight`; got {weight}.")
    a = _positive_preactivation(w)
    # 1 - tanh^2 = sech^2 keeps its digits in saturation, and its log below the range of floats.
    log_slope = 2 * (np.log(2) - a - np.log1p(np.exp(-2 * a)))
    with np.errstate(divide="ignore"):
        exponent = float(np.log(w) + log_slope)
    return FixedPoint(float(np.tanh(a)), float(np.sign(weight) * np.exp(exponent)), exponent)


def latch_margin(weight: float) -> float:
    r"""Return how strong an input a tanh unit withstands without losing the bit it holds.

    For a_t = w tanh(a_{t-1}) + x_t with w > 1, two rest states attract as long as |x_t| < h*(w) =
    sqrt(w (w - 1)) - arcosh(sqrt(w)), where the saddle-node bifurcation takes one of them away.
    Bengio et al. (1994) show that inside, where the bit is latched robustly, the derivative of the
    state with respect to the past decreases geometrically: to hold a bit safely is to let its
    gradient vanish.

    **Arguments:**

    - `weight`: w; up to 1 nothing is latched and the margin is 0.

    **Returns:** the margin, in units of the pre-activation.

    **Raises:** `ValueError` for a weight that is not finite.

    **Example:**

    >>> from vanishing_jax.theory import latch_margin
    >>> round(latch_margin(2.0), 6)
    0.53284

    ??? cite "Reference"

        ```bibtex
        @article{bengio1994learning,
          author  = {Bengio, Yoshua and Simard, Patrice and Frasconi, Paolo},
          title   = {Learning long-term dependencies with gradient descent is difficult},
          journal = {IEEE Transactions on Neural Networks},
          volume  = {5},
          pages   = {157--166},
          year    = {1994},
        }
        ```
    """
    w = float(weight)
    if not np.isfinite(w):
        raise ValueError(f"expected a finite `weight`; got {weight}.")
    return 0.0 if w <= 1 else float(np.sqrt(w * (w - 1)) - np.arccosh(np.sqrt(w)))


def _positive_preactivation(w: float) -> float:
    """Return the largest solution a of a = w tanh(a), by Newton's method from above."""
    if w <= 1:
        return 0.0
    a = w
    for _ in range(100):  # concave and started above the root: it descends monotonically
        tanh = np.tanh(a)
        step = (a - w * tanh) / (1 - w * (1 - tanh**2))
        a -= step
        if abs(step) <= 4e-16 * a:
            break
    return float(a)
