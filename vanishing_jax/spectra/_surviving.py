"""How many directions of the state survive, counted on full and on partial spectra."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Bool, Int

from ._partial_spectrum import PartialSpectrum


class SurvivingDirections(eqx.Module):
    """How many singular values are at least `threshold`, per window.

    - `lower`, `upper`: bounds of the count, shape (record,); equal where it is known.
    - `windows`: the pairs (s, t), shape (record, 2).
    - `threshold`: the singular value from which a direction counts as surviving.
    """

    lower: Int[np.ndarray, "record"]
    upper: Int[np.ndarray, "record"]
    windows: Int[np.ndarray, "record 2"]
    threshold: float

    @property
    def is_exact(self) -> Bool[np.ndarray, "record"]:
        """Where the count is known."""
        return self.lower == self.upper

    @property
    def lags(self) -> Int[np.ndarray, "record"]:
        """Number of Jacobians t - s in each product."""
        return self.windows[:, 1] - self.windows[:, 0]

    def __repr__(self) -> str:
        def count(low, high):
            return str(low) if low == high else f"{low} to {high}"

        rows = zip(self.lags.tolist(), self.lower.tolist(), self.upper.tolist(), strict=True)
        text = ", ".join(f"lag {lag}: {count(low, high)}" for lag, low, high in rows)
        return f"SurvivingDirections(sigma >= {self.threshold:.3g}: {text})"


def surviving_directions(
    spectra: Any, *, threshold: float = 1e-3, state_size: int | None = None
) -> SurvivingDirections:
    """Return how many singular values are at least `threshold`, with what is not known of it.

    The dimension of what the network still knows after a lag: a perturbation of s_s along any other
    direction has shrunk below `threshold` at t. A count that falls to 0 is forgetting; one that
    stays at a few is a memory of that many numbers; one near n at large lags is a network that
    forgets nothing.

    The leading part of a spectrum shows the exact count if fewer than its k values reach the
    threshold, and else that there are at least k. A value within its error of the threshold counts
    as not known. Leading values that have not converged are still lower bounds, and count.

    **Arguments:**

    - `spectra`: a `Spectrum` (all its records count), a `PartialSpectrum`, or a sequence of these.
    - `threshold`: a singular value, > 0; 1e-3 by default.
    - `state_size`: needed only for a `Spectrum` with `k=`: the number n of all values. None takes
      each `Spectrum` for a full one.

    **Returns:** `SurvivingDirections`, one entry per record.

    **Raises:** `ValueError` for a threshold that is not positive, or no spectrum at all.

    **Example:**

    >>> import jax.numpy as jnp, vanishing_jax as vj
    >>> chain = vj.JacobianChain(jnp.tile(jnp.diag(jnp.array([1.0, 0.5, 0.1])), (20, 1, 1)))
    >>> spectrum = vj.log_singular_values(chain, lags=[2, 8, 20])
    >>> vj.spectra.surviving_directions(spectrum)
    SurvivingDirections(sigma >= 0.001: lag 2: 3, lag 8: 2, lag 20: 1)
    """
    if not threshold > 0:
        raise ValueError(f"expected a threshold > 0; got {threshold}.")
    sequence = list(spectra) if isinstance(spectra, Sequence) else [spectra]
    if not sequence:
        raise ValueError("expected at least one spectrum; got none.")
    rows = [row for spectrum in sequence for row in _rows(spectrum, np.log(threshold), state_size)]
    lower, upper, windows = zip(*rows, strict=True)
    return SurvivingDirections(
        np.array(lower), np.array(upper), np.stack(windows), float(threshold)
    )


def _rows(spectrum, level: float, state_size: int | None):
    """Yield (lower, upper, window) of each record."""
    logs, errors = (np.atleast_2d(x) for x in (spectrum.log_singular_values, spectrum.error_bound))
    n, surely = state_size or logs.shape[-1], errors
    if isinstance(spectrum, PartialSpectrum):
        # Ritz values are lower bounds but for rounding, converged or not.
        n, surely = len(spectrum.right_vectors), spectrum.rounding_error[None]
    for values, error, sure, window in zip(
        logs, errors, surely, np.atleast_2d(spectrum.windows), strict=True
    ):
        possible = int(np.sum(~(values + error < level)))  # NaN is possible
        yield int(np.sum(values - sure >= level)), possible if possible < len(values) else n, window
