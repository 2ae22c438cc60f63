"""Eigenvalues of one-step Jacobians."""

import equinox as eqx
import numpy as np
from jaxtyping import Complex, Int

from .._chain import JacobianChain


class StepEigenvalues(eqx.Module):
    """Eigenvalues of J_t at chosen steps.

    - `eigenvalues`: shape (record, state), complex.
    - `times`: the steps t, 1..T, shape (record,).
    """

    eigenvalues: Complex[np.ndarray, "record state"]
    times: Int[np.ndarray, "record"]

    def __repr__(self) -> str:
        radius = np.max(np.abs(self.eigenvalues), axis=1)
        return (
            f"StepEigenvalues({len(self.times)} steps, spectral radius from {radius.min():.4g} to "
            f"{radius.max():.4g})"
        )


def step_eigenvalues(chain: JacobianChain, *, points: int = 5) -> StepEigenvalues:
    """Return the eigenvalues of the one-step Jacobians at `points` steps spread over the chain.

    Eigenvalues near the unit circle are slow modes. They bound nothing by themselves: a
    product of different (or non-normal) matrices can grow while every spectral radius is below 1.

    **Arguments:**

    - `chain`: from `linearize`.
    - `points`: number of steps, at most T, the last one included.

    **Returns:** `StepEigenvalues`.

    **Cost:** `points` eigendecompositions, O(n^3) each, in float64 by NumPy.
    """
    chain.check_square("eigenvalues")
    times = np.unique(np.linspace(1, chain.num_steps, points).round().astype(int))
    values = [
        np.linalg.eigvals(np.asarray(chain.segment(int(t) - 1, int(t)))[0].astype(np.float64))
        for t in times
    ]
    return StepEigenvalues(np.stack(values).astype(np.complex128), times)
