"""The finite-time singular-value spectrum of products of Jacobians."""

import functools as ft
import os
from collections.abc import Sequence

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from .._chain import JacobianChain, resolve_window
from .._repr_html import table_html
from ._checkpoint import Checkpoint
from ._error_bound import spectrum_errors
from ._streams import Direction
from ._sweep_chain import sweep_chain

DEFAULT_TOLERANCE = 1e-8


class Spectrum(eqx.Module):
    """Log singular values of one or several products of Jacobians.

    - `log_singular_values`: natural logs, descending, shape (state,) or (record, state), after a
      batch axis if the chain has one; -inf for a singular value that is exactly zero.
    - `windows`: the pairs (s, t) of the products J_t ... J_{s+1}, shape (2,) or (record, 2).
    - `direction`: `"forward"` (common start s) or `"backward"` (common end t).
    - `dtype`: dtype of the Jacobians; `arithmetic_dtype`: that of the computation.
    - `tolerance`: what the sweep was allowed to lose, in nats; None: every Jacobian was factored on
      its own.
    - `axis`: what a lag counts, `"time"` steps or a `"layer"`.
    - `estimated_error`: what the losses of the factorizations have become at the end, in nats, of
      the value hit hardest: a first-order estimate that the sweep makes on its way, in the median
      some tens of times the error. NaN of large batches of small chains, which are swept by a
      compiled scan that does not look at it.

    Computed when read, and kept: `error_bound`, `rounding_of_jacobians`.
    """

    log_singular_values: Float[np.ndarray, "*shape state"]
    windows: Int[np.ndarray, "*record 2"]
    direction: Direction
    dtype: str
    arithmetic_dtype: str
    tolerance: float | None
    axis: str = eqx.field(static=True)
    estimated_error: float
    _schedules: list[Int[np.ndarray, "_ 2"]]
    _chain: JacobianChain
    _first: int = 0  # the s of `windows` at which `_chain` begins

    @property
    def error_bound(self) -> Float[np.ndarray, "*shape state"]:
        """Bound on the absolute error of each log (the relative error of the singular value).

        Made by the arithmetic on the Jacobians given; it does not know how exact those are (see
        `rounding_of_jacobians`). First-order perturbation theory for every product and every
        factorization (`spectra._error_bound`), eight standard deviations of it: calibrated, not
        proven; `benchmarks/README.md` says how it fared on chains that did not choose the factor.
        inf where a zero may be a lost pivot, and above 900 components. Reading it costs three to
        six sweeps over each window, and up to 1 GiB.
        """
        return self._errors[0]

    @property
    def rounding_of_jacobians(self) -> Float[np.ndarray, "*shape state"]:
        """Bound on what rounding the Jacobians' entries to `dtype` may have changed in each log.

        What float32 Jacobians can give, whatever the arithmetic (`linearize(..., precision=
        "float64")` gets around it). Computed together with `error_bound`.
        """
        return self._errors[1]

    @ft.cached_property
    def _errors(self):
        logs, windows = self.log_singular_values, np.atleast_2d(self.windows) - self._first
        single = self.windows.ndim == 1
        recorded = (logs[..., None, :] if single else logs)[..., : self._chain.state_size]
        found = spectrum_errors(self._chain, windows, self.direction, self._schedules, recorded)
        # Values beyond the chain's size, of a block of a product, are exactly zero.
        missing = [(0, 0)] * (recorded.ndim - 1) + [(0, logs.shape[-1] - recorded.shape[-1])]
        found = [np.pad(x, missing) for x in found]
        beyond = np.arange(logs.shape[-1]) >= _counts(self._chain, windows)[:, None]
        errors = [np.where(beyond, 0.0, x) for x in found]
        return [x[..., 0, :] for x in errors] if single else errors

    @property
    def lags(self) -> Int[np.ndarray, "*record"]:
        """Number of Jacobians t - s in each product."""
        return self.windows[..., 1] - self.windows[..., 0]

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
        logs = self.log_singular_values.reshape(-1, self.log_singular_values.shape[-1])
        largest, smallest = logs[-1, 0], logs[-1, -1]
        where = tuple(np.atleast_2d(self.windows)[-1].tolist())
        records = f"{len(logs)} spectra, last window " if len(logs) > 1 else "window "
        zeros = int(np.sum(np.isneginf(logs[-1])))
        return (
            f"Spectrum({self.direction}, {records}{where}: log sigma from {largest:.6g} to "
            f"{smallest:.6g}, {zeros} exact zeros{self._error_text()}; "
            f"{self.dtype} Jacobians, {self.arithmetic_dtype} arithmetic)"
        )

    def _repr_html_(self) -> str:
        logs = self.log_singular_values.reshape(-1, self.log_singular_values.shape[-1])
        windows = np.atleast_2d(self.windows)
        rows = [
            ("products", f"{len(logs)}, of {windows.min()} to {windows.max()}, {self.direction}"),
            ("log sigma", f"{logs[-1, 0]:.6g} to {logs[-1, -1]:.6g} in the last"),
            ("exact zeros", str(int(np.sum(np.isneginf(logs[-1]))))),
            ("error", self._error_text().removeprefix(", ") or "read error_bound"),
            ("dtype", f"{self.dtype} Jacobians, {self.arithmetic_dtype} arithmetic"),
        ]
        return table_html("Spectrum", rows)

    def _error_text(self) -> str:
        """Return what is known of the error so far; nothing is computed for it."""
        if "_errors" not in self.__dict__:
            known = not np.isnan(self.estimated_error)
            text = f", estimated error {self.estimated_error:.1e}" if known else ""
            if self.tolerance is not None and not self.estimated_error <= self.tolerance:
                text += f" (tolerance {self.tolerance:.1e} not checked: read error_bound)"
            return text
        text = f", error <= {float(np.max(self.error_bound, initial=0)):.1e}"
        if self.dtype == "float32":
            known = float(np.max(self.rounding_of_jacobians, initial=0))
            text += f" (known to {known:.0e}: float32 entries)"
        return text if self.meets_tolerance else f"{text}, above the tolerance {self.tolerance:.1e}"


