"""Leaky and residual units, whose slopes are correlated in time."""

import functools as ft
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Float64

from ..._types import Array
from .._slopes import Activation, host_activation
from ._averages import panels
from ._fixed_point import doubles

_TERMS = 300  # of the expansion in Hermite polynomials
_ITERATIONS = 2000
_TOLERANCE = 1e-9


class LeakyMeanField(NamedTuple):
    """A leaky network at rest: q* of the pre-activations, their autocorrelation, the exponent."""

    variance: float
    autocorrelation: Float64[np.ndarray, " lag"]
    exponent: float


def leaky_mean_field(
    *,
    rate: float,
    gain: float,
    activation: Activation = "tanh",
    input_variance: float = 0.0,
    bias_variance: float = 0.0,
    num_lags: int | None = None,
) -> LeakyMeanField:
    r"""Return variance, autocorrelation and leading exponent of a wide network of leaky units.

    For $h_t = (1 - a) h_{t-1} + a\,\phi(x_t)$, $x_t = W h_{t-1} + u_t + b$ (`vj.cells.LeakyCell`),
    the state carries correlations, and no equation at equal times closes. The dynamical mean field
    does: x is a Gaussian process with covariance $C_x(\tau) = g^2 C_h(\tau) + s^2\delta_{\tau 0} +
    s_b^2$, and $C_h$ is the covariance of $\phi(x)$ passed through the leak; iterated until it
    stands still. A perturbation's covariance $e^{\lambda(t+s)}\psi(t-s)$ then obeys
    $$(e^{2\lambda} + (1-a)^2 - a^2 g^2 K(\tau))\,\psi(\tau) =
    (1-a)\,e^{\lambda}\,(\psi(\tau-1) + \psi(\tau+1)), \quad
    K(\tau) = \mathrm{E}\,\phi'(x_t)\phi'(x_{t+\tau}),$$
    the discrete analog of the Schrödinger equation of Sompolinsky, Crisanti and Sommers; the
    leading exponent is the largest lambda with a bounded solution. Limits: a = 1 gives
    `mean_field_exponent`, a network at rest at 0 gives $\ln(1 - a + a g |\phi'(0)|)$. Half the log
    of $(1-a)^2 + a^2 g^2\langle\phi'^2\rangle$ is far off.

    **Arguments:**

    - `rate`: a in (0, 1].
    - `gain`, `activation`, `input_variance`, `bias_variance`: as of `mean_field_variance`.
    - `num_lags`: lags kept; by default 60/a, at least 100. Beyond, correlations are constant.

    **Returns:** `LeakyMeanField(variance, autocorrelation, exponent)`; the autocorrelation at lags
    0..num_lags, 1 at lag 0. Not differentiable.

    **Raises:** `ValueError` for a number out of range; `RuntimeError` if the iteration does not
    settle (states that grow without bound, or correlations longer than the lags near criticality).

    **Cost:** a second.

    **Validity:** as `mean_field_variance`, for bounded activations and q* below about 20. Networks
    of 300 units are within 0.02 of it (`tests/theory/test_leaky.py`).

    **Example:**

    >>> from vanishing_jax.theory import leaky_mean_field
    >>> found = leaky_mean_field(rate=0.3, gain=1.0, input_variance=0.5)
    >>> print(f"{found.variance:.3f} {found.exponent:.3f}")
    0.566 -0.092

    ??? cite "Reference"

        ```bibtex
        @article{sompolinsky1988chaos,
          author  = {Sompolinsky, Haim and Crisanti, Andrea and Sommers, Hans-J{\"u}rgen},
          title   = {Chaos in random neural networks},
          journal = {Physical Review Letters},
          volume  = {61},
          pages   = {259--262},
          year    = {1988},
        }
        ```
    """
    if not 0 < rate <= 1:
        raise ValueError(f"expected 0 < rate <= 1; got {rate}.")
    with jax.enable_x64(True):
        g, s2, b2 = map(float, doubles(gain, input_variance, bias_variance))
        lags = max(100, round(60 / rate)) if num_lags is None else num_lags
    phi = host_activation(activation)
    covariance = _covariance(phi, rate, g, s2, b2, lags)
    q = covariance[0]
    correlation = np.clip(covariance / q, -1, 1)
    overlaps = _overlaps(_hermite(phi.slope, q), correlation)
    exponent = correlated_skip_exponent(overlaps, keep=1 - rate, gain=rate * g)
    return LeakyMeanField(float(q) if q > _SMALLEST else 0.0, correlation, exponent)


