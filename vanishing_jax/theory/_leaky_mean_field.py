"""Exact mean-field theory of leaky units: correlations in time, and the leading exponent."""

import functools as ft
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float64
from scipy.linalg import eigh_tridiagonal

from .._types import Array
from ._gaussian_average import panels
from ._mean_field import doubles
from ._slopes import Activation, slopes

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
    of 300 units are within 0.02 of it (`tests/theory/test_leaky_mean_field.py`).

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
        covariance = _covariance(activation, rate, g, s2, b2, lags)
        q = covariance[0]
        correlation = np.clip(covariance / q, -1, 1)
        overlaps = _overlaps(_hermite(activation, True, q), correlation)
    exponent = _largest_exponent(rate, (rate * g) ** 2 * overlaps)
    return LeakyMeanField(float(q) if q > _SMALLEST else 0.0, correlation, exponent)


_SMALLEST = 1e-14  # a variance that small has died out


def _covariance(activation, a, g, s2, b2, lags) -> Float64[np.ndarray, " lag"]:
    """Return the covariance of the pre-activations at lags 0..lags."""
    reach = int(np.ceil(36 / -np.log1p(-a))) if a < 1 else 0  # (1 - a)^reach = e^-36
    kernel = a / (2 - a) * (1 - a) ** np.abs(np.arange(-reach, reach + 1.0))
    covariance = np.full(lags + 1, float(b2))
    covariance[0] = 1 + s2 + b2
    for _ in range(_ITERATIONS):
        q = max(covariance[0], _SMALLEST)
        squares = _hermite(activation, False, q)
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


def _hermite(activation: Activation, slope: bool, q: float) -> Float64[np.ndarray, " term"]:
    """Return the squared coefficients of phi or phi' in Hermite polynomials of x / sqrt(q)."""
    z, basis = _basis()
    values = np.asarray(_evaluate(activation, slope, jnp.asarray(np.sqrt(q) * z)))
    coefficients = basis @ values
    squares = coefficients**2
    # What the first terms leave of E f^2 belongs to correlation 1 alone, nearly: the last term.
    squares[-1] += max(basis[0] @ values**2 - squares.sum(), 0)
    return squares


@ft.partial(jax.jit, static_argnums=(0, 1))
def _evaluate(activation: Activation, slope: bool, x: Array) -> Array:
    phi = slopes(activation)
    return phi.slope(x) if slope else phi.value(x)


@ft.cache
def _basis() -> tuple[Float64[np.ndarray, " node"], Float64[np.ndarray, "term node"]]:
    """Return nodes z and rows of weights whose products with f(z) are its coefficients."""
    z, weight = panels(10.0)
    rows = np.empty((_TERMS, len(z)))
    rows[0] = weight * np.exp(-(z**2) / 2)
    rows[1] = z * rows[0]
    for k in range(2, _TERMS):
        rows[k] = (z * rows[k - 1] - np.sqrt(k - 1) * rows[k - 2]) / np.sqrt(k)
    return z, rows


def _largest_exponent(a: float, drive: Float64[np.ndarray, " lag"]) -> float:
    """Return the largest lambda with a bounded psi; `drive` is a^2 g^2 K at lags 0, 1, ..."""
    carried = 1 - a
    both = np.concatenate([drive[:0:-1], drive])

    def lowest(x):
        diagonal, beside = x**2 + carried**2 - both, np.full(len(both) - 1, -carried * x)
        return eigh_tridiagonal(
            diagonal, beside, select="i", select_range=(0, 0), eigvals_only=True
        )[0]

    from scipy.optimize import brentq  # its import changes warning filters

    # Positive definite above the bound by norms; at the root the lowest eigenvalue is 0.
    high = carried + np.sqrt(np.max(np.abs(drive))) + 1e-9
    grid = np.linspace(high, 0, 200, endpoint=False)
    below = next((x for x in grid if lowest(x) < 0), None)
    if below is None:
        return -np.inf
    above = min(below + high / 200 * 1.001, high * 1.001)
    root: float = brentq(lowest, below, above, xtol=1e-14)  # pyright: ignore
    return float(np.log(root))