def log_singular_values(
    chain: JacobianChain,
    *,
    window: tuple[int, int] | None = None,
    every: int | None = None,
    lags: Sequence[int] | None = None,
    direction: Direction = "forward",
    k: int | None = None,
    tolerance: float | None = DEFAULT_TOLERANCE,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Spectrum:
    """Return the log singular values of products of Jacobians, each to full relative accuracy.

    These are the singular values of J_t ... J_{s+1} = ds_t/ds_s at finite time: how much each
    direction of the state is stretched between s and t. They are neither QR growth rates (see
    `lyapunov_exponents`: those differ by O(1) nats at every lag) nor the norm of one
    back-propagated gradient (see `gradient_profile`). The product is never formed; its factors
    carry integer exponents (`spectra._sweep`), so spectra that span e^-10000 to e^+10000 are as
    accurate as those near 1. The arithmetic is float64 on the CPU whatever the Jacobians' dtype
    and the x64 flag.

    **Arguments:**

    - `chain`: from `linearize`, or `JacobianChain(array)`; a batch, dense or streamed, from
      `eqx.filter_vmap`, whose batch axis comes first in the result.
    - `window`: (s, t) for J_t ... J_{s+1}; default the whole chain.
    - `every`: record a spectrum at each `every`-th lag, and at the last; default only the last.
    - `lags`: record at these lags instead, ascending, each from 0 to t - s.
    - `direction`: `"forward"` keeps s and gives J_{s+lag} ... J_{s+1} (what the state at s
      influences); `"backward"` keeps t and gives J_t ... J_{t-lag+1} (what back-propagation from t
      sees).
    - `k`: return the k leading ones only.
    - `tolerance`: how far off, in nats, sharing factorizations may make a value: up to 32
      neighboring Jacobians are multiplied first, as far as it allows, which is faster. None factors
      every Jacobian on its own. What is lost is amplified by the steps that follow, by how much
      the sweep learns from those behind it. `Spectrum.meets_tolerance` says if the tolerance was
      met in the end, the repr if that was not checked.
    - `checkpoint`: a file (safetensors) that keeps the sweep every few seconds, and when it is
      interrupted. The same call goes on from there, to the same result bit by bit; once finished it
      returns at once. Delete the file to start anew.

    **Returns:** a `Spectrum` holding NumPy arrays. Of a rectangular chain there are as many values
    as the narrowest state of the window has components (of several windows: the least narrow; -inf
    beyond a narrower one), all others being zero.

    **Raises:** `NonFiniteError` for a NaN or infinite Jacobian, with its step; `ValueError` for a
    bad window, lag or k, and for a checkpoint that is damaged or belongs to another computation;
    `TypeError` under `jit` or `vmap` (use `spectra.product_log_singular_values` there).

    **Cost:** one LU factorization and one triangular product for 1 to 32 steps, and one product of
    Jacobians a step where they share one; one SVD per record: O((T + records) n^3) on the host, in
    LAPACK; O(n^2) memory beyond the Jacobians, which may be a `numpy.memmap`. Nothing is compiled
    but the Jacobians of a streamed chain, once for every T. Against the usual recipe (jacfwd,
    product and QR at each step under jit) see `benchmarks/README.md`. A progress bar appears when
    it takes more than two seconds. Where the state falls apart into blocks that no Jacobian couples
    (`spectra.decoupled_blocks`), blocks are swept on their own: O(T n) for a diagonal recurrence,
    real or complex, streamed by one or two tangents a step.

    **Validity:** |error| <= 1e-8 nats against exact products, n <= 64, for tanh (gain 0.5 to 20),
    LSTM, ReLU (zero rows and columns give exact zeros), orthogonal, Gaussian chains and grading
    over six decades on both sides, in both directions (`tests/spectra/test_log_singular_values.py`,
    `benchmarks/bench_accuracy.py` over 2000 steps). Products of repeated defective matrices are
    ill-conditioned: rounding the entries of a rotated Jordan block of size 8, repeated 500 times,
    changes logs by up to 1e-2, and the computed ones are no better. `error_bound` says so.
    float32 Jacobians are known to `Spectrum.rounding_of_jacobians` only.
    Subnormal entries may count as zero, and a float32 Jacobian of a tanh unit beyond |x| = 43 is
    zero: see `linearize(..., precision="float64")`. Decoupled numbers are exact to T eps, over any
    range and with subnormal entries (`tests/spectra/test_decoupled.py`). More than 900 different
    scales (n > 900) of one block give an infinite bound.

    **Example:**

    >>> import jax.numpy as jnp, vanishing_jax as vj
    >>> J = jnp.tile(jnp.diag(jnp.array([0.5, 0.25])), (9000, 1, 1))
    >>> vj.log_singular_values(vj.JacobianChain(J)).log_singular_values.round(2)
    array([ -6238.32, -12476.65])

    ??? cite "Reference"
        Stewart, G. W. (1997). On graded QR decompositions of products of matrices. ETNA 5, 29-49.
        Oliveira, S. and Stewart, D. E. (2000). Exponential splittings of products of matrices and
        accurately computing singular values of long products. Linear Algebra Appl. 309, 175-190.
    """
    s, t = resolve_window(window, chain.num_steps)
    if direction not in ("forward", "backward"):
        raise ValueError(f"expected direction 'forward' or 'backward'; got {direction!r}.")
    record_lags = _record_lags(t - s, every, lags)
    starts, ends = (s, s + record_lags) if direction == "forward" else (t - record_lags, t)
    windows = np.stack(np.broadcast_arrays(starts, ends), axis=-1).astype(np.int64)
    # What lies beyond the narrowest state of a window is zero by construction, and left out.
    counts = _counts(chain, windows)
    n = int(counts.max())
    if k is not None and not 1 <= k <= n:
        raise ValueError(f"expected k from 1 to the state size {n}; got {k}.")
    found = sweep_chain(
        chain,
        (s, t),
        record_lags,
        direction,
        quantity="singular values",
        tolerance=tolerance,
        checkpoint=Checkpoint(checkpoint),
    )
    beyond = np.arange(chain.state_size) >= counts[:, None]
    single = every is None and lags is None
    record = (..., 0, slice(k or n)) if single else (..., slice(None), slice(k or n))
    return Spectrum(
        np.where(beyond, -np.inf, found.logs)[record],
        windows[0] if single else windows,
        direction,
        str(chain.dtype),
        "float64",
        tolerance,
        chain.axis,
        found.estimate,
        found.schedules,
        chain,
    )


def _counts(chain, windows):
    """Return how many values of each window can be nonzero."""
    if not chain.is_rectangular:
        return np.full(len(windows), chain.state_size)
    return np.array([chain.bottleneck(*window) for window in windows.tolist()])


def _record_lags(length: int, every, lags):
    if every is not None and lags is not None:
        raise ValueError("expected every= or lags=, not both.")
    if lags is not None:
        result = np.asarray(lags, np.int64)
        ascending = result.ndim == 1 and result.size > 0 and bool(np.all(np.diff(result) > 0))
        if not ascending or result[0] < 0 or result[-1] > length:
            raise ValueError(f"expected ascending lags from 0 to {length}; got {list(lags)}.")
        return result
    if every is None:
        return np.array([length])
    if every < 1:
        raise ValueError(f"expected every >= 1; got {every}.")
    regular = np.arange(every, length + 1, every)
    return regular if regular.size and regular[-1] == length else np.append(regular, length)
