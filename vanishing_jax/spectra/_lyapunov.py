"""Lyapunov exponents: QR growth rates of a chain of Jacobians."""

import functools as ft
import os

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from .._chain import JacobianChain
from ._checkpoint import Checkpoint
from ._decoupled import mean_log_det
from ._error_bound import log_r_errors
from ._finish import log_r_diagonal
from ._streams import NonFiniteStep, is_whole, partition, push_of, raise_non_finite
from ._sweep import EPS, SAFETY, start_basis
from ._sweep_chain import Found, sweep_chain
from ._thin_sweep import ThinSweep, amplification

DEFAULT_TOLERANCE = 1e-10

# Blocks over which the standard error is taken: enough for a variance, long enough to decorrelate.
_BLOCKS, _BLOCK = 20, 16

# Losses of steps pushed in float32 that are as good as none, in units of its roundoff.
_OF_ROUNDING = 30.0

# Share of the tolerance that may be lost: the rest is for what becomes of it.
_BUDGET = 1 / 32

# Steps before the end that show whether few columns have amplified errors.
_LOOK_BACK = 64

# Columns swept beside the k asked for: they show what the leading ones may have lost, and a chain
# that has not sorted them yet may have a larger one there.
_BESIDE = 2

# How much errors may seem amplified, over the tolerance, before all columns are swept: the estimate
# is up to a thousand times too large for networks.
_AMPLIFIED = 1e3


class LyapunovExponents(eqx.Module):
    """QR growth rates per step, natural log, descending.

    - `exponents`: shape (k,); -inf where the chain is rank deficient.
    - `standard_error`: shape (k,): from the means over up to 20 blocks of steps of this trajectory,
      taken as independent; NaN below 4 blocks of at least 2 steps.
    - `num_steps`: number of Jacobians T.
    - `tolerance`: what the sweep was allowed to lose, in nats per step; None: every Jacobian was
      factored on its own.
    - `estimated_error`: as in a `Spectrum`, in nats per step; NaN where every Jacobian was factored
      on its own, which loses the least that can be lost.

    Computed when read, and kept: `error_bound`, `sum_rule_residual`.
    """

    exponents: Float[np.ndarray, "direction"]
    standard_error: Float[np.ndarray, "direction"]
    num_steps: int
    tolerance: float | None
    estimated_error: float
    _schedule: Int[np.ndarray, "chunk 2"]
    _order: Int[np.ndarray, "direction"]
    _sum_of_all: float
    _chain: JacobianChain

    @property
    def axis(self) -> str:
        """What a step is: `"time"` or `"layer"`."""
        return self._chain.axis

    @ft.cached_property
    def error_bound(self) -> Float[np.ndarray, "direction"]:
        """Bound on the numerical error of each exponent, nats per step.

        By first-order perturbation theory, as that of a `Spectrum`. Reading it costs two to five
        sweeps of all n columns, and up to 1 GiB.
        """
        return log_r_errors(self._chain, self._schedule)[self._order] / self.num_steps

    @ft.cached_property
    def sum_rule_residual(self) -> float:
        """|sum of all exponents - mean log|det J_t||, 0 in exact arithmetic.

        NaN where some J_t is singular, or rectangular, and where only k < n columns were swept. An
        independent check, one LU factorization of every Jacobian: computed when it is read, for it
        takes as long as the sweep.
        """
        if not np.isfinite(self._sum_of_all):
            return float("nan")
        return abs(self._sum_of_all - mean_log_det(self._chain))

    @property
    def meets_tolerance(self) -> bool:
        """Whether the error is at most `tolerance` (True when None was asked for).

        By `estimated_error` where that leaves no doubt; else by `error_bound`, which is then
        computed.
        """
        if self.tolerance is None or self.estimated_error <= self.tolerance:
            return True
        return bool(np.all(self.error_bound <= self.tolerance))

    def __repr__(self) -> str:
        error = ""
        if not np.isnan(self.estimated_error):
            error = f"; estimated numerical error {self.estimated_error:.1e}"
        if "error_bound" in self.__dict__:
            error = f"; numerical error <= {np.max(self.error_bound):.1e}"
            if not self.meets_tolerance:
                error += f"; error above {self.tolerance:.1e}"
        return (
            f"LyapunovExponents({len(self.exponents)} over {self.num_steps} steps: top "
            f"{self.exponents[0]:.6g} ± {self.standard_error[0]:.2g} nats/step, last "
            f"{self.exponents[-1]:.6g}{error})"
        )