_SMALLEST = 1e-14  # a variance that small has died out


def _covariance(phi, a, g, s2, b2, lags) -> Float64[np.ndarray, " lag"]:
    """Return the covariance of the pre-activations at lags 0..lags."""
    reach = int(np.ceil(36 / -np.log1p(-a))) if a < 1 else 0  # (1 - a)^reach = e^-36
    kernel = a / (2 - a) * (1 - a) ** np.abs(np.arange(-reach, reach + 1.0))
    covariance = np.full(lags + 1, float(b2))
    covariance[0] = 1 + s2 + b2
    for _ in range(_ITERATIONS):
        q = max(covariance[0], _SMALLEST)
        squares = _hermite(phi.value, q)
        beyond = _overlaps(squares, np.clip(covariance / q, -1, 1))
        both = np.concatenate([beyond[:0:-1], beyond])
        both = np.pad(both, reach, mode="edge")
        new = g**2 * np.convolve(both, kernel, "valid")[lags:] + b2
        new[0] += s2
        if not np.isfinite(new).all() or new[0] > 1e6:
            break
        if np.max(np.abs(new - covariance)) <= _TOLERANCE * new[0] or new[0] < _SMALLEST:
            return np.maximum(new, _SMALLEST * (np.arange(lags + 1) == 0))
        covariance = new
    raise RuntimeError(
        f"the covariance of leaky units of rate {a}, gain {g} did not settle at {lags} lags; the "
        "states grow without bound, or take longer than that to forget. Give a larger `num_lags`."
    )


def _overlaps(squares, correlation) -> Float64[np.ndarray, " lag"]:
    """Return E f(x) f(y) at each correlation, from the squared coefficients of f (Mehler)."""
    return np.polynomial.polynomial.polyval(correlation, squares)


def _hermite(function: Any, q: float) -> Float64[np.ndarray, " term"]:
    """Return the squared coefficients of a function in Hermite polynomials of x / sqrt(q)."""
    z, basis = _basis()
    values = function(np.sqrt(q) * z)
    coefficients = basis @ values
    squares = coefficients**2
    # What the first terms leave of E f^2 belongs to correlation 1 alone, nearly: the last term.
    squares[-1] += max(basis[0] @ values**2 - squares.sum(), 0)
    return squares


@ft.cache
def _basis() -> tuple[Float64[np.ndarray, " node"], Float64[np.ndarray, "term node"]]:
    """Return nodes z and rows of weights whose products with f(z) are its coefficients."""
    z, weight = panels()
    rows = np.empty((_TERMS, len(z)))
    rows[0] = weight * np.exp(-(z**2) / 2)
    rows[1] = z * rows[0]
    for k in range(2, _TERMS):
        rows[k] = (z * rows[k - 1] - np.sqrt(k - 1) * rows[k - 2]) / np.sqrt(k)
    return z, rows


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
    within 0.01 (`tests/theory/test_leaky.py`).

    **Example:**

    >>> import numpy as np
    >>> from vanishing_jax.theory.mean_field._leaky import correlated_skip_exponent
    >>> fresh = correlated_skip_exponent(np.array([1.0, 0.0]), keep=0.9, gain=0.3)
    >>> frozen = correlated_skip_exponent(np.array([1.0, 1.0]), keep=0.9, gain=0.3)
    >>> round(fresh, 4), round(frozen, 4)  # log(0.9) / 2 and log(1.2)
    (-0.0527, 0.1823)

    The reference is that of `leaky_mean_field`.
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
