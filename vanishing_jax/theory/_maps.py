"""Dynamical systems whose Lyapunov exponents are known: exactly, or from long computations."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float64

from .._types import Array
from ..cells import FunctionCell


class KnownSystem(NamedTuple):
    """A system as a cell without input, and the exponents that an analysis of it should find.

    Follow it by `rollout(system.cell, system.state0, jnp.zeros((T, 0)))` and `linearize`. Chaotic
    orbits depend on rounding: use float64 (`jax.enable_x64(True)`) and compare exponents, not
    states. Finite-time exponents differ from these by O(T^-1/2) where the Jacobian varies.

    - `cell`: a `FunctionCell`; its state is a vector, its input is ignored.
    - `state0`: a state that is on its attractor after a few dozen steps.
    - `exponents`: shape (n,), natural log per step, descending.
    - `uncertainty`: shape (n,), of the published `exponents`; 0 where they are exact.
    - `sum_of_exponents`: log |det J|, where it is the same at every step; None where it varies.
    """

    cell: FunctionCell
    state0: Float[Array, "state"]
    exponents: Float64[np.ndarray, "state"]
    uncertainty: Float64[np.ndarray, "state"]
    sum_of_exponents: float | None


def _logistic(r, x, _):
    return r * x * (1 - x)


def _henon(parameters, state, _):
    a, b = parameters
    x, y = state
    return jnp.stack([1 - a * x**2 + y, b * x])


def _cat(A, state, _):
    state = A @ state
    return state - jnp.floor(state)


def _baker(cut, state, _):
    x, y = state
    low = jnp.stack([x / cut, cut * y])
    high = jnp.stack([(1 - x) / (1 - cut), 1 - (1 - cut) * y])
    return jnp.where(x < cut, low, high)


def _lorenz_rate(state):
    x, y, z = state
    return jnp.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])


def _lorenz(step, state, _):
    k1 = _lorenz_rate(state)
    k2 = _lorenz_rate(state + step / 2 * k1)
    k3 = _lorenz_rate(state + step / 2 * k2)
    k4 = _lorenz_rate(state + step * k3)
    return state + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def logistic_map() -> KnownSystem:
    """Return the logistic map x -> 4 x (1 - x), whose exponent is log 2.

    Exact at every finite time: by x = sin^2(theta) it is conjugate to the tent map, so that
    log |(f^T)'(x_0)| = T log 2 + log(x_T (1 - x_T)) / 2 - log(x_0 (1 - x_0)) / 2, which holds for
    computed orbits to rounding.

    **Returns:** a `KnownSystem` with a state of shape (1,).

    **Example:**

    >>> from vanishing_jax.theory._maps import logistic_map
    >>> logistic_map().exponents.round(6)
    array([0.693147])

    ??? cite "Reference"
        Ulam, S. M. and von Neumann, J. (1947). On combination of stochastic and deterministic
        processes. Bulletin of the American Mathematical Society 53, 1120.
    """
    log2 = float(np.log(2))
    cell = FunctionCell(_logistic, jnp.asarray(4.0))
    return _known(cell, [0.3], [log2], None)


def henon_map() -> KnownSystem:
    """Return the Henon map (x, y) -> (1 - 1.4 x^2 + y, 0.3 x), the classical strange attractor.

    Its exponents are known numerically, 0.41922 and -1.62319; their sum is log 0.3 exactly, at
    every finite time, because the map contracts areas evenly.

    **Returns:** a `KnownSystem` with a state of shape (2,).

    **Example:**

    >>> from vanishing_jax.theory._maps import henon_map
    >>> henon_map().exponents.round(5)
    array([ 0.41922, -1.62319])

    ??? cite "Reference"
        Henon, M. (1976). A two-dimensional mapping with a strange attractor. Communications in
        Mathematical Physics 50, 69-77.
        Sprott, J. C. (2003). Chaos and Time-Series Analysis. Oxford University Press.
    """
    cell = FunctionCell(_henon, jnp.asarray([1.4, 0.3]))
    total = float(np.log(0.3))
    return _known(cell, [0.1, 0.1], [0.41922, total - 0.41922], total, uncertainty=2e-5)


def cat_map() -> KnownSystem:
    """Return Arnold's cat map (x, y) -> (2 x + y, x + y) mod 1: exponents ± log((3 + sqrt 5) / 2).

    Its Jacobian is the same symmetric matrix everywhere, so that the log singular values of T steps
    are T times the exponents, exactly.

    **Returns:** a `KnownSystem` with a state of shape (2,).

    **Example:**

    >>> from vanishing_jax.theory._maps import cat_map
    >>> cat_map().exponents.round(6)
    array([ 0.962424, -0.962424])

    ??? cite "Reference"
        Arnold, V. I. and Avez, A. (1968). Ergodic Problems of Classical Mechanics. Benjamin.
    """
    rate = float(np.log((3 + np.sqrt(5)) / 2))
    cell = FunctionCell(_cat, jnp.asarray([[2.0, 1.0], [1.0, 1.0]]))
    return _known(cell, [0.3, 0.2], [rate, -rate], 0.0)


def baker_map() -> KnownSystem:
    """Return the folded baker map, which stretches in x what it squeezes in y: exponents ± log 2.

    x < 1/2 goes to (2 x, y / 2), the rest to (2 (1 - x), 1 - y / 2); the singular values of T steps
    are 2^T and 2^-T exactly. Orbits in floating point end in the fixed point 0 after as many steps
    as x has bits.

    **Returns:** a `KnownSystem` with a state of shape (2,).

    **Example:**

    >>> from vanishing_jax.theory._maps import baker_map
    >>> baker_map().exponents.round(6)
    array([ 0.693147, -0.693147])

    ??? cite "Reference"
        Ott, E. (2002). Chaos in Dynamical Systems, 2nd edition, section 3.1. Cambridge University
        Press.
    """
    rate = float(np.log(2))
    cell = FunctionCell(_baker, jnp.asarray(0.5))
    return _known(cell, [2**0.5 - 1, 0.2], [rate, -rate], 0.0)


def lorenz_flow() -> KnownSystem:
    """Return one Runge-Kutta step of the Lorenz system (sigma 10, rho 28, beta 8/3).

    The classical fourth-order method with steps of 0.01. Its exponents are known numerically:
    0.9056, 0 and -14.5723 per unit of time. Their sum is -(sigma + 1 + beta) per unit of time
    exactly, at every state; the method keeps that on the attractor to within 1e-3.

    **Returns:** a `KnownSystem` with a state of shape (3,); exponents per step.

    **Example:**

    >>> from vanishing_jax.theory._maps import lorenz_flow
    >>> lorenz_flow().exponents.round(6)
    array([ 0.009056,  0.      , -0.145723])

    ??? cite "Reference"
        Lorenz, E. N. (1963). Deterministic nonperiodic flow. Journal of the Atmospheric Sciences
        20, 130-141.
        Sprott, J. C. (2003). Chaos and Time-Series Analysis. Oxford University Press.
    """
    rates, total = 0.01 * np.array([0.9056, 0.0, -14.5723]), -0.01 * (10 + 1 + 8 / 3)
    cell = FunctionCell(_lorenz, jnp.asarray(0.01))
    return _known(cell, [1.0, 1.0, 25.0], rates, total, uncertainty=2e-6)


def _known(cell, state0, exponents, total, *, uncertainty=0.0) -> KnownSystem:
    exponents = np.asarray(exponents, np.float64)
    spread = np.full_like(exponents, uncertainty)
    return KnownSystem(cell, jnp.asarray(state0), exponents, spread, total)