def lyapunov_exponents(
    chain: JacobianChain,
    *,
    k: int | None = None,
    tolerance: float | None = DEFAULT_TOLERANCE,
    checkpoint: str | os.PathLike[str] | None = None,
) -> LyapunovExponents:
    """Return the finite-time Lyapunov exponents (1/T) log |R_ii| of the chain.

    R is the triangular factor of J_T ... J_1 Q_0 with a random orthogonal Q_0: the average growth
    per step of nested volumes of the tangent space. They are not the logs of singular values over
    T: both have the same limit, but differ by O(1/T) at every finite T; for the singular values
    of a finite product use `log_singular_values`. No transient is discarded. Where the state falls
    apart into blocks that no Jacobian couples (`spectra.decoupled_blocks`), Q_0 starts every block
    on its own, and the rates are those of the blocks, (1/T) sum log|w_t| for a diagonal recurrence:
    QR growth rates of another start, with the same limit, without the O(1/T) of mixing blocks.

    **Arguments:**

    - `chain`: from `linearize`, or `JacobianChain(array)`, with at least one step.
    - `k`: return the k leading exponents only. Well below n it costs k + 2 columns of Q_0 instead
      of n, and of streamed Jacobians nothing is formed: the k largest rates of these columns, which
      a chain too short to sort its directions may exceed in another one.
    - `tolerance`: what sharing factorizations may lose, in nats per step, as in
      `log_singular_values`; None factors every Jacobian on its own.
      `LyapunovExponents.meets_tolerance` says if it was met in the end.
    - `checkpoint`: a file (safetensors) that keeps the sweep every few seconds, and when it is
      interrupted. The same call goes on from there, to the same result bit by bit; once finished it
      returns at once. Delete the file to start anew.

    **Returns:** `LyapunovExponents`; natural log per step, descending. Of a rectangular chain as
    many as its narrowest state has components: further directions end there.

    **Raises:** `ValueError` for an empty chain, a bad k, or a checkpoint that is damaged or belongs
    to another computation; `TypeError` for a batch; `NonFiniteError` for a NaN Jacobian.

    **Cost:** one LU factorization for 1 to 32 steps, on the host, nothing compiled; O(T n^3), or
    that of the decoupled blocks: O(T n) for a diagonal recurrence. With k well below n O(T n^2
    k): at n = 200 the top exponent takes 1.8 times as long as QR of one column in NumPy, unless
    this may have lost too much (then all columns are swept) or a `checkpoint` is kept.
    `sum_rule_residual` costs one LU factorization per step when it is read.

    **Validity:** tested against a Householder QR loop in high precision and the exact law of
    Ginibre products. How many Jacobians share a factorization is controlled by what each loses;
    errors that the steps amplify (repeated defective matrices) show in `estimated_error`, over the
    last quarter of the steps, and in `error_bound`. That bound does not see a random start that
    happens to be nearly orthogonal to a direction. Few columns agree
    with those of the full sweep to the tolerance (`tests/spectra/test_lyapunov.py`); streamed in
    float32 they are pushed in float32, and `tolerance` of the result says what that may have lost.

    **Example:**

    >>> import jax.numpy as jnp, vanishing_jax as vj
    >>> J = jnp.tile(jnp.diag(jnp.array([0.5, 2.0])), (400, 1, 1))
    >>> vj.lyapunov_exponents(vj.JacobianChain(J)).exponents.round(2)
    array([ 0.69, -0.69])

    ??? cite "Reference"
        Benettin, G., Galgani, L., Giorgilli, A. and Strelcyn, J.-M. (1980). Lyapunov characteristic
        exponents for smooth dynamical systems. Meccanica 15, 9-20.
        Engelken, R., Wolf, F. and Abbott, L. F. (2023). Lyapunov spectra of chaotic recurrent
        neural networks. Phys. Rev. Research 5, 043044.
    """
    steps, n = chain.num_steps, chain.bottleneck(0, chain.num_steps)
    chain.check_single("lyapunov_exponents")
    if steps == 0:
        raise ValueError("expected a chain with at least one step; got an empty one.")
    if k is not None and not 1 <= k <= n:
        raise ValueError(f"expected k from 1 to the state size {n}; got {k}.")
    blocks = min(_BLOCKS, max(1, steps // _BLOCK, min(4, steps // 2)))
    edges = np.linspace(0, steps, blocks + 1).astype(int)[1:]
    found = None
    if checkpoint is None and k is not None and 2 * (k + _BESIDE) <= n:
        found, tolerance = _few_columns(chain, k, edges, tolerance)
    is_thin = found is not None
    if found is None:
        found = sweep_chain(
            chain,
            (0, steps),
            edges,
            "forward",
            quantity="log R",
            tolerance=None if tolerance is None else tolerance * steps,
            checkpoint=Checkpoint(checkpoint),
        )
    rates = found.logs[-1] / steps
    order = np.argsort(-rates, kind="stable")[: k or n]
    return LyapunovExponents(
        exponents=rates[order],
        standard_error=_standard_error(found.logs, edges)[order],
        num_steps=steps,
        tolerance=tolerance,
        estimated_error=found.estimate / steps,
        _schedule=found.schedules[0],
        _order=order,
        _sum_of_all=float("nan") if is_thin else float(np.sum(rates)),
        _chain=chain,
    )


def _few_columns(chain, k, edges, tolerance):
    """Return what a sweep of few columns finds, None where losses may count; and its tolerance."""
    steps = chain.num_steps
    if not is_whole(partition(chain, 0, steps)):
        return None, tolerance
    eps, allowed = EPS, tolerance
    if not chain.is_dense and chain.dtype != np.float64:
        # Pushed in float32: as exact as rounding the Jacobians' entries to it.
        eps = float(np.finfo(chain.dtype).eps) / 2
        allowed = max(tolerance or 0.0, _OF_ROUNDING * SAFETY * eps / np.sqrt(steps))
    columns = start_basis(chain.state_size)[:, : k + _BESIDE]
    sweep = ThinSweep(
        push_of(chain, 0, steps, "forward"), columns, steps,
        tolerance=None if allowed is None else _BUDGET * allowed * steps, eps=eps,
    )  # fmt: skip
    before = max(0, steps - _LOOK_BACK)
    try:
        found = {lag: sweep.run(lag) for lag in sorted({before, *edges.tolist()})}
    except NonFiniteStep as error:
        raise_non_finite(error.lag, 0, steps, "forward")
    least = (DEFAULT_TOLERANCE if allowed is None else allowed) * steps
    lost = SAFETY * eps * np.sqrt(np.max(sweep.loss))
    estimate = lost * _amplification(chain, before, found[before].basis, found[steps].basis)
    if not (lost <= least and estimate <= _AMPLIFIED * least):
        return None, tolerance
    logs = np.stack([log_r_diagonal(found[lag]) for lag in edges.tolist()])
    # The bound is that of all columns, every Jacobian factored on its own.
    lengths = np.diff(np.append(np.arange(0, steps, 8), steps))
    return Found(
        logs, float(estimate), [np.stack([lengths, np.zeros_like(lengths)], axis=1)]
    ), allowed


def _amplification(chain, before, start, end):
    """Return what errors of the worst column at step `before` have become at the end.

    Where it is large (defective matrices: 1e10 and more; networks: up to 1e3) so is all the error.
    """
    steps = chain.num_steps
    push = push_of(chain, 0, steps, "backward")
    back = ThinSweep(push, np.linalg.qr(end)[0], steps - before, tolerance=1e-3)
    bases = start, back.run(steps - before).basis
    return np.max(amplification(*(np.linalg.qr(basis)[0] for basis in bases)))


def _standard_error(growth, edges):
    """Return the standard error of the mean rate from the rates over consecutive blocks."""
    error = np.full(growth.shape[1], np.nan)
    if len(edges) < 4:
        return error
    finite = np.isfinite(growth).all(axis=0)
    lengths = np.diff(edges, prepend=0)
    rates = np.diff(growth[:, finite], axis=0, prepend=0) / lengths[:, None]
    error[finite] = np.std(rates, axis=0, ddof=1) / np.sqrt(len(edges))
    return error
