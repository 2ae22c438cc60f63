"""A few singular values of a product of Jacobians of large states, without any n by n array."""

import contextlib
import functools as ft

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.core import Tracer

from .._chain import JacobianChain, resolve_window
from .._checks import NonFiniteError
from .._types import Key
from ._block_iteration import Triplets, block_iteration
from ._block_solve import BlockSolver
from ._partial_spectrum import PartialSpectrum
from ._thin_product import thin_product


def leading_singular_values(
    chain: JacobianChain,
    k: int,
    *,
    window: tuple[int, int] | None = None,
    oversample: int = 10,
    tolerance: float = 1e-6,
    max_passes: int = 40,
    key: Key | None = None,
) -> PartialSpectrum:
    """Return the k largest singular values of J_t ... J_{s+1} with their vectors, matrix-free.

    What survives from s to t, and which components of the state carry it, for states too large for
    `log_singular_values`. A block of k + oversample vectors is pushed through the chain by jvp and
    pulled back by vjp in turns; the Ritz values of all blocks so far (block Krylov space) approach
    the singular values from below. The blocks are graded (integer exponents), so the k values may
    span any range. One forward pass alone is off by O(1) e-folds; the result says how far it has
    converged.

    **Arguments:**

    - `chain`: from `linearize`; streamed or dense.
    - `k`: number of values, from 1 to the state size.
    - `window`: (s, t) for J_t ... J_{s+1}; default the whole chain.
    - `oversample`: further vectors in the block. More of them cost more per pass and need fewer
      passes.
    - `tolerance`: passes end when the error estimate of every log (in nats) is below it, or below
      rounding.
    - `max_passes`: passes at most, at least 2.
    - `key`: random key of the starting block; None takes a fixed one.

    **Returns:** a `PartialSpectrum`, natural logs, descending.

    **Raises:** `ValueError` for a bad k, window or option; `NonFiniteError` for a NaN or infinite
    Jacobian, with its step; `TypeError` under `jit`.

    **Cost:** per pass t - s times k + oversample Jacobian-vector products and an LU of that many
    columns, O((t - s) n (k + oversample)^2); 16 n (k + oversample) numbers of memory. Passes: 2 for
    coinciding values; else, by how much the k-th and the (k + oversample)-th log differ, 3 at 10
    nats, 5 at 3, 7 at 1, 11 at 0.3, 24 at 0.01 (float64, tolerance 1e-6). Against the full spectrum
    that was 0.4 of the time at n = 512 and 0.2 at n = 1500 (k = 3, seven and twelve passes).

    **Validity:** dense Jacobians are computed on in float64, streamed ones in their own dtype; the
    error estimate includes its rounding. Tested against products in high precision and against the
    full spectrum: over random chains of twelve families, after any number of passes, no error was
    more than half of its estimate (`tests/spectra/test_leading.py`). Like all such methods, it
    can miss a direction to which the random start is orthogonal up to rounding.

    **Example:**

    >>> import jax.numpy as jnp, vanishing_jax as vj
    >>> J = jnp.stack([jnp.diag(jnp.exp(-jnp.arange(1.0, 21.0)))] * 300)
    >>> leading = vj.spectra.leading_singular_values(vj.JacobianChain(J), 3)
    >>> leading.log_singular_values.round(3), leading.converged
    (array([-300., -600., -900.]), True)

    ??? cite "Reference"
        Musco, C. and Musco, C. (2015). Randomized block Krylov methods for stronger and faster
        approximate singular value decomposition. NeurIPS 28.
        Halko, N., Martinsson, P. G. and Tropp, J. A. (2011). Finding structure with randomness.
        SIAM Review 53, 217-288.
    """
    window = _check(chain, k, window, oversample, tolerance, max_passes)
    outcome, dtype = _iterate(chain, k, window, oversample, tolerance, max_passes, key, None)
    status = "converged"
    if not outcome.converged:
        status = f"not converged: raise max_passes={max_passes} or oversample={oversample}"
        if not np.all(outcome.rounding_error < 1):
            status = "lost to rounding"
    return _result(chain, window, outcome, "leading", status, dtype, tolerance)


