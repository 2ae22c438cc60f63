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
    - `sum_of_exponents`: log |det J|, where it is the same at every step, up to `sum_uncertainty`;
      None where it varies.
    - `sum_uncertainty`: 0, or what the time discretization adds at any step.
    - `source`: where the numbers come from.
    """

    cell: FunctionCell
    state0: Float[Array, "state"]
    exponents: Float64[np.ndarray, "state"]
    uncertainty: Float64[np.ndarray, "state"]
    sum_of_exponents: float | None
    sum_uncertainty: float
    source: str


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
    return _known(cell, [0.3], [log2], None, "exact: conjugate to the tent map")


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
    source = "Sprott (2003); the sum is exact"
    return _known(cell, [0.1, 0.1], [0.41922, total - 0.41922], total, source, uncertainty=2e-5)


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
    source = "exact: eigenvalues of its matrix"
    return _known(cell, [0.3, 0.2], [rate, -rate], 0.0, source)


def baker_map(cut: float = 0.5) -> KnownSystem:
    """Return the folded baker map, which stretches in x what it squeezes in y.

    x < c goes to (x / c, c y), the rest to ((1 - x) / (1 - c), 1 - (1 - c) y): areas are kept, and
    the exponents are ± H with H = -c log c - (1 - c) log(1 - c); log 2 for c = 1/2, where the
    singular values of T steps are 2^T and 2^-T exactly. Floating-point orbits of c = 1/2 end in the
    fixed point 0 after as many steps as x has bits; take another c for an orbit that wanders.

    **Arguments:**

    - `cut`: c, strictly between 0 and 1.

    **Returns:** a `KnownSystem` with a state of shape (2,).

    **Raises:** `ValueError` for a cut outside (0, 1).

    **Example:**

    >>> from vanishing_jax.theory._maps import baker_map
    >>> baker_map().exponents.round(6)
    array([ 0.693147, -0.693147])

    ??? cite "Reference"
        Ott, E. (2002). Chaos in Dynamical Systems, 2nd edition, section 3.1. Cambridge University
        Press.
    """
    if not 0 < cut < 1:
        raise ValueError(f"expected a cut strictly between 0 and 1; got {cut}.")
    rate = float(-cut * np.log(cut) - (1 - cut) * np.log1p(-cut))
    cell = FunctionCell(_baker, jnp.asarray(float(cut)))
    source = "exact: x is uniformly distributed"
    # No likely cut: from x = c the orbit goes to 1 and stays at 0.
    return _known(cell, [2**0.5 - 1, 0.2], [rate, -rate], 0.0, source)


def lorenz_flow(step: float = 0.01) -> KnownSystem:
    """Return one Runge-Kutta step of the Lorenz system (sigma 10, rho 28, beta 8/3).

    The classical fourth-order method with a fixed time step. Its exponents are known numerically:
    0.9056, 0 and -14.5723 per unit of time, here times `step`. Their sum is -(sigma + 1 + beta) per
    unit of time exactly, at every state; the method keeps that on the attractor to within
    1e-3 (step / 0.01)^4 per unit of time.

    **Arguments:**

    - `step`: time per step, from above 0 to 0.02: beyond, the exponents shift visibly.

    **Returns:** a `KnownSystem` with a state of shape (3,); exponents per step.

    **Raises:** `ValueError` for a step outside (0, 0.02].

    **Example:**

    >>> from vanishing_jax.theory._maps import lorenz_flow
    >>> lorenz_flow(0.01).exponents.round(6)
    array([ 0.009056,  0.      , -0.145723])

    ??? cite "Reference"
        Lorenz, E. N. (1963). Deterministic nonperiodic flow. Journal of the Atmospheric Sciences
        20, 130-141.
        Sprott, J. C. (2003). Chaos and Time-Series Analysis. Oxford University Press.
    """
    if not 0 < step <= 0.02:
        raise ValueError(f"expected a time step in (0, 0.02]; got {step}.")
    rates = step * np.array([0.9056, 0.0, -14.5723])
    total = -step * (10 + 1 + 8 / 3)
    cell = FunctionCell(_lorenz, jnp.asarray(float(step)))
    source = "Sprott (2003), per unit of time; the sum is the divergence of the flow"
    state0 = [1.0, 1.0, 25.0]
    shift = 1e-3 * step * (step / 0.01) ** 4  # the local error of the method
    return _known(cell, state0, rates, total, source, uncertainty=2e-4 * step, sum_shift=shift)


def _known(cell, state0, exponents, total, source, *, uncertainty=0.0, sum_shift=0.0):
    exponents = np.asarray(exponents, np.float64)
    spread = np.full_like(exponents, uncertainty)
    return KnownSystem(cell, jnp.asarray(state0), exponents, spread, total, sum_shift, source)