def trailing_singular_values(
    chain: JacobianChain,
    k: int,
    *,
    window: tuple[int, int] | None = None,
    oversample: int = 10,
    tolerance: float = 1e-6,
    max_passes: int = 40,
    solver_blocks: int = 16,
    solver_restarts: int = 8,
    key: Key | None = None,
) -> PartialSpectrum:
    """Return the k smallest singular values of J_t ... J_{s+1} with their vectors, matrix-free.

    The largest of the inverse product, by the iteration of `leading_singular_values`: each step
    solves J_t X = B for a block by block GMRES. It suits steps near the identity (leaky, gated and
    residual networks with few strongly changed directions). Iterative solves of a general J_t of
    size n need a Krylov space of nearly n vectors, and a saturated or rank-deficient one has no
    inverse: where an n by n array fits into memory, `log_singular_values` is faster, gives
    all values, and knows exact zeros.

    **Arguments:**

    - `chain`, `k`, `window`, `oversample`, `tolerance`, `max_passes`, `key`: as for
      `leading_singular_values`.
    - `solver_blocks`: blocks of k + oversample vectors in the Krylov space of a solve.
    - `solver_restarts`: restarts of a solve at most.

    **Returns:** a `PartialSpectrum`, natural logs, descending: the last k of the spectrum. Its
    error estimate adds the relative residuals of all solves. Values are NaN and `error_bound` inf,
    and `status` says so, when solves failed: a singular value may then be zero.

    **Raises:** as `leading_singular_values`.

    **Cost:** per pass and step up to `solver_blocks * solver_restarts` products with the block and
    O(n (solver_blocks (k + oversample))^2) for each restart; n solver_blocks (k + oversample)
    numbers of memory.

    **Validity:** within its estimate of the full spectrum on tanh networks up to gain 3, Gaussian,
    orthogonal, triangular and leaky chains; refused (NaN) on saturated and ReLU chains
    (`tests/spectra/test_leading.py`).

    **Example:**

    >>> import jax.numpy as jnp, vanishing_jax as vj
    >>> J = jnp.stack([jnp.diag(jnp.linspace(0.5, 1.0, 6))] * 20)
    >>> trailing = vj.spectra.trailing_singular_values(vj.JacobianChain(J), 2)
    >>> trailing.log_singular_values.round(3), trailing.converged
    (array([-10.217, -13.863]), True)
    """
    window = _check(chain, k, window, oversample, tolerance, max_passes)
    chain.check_square("trailing singular values")
    for name, value in (("solver_blocks", solver_blocks), ("solver_restarts", solver_restarts)):
        if value < 1:
            raise ValueError(f"expected {name} >= 1; got {value}.")
    p = min(k + oversample, chain.state_size)
    accuracy = max(1e-13, 1e-2 * tolerance / max(1, window[1] - window[0]))
    blocks = min(solver_blocks, -(-chain.state_size // p))
    solver = BlockSolver(blocks, solver_restarts, accuracy)
    outcome, dtype = _iterate(chain, k, window, oversample, tolerance, max_passes, key, solver)
    status = "converged"
    logs, left, right = outcome.triplets
    if not np.all(outcome.rounding_error < 1):
        logs = np.full(k, np.nan)
        status = "linear solves failed: a step is singular, saturated, or needs more solver_blocks"
    elif not outcome.converged:
        status = f"not converged: raise max_passes={max_passes} or oversample={oversample}"
    # P^{-1} u = v / sigma: the vectors of the inverse change sides, and the order turns around.
    turned = Triplets(-logs[::-1], right[:, ::-1], left[:, ::-1])
    outcome = outcome._replace(
        triplets=turned,
        iteration_error=outcome.iteration_error[::-1],
        rounding_error=outcome.rounding_error[::-1],
        vector_error=outcome.vector_error[::-1],
    )
    return _result(chain, window, outcome, "trailing", status, dtype, tolerance)


def _check(chain, k, window, oversample, tolerance, max_passes) -> tuple[int, int]:
    """Return the window, after checking everything."""
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(chain)):
        raise TypeError(
            "expected a concrete chain; got a traced one. Partial spectra iterate until they "
            "converge and run outside jit and vmap."
        )
    chain.check_single("partial spectra")
    s, t = resolve_window(window, chain.num_steps)
    n = chain.bottleneck(s, t)
    if not 1 <= k <= n:
        raise ValueError(f"expected k from 1 to the state size {n}; got {k}.")
    if oversample < 0:
        raise ValueError(f"expected oversample >= 0; got {oversample}.")
    if not tolerance > 0:
        raise ValueError(f"expected a tolerance > 0; got {tolerance}.")
    if max_passes < 2:
        raise ValueError(f"expected max_passes >= 2, forward and back; got {max_passes}.")
    return s, t


def _iterate(chain, k, window, oversample, tolerance, max_passes, key, solver):
    """Return the outcome of the block iteration and the dtype it was computed in."""
    n = chain.state_size
    start = _start(n, min(k + oversample, n), key)
    with contextlib.ExitStack() as stack:
        if chain.is_dense:
            stack.enter_context(jax.enable_x64(True))
            stack.enter_context(jax.default_device(jax.local_devices(backend="cpu")[0]))
            # Without its cell: the stored Jacobians are what was asked about.
            chain = JacobianChain(jnp.asarray(np.asarray(chain.jacobians, np.float64)))
        elif chain.dtype == np.float64:
            stack.enter_context(jax.enable_x64(True))
        forward, adjoint = (
            ft.partial(_apply, chain, window, jnp.asarray(transpose), solver)
            for transpose in (False, True)
        )
        outcome = block_iteration(
            forward,
            adjoint,
            start,
            k,
            tolerance=tolerance,
            max_passes=max_passes,
            eps=float(np.finfo(chain.dtype).eps),
        )
    return outcome, str(chain.dtype)


def _apply(chain, window, transpose, solver, block):
    s, t = (jnp.asarray(moment, jnp.int32) for moment in window)
    block = jnp.asarray(block.astype(chain.dtype))
    product = thin_product(chain, block, s, t, transpose, solver=solver)
    if product.failed_step and solver is None:
        raise NonFiniteError(
            f"expected finite Jacobians; J_t times a vector is NaN or infinite at t = "
            f"{int(product.failed_step)}. Check the states of the trajectory there."
        )
    return product


def _start(n: int, p: int, key: Key | None):
    """Return a random orthonormal block."""
    if key is None:
        normal = np.random.default_rng(0).standard_normal((n, p))
    else:
        normal = np.asarray(jr.normal(key, (n, p), jnp.float32), np.float64)
    return np.linalg.qr(normal)[0]


def _result(chain, window, outcome, which, status, dtype, tolerance) -> PartialSpectrum:
    logs, left, right = outcome.triplets
    largest = np.argmax(np.abs(right), axis=0)
    sign = np.where(np.take_along_axis(right, largest[None], axis=0) < 0, -1.0, 1.0)
    start, end = (chain.widths[moment] for moment in window)
    known = ~np.isnan(logs)
    error = np.where(known, outcome.iteration_error + outcome.rounding_error, np.inf)
    return PartialSpectrum(
        log_singular_values=logs,
        error_bound=error,
        rounding_error=np.where(known, outcome.rounding_error, np.inf),
        right_vectors=(right * sign)[:start],
        left_vectors=(left * sign)[:end],
        vector_error=np.where(known, outcome.vector_error, 1.0),
        windows=np.asarray(window, np.int64),
        which=which,
        num_passes=outcome.num_passes,
        status=status,
        dtype=str(chain.dtype),
        arithmetic_dtype=dtype,
        tolerance=float(tolerance),
        _blocks=tuple((name, part.start, part.stop) for name, part in chain.blocks.items()),
    )
