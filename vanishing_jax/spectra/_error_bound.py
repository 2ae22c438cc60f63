r"""How far off a sweep's numbers can be, by first-order perturbation theory.

An error E committed at step t, Q_t R_t = J_t Q_{t-1} + E, changes log sigma_i by b_i^T E x_i, where
a_i(t) = Q_t x_i(t) is what has become of the right singular vector v_i, and b_i(t) the left one
pulled back, scaled so that b_i(t)^T a_i(t) = 1. Neither can be had by stepping forward: the
direction that grows fastest swamps the others. But let the sweep start with Q_0 V, V the right
vectors that a rough sweep has found. Then X_t = (x_1, x_2, ...) is *upper triangular* at every t,
the coordinates of b_i(t) in the basis are the rows of Y_t = X_t^-1, and both recursions

    X_{t-1} = R_t^-1 X_t,    Y_{t-1} = Y_t R_t

are stable backward in time: rounding in them decays. A product C = F G commits independent errors
of about eps |F| |G| in each entry, so that the variance of log sigma_i is

    eps^2 sum over products and steps of sum_jkl (b_j F_jk G_kl x_l)^2,

squares of matrices, multiplied. With any other start the same sums are about log |R_ii|, whose
vectors are triangular whatever the start: they bound the exponents.

The same sum for entries of J_t that are off by a relative u says what rounding the Jacobians to
float32 may have changed.
"""

import functools as ft
import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from .._chain import JacobianChain
from .._progress import progress
from . import _lapack as la
from . import _moduli
from ._balance import ZERO
from ._decoupled import sweep_blocks
from ._finish import log_r_diagonal, log_singular_values_of, with_right_vectors
from ._streams import Direction, partition
from ._sweep import EPS, SAFETY, Factor, Product, Sweep, start_basis

# Of the error of the finish.
FLOOR = 1e-13

# Factors of all steps kept at once, in bytes; beyond, parts of the sweep are repeated.
_KEPT_BYTES = 2**30

# From here on, in nats, first-order estimates mean nothing.
_LARGEST = 1.0

# Tolerance of the sweep that finds the right vectors, in nats.
_ROUGH = 1e-3

# More components than the range of floats has bits may be more scales than the finish can hold.
_MOST = 900


class Variances(NamedTuple):
    """First-order variances of the r values that are not zero, in units of the squared roundoff.

    - `arithmetic`: by the roundings of the sweep, in units of (2^-53)^2.
    - `jacobians`: by independent relative errors of the Jacobians' entries, in units of their
      square.
    - `product`: what the sweep has found.
    """

    arithmetic: Float[np.ndarray, "direction"]
    jacobians: Float[np.ndarray, "direction"]
    product: Product


def variances(make: Callable[[], Sweep]) -> Variances:
    """Return the variances of the sweep that `make` begins, over all of its steps.

    **Cost:** two to three sweeps, and 2 T n^2 numbers; where they take more than 1 GiB, parts are
    swept again.
    """
    sweep = make()
    steps, n = sweep.num_steps, sweep.n
    starts = []

    def begin_part(sweep):
        starts.append(sweep.copy())
        sweep.kept = []

    def after_chunk(sweep):
        if 16 * n * n * sum(len(one.jacobians) for one in sweep.kept) > _KEPT_BYTES:
            begin_part(sweep)

    begin_part(sweep)
    sweep.run(steps, after_chunk=after_chunk)
    kept: list[Factor] = sweep.kept or []
    product = sweep.product
    r = int(np.sum(product.exponent != ZERO))
    S = np.linalg.qr(product.basis, mode="r")
    back = _Backward(S[:r])
    for i, start in reversed(list(enumerate(starts))):
        if i < len(starts) - 1:
            again = start.copy()
            again.kept = kept = []
            again.run(starts[i + 1].t, exact_end=False)
        before = Factor(np.empty((0, n, n)), start.lu, start.permutation)
        for one, last in zip(kept[::-1], [*kept[-2::-1], before][: len(kept)], strict=True):
            back.pull(one, last)
    return Variances(back.arithmetic, back.jacobians, product)


class _Backward:
    """X_t and Y_t, columns of X scaled to a diagonal of ones, and the sums so far."""

    def __init__(self, S):
        r = len(S)
        X = la.blas.dtrsm(1.0, S[:, :r], np.eye(r), lower=0)
        scale = np.diagonal(X).copy()
        self.X, self.Y = np.asfortranarray(X / scale), np.asfortranarray(S * scale[:, None])
        self.arithmetic, self.jacobians = np.zeros(r), np.zeros(r)

    def pull(self, factor: Factor, before: Factor) -> None:
        """Go back by one factorization, A = J Q_{t-1} = Pi L R, `before` being that of Q_{t-1}."""
        lu, r, dtrmm, dtrsm = factor.lu, len(self.X), la.blas.dtrmm, la.blas.dtrsm
        if r == 0:
            return
        with np.errstate(all="ignore"):
            d = lu.diagonal()[:r]
            B2 = dtrsm(1.0, lu, self.Y, side=1, lower=1, diag=1) ** 2  # b, in the order of pivots
            Y2 = self.Y[:, :r] ** 2
            self.X = dtrsm(1.0, lu[:r, :r], self.X, lower=0, overwrite_b=1)
            self.X *= d
            self.Y = dtrmm(1.0, lu, self.Y, side=1, lower=0, overwrite_b=1)
            self.Y /= d[:, None]
            X2, L2 = np.asfortranarray(self.X**2), lu**2
            # The product L R, and J Q: of several Jacobians, the squares of each in turn.
            RX = dtrmm(1.0, L2[:r, :r], X2)
            BL = dtrmm(1.0, L2, B2, side=1, lower=1, diag=1)[:, :r]
            squares = ft.reduce(np.matmul, factor.jacobians**2)
            squares = squares[before.permutation][:, factor.permutation]
            QX = np.tril(before.lu[:, :r] ** 2, -1) @ X2
            QX[:r] += X2
            entries = len(factor.jacobians) * np.einsum("ij,ji->i", B2 @ squares.T, QX) / d**2
            self.arithmetic += np.einsum("ij,ji->i", BL + Y2, RX) / d**2 + entries
            self.jacobians += entries


def spectrum_errors(
    chain: JacobianChain,
    windows: Int[np.ndarray, "record 2"],
    direction: Direction,
    schedules: list[Int[np.ndarray, "_ 2"]],
    logs: Float[np.ndarray, "*batch record state"],
) -> list[Float[np.ndarray, "*batch record state"]]:
    """Return error bound and input rounding of every log singular value of each window.

    Of `logs`, which sweeps that went by these `schedules` have found (one for each sequence). The
    bound is that of a sweep with another start, plus how far apart the two are.
    """
    batch = chain.batch_size
    chains = [chain] if batch is None else [chain[i] for i in range(batch)]
    lengths = windows[:, 1] - windows[:, 0]
    total, longest = len(chains) * int(lengths.sum()), int(lengths.max())
    found = []
    with progress(total, "Error bound") as bar:
        for one, schedule in zip(chains, schedules, strict=True):
            rows = []
            for s, t in windows.tolist():
                window = one, s, t, direction, schedule, longest
                rows.append(_window_errors(*window, of_singular_values=True))
                bar.update(t - s)
            found.append(rows)
    again, bound, rounding = np.moveaxis(np.array(found)[..., : logs.shape[-1]], -2, 0)
    if batch is None:
        again, bound, rounding = again[0], bound[0], rounding[0]
    with np.errstate(invalid="ignore"):
        apart = np.abs(again - logs)
    bound = bound + np.where(np.isneginf(again) & np.isneginf(logs), 0.0, apart)
    return [np.where(bound < _LARGEST, bound, np.inf), rounding]


def log_r_errors(
    chain: JacobianChain, schedule: Int[np.ndarray, "chunk 2"]
) -> Float[np.ndarray, "state"]:
    """Return the bound on the error of each log |R_ii| of the whole chain, in their order."""
    steps = chain.num_steps
    return _window_errors(chain, 0, steps, "forward", schedule, steps, of_singular_values=False)[1]


def _window_errors(chain, s, t, direction, schedule, longest, *, of_singular_values):
    """Return (3, state): logs of one window, their bounds and input rounding.

    `schedule` is that of `longest` steps, of one block after the other.
    """
    eps, steps = float(np.finfo(chain.dtype).eps) / 2, t - s
    ends = np.flatnonzero(np.cumsum(schedule[:, 0]) % max(longest, 1) == 0) + 1
    schedules = itertools.cycle(np.split(schedule, ends))  # without steps the same for all blocks

    def of_numbers(product):
        rounding = np.where(product.mantissa == 0, 0.0, SAFETY * eps * np.sqrt(steps))
        return np.stack([_moduli.logs_of(product), _moduli.error_of(product), rounding], axis=-1)

    def of_block(feed, n):
        start, finish, schedule = None, log_r_diagonal, next(schedules)
        if of_singular_values:
            rough = Sweep(feed, n, steps, tolerance=_ROUGH).run(steps)
            start, finish = start_basis(n) @ with_right_vectors(rough)[1], log_singular_values_of

        def swept(schedule):
            found = variances(lambda: Sweep(feed, n, steps, start=start, schedule=schedule))
            logs, rounding = finish(found.product), np.zeros(n)
            rounding[: len(found.jacobians)] = SAFETY * eps * np.sqrt(found.jacobians)
            rounding[np.isnan(rounding)] = np.inf
            bounds = error_bounds(found, logs, mix=of_singular_values)
            return np.stack([logs, bounds, rounding], axis=-1)[None]

        found = swept(schedule)
        if of_singular_values and schedule[:, 1].any() and not np.all(found[..., 1] < _LARGEST):
            # A product of several may lose a pivot from this start that it kept from the other.
            return swept(schedule * [1, 0])
        return found

    found = sweep_blocks(
        chain, partition(chain, s, t), s, t, np.array([steps]), direction,
        of_numbers=of_numbers, of_block=of_block,
    )[0].T  # fmt: skip
    return found[:, np.argsort(-found[0], kind="stable")] if of_singular_values else found


def error_bounds(
    found: Variances, logs: Float[np.ndarray, "state"], *, mix: bool
) -> Float[np.ndarray, "state"]:
    """Return the bound on the error of each of `logs`, inf where a zero may be a lost pivot.

    `mix`: values closer to each other than their errors, of a repeated singular value, share their
    variance, because those of a perturbed cluster spread as the root of its size.
    """
    r = len(found.arithmetic)
    total = found.arithmetic
    if mix and r:
        with np.errstate(invalid="ignore"):
            # No further than first order means anything: a lost value says nothing of the others.
            spread = np.minimum(8 * EPS * np.sqrt(total + total[:, None]), _LARGEST)
            total = (np.abs(logs[:r, None] - logs[:r]) < spread) @ total
    bounds = np.zeros(len(logs))
    bounds[:r] = SAFETY * EPS * np.sqrt(total) + 4 * EPS * np.abs(logs[:r]) + FLOOR
    # A row of zeros is a zero. One that cancelled has a pivot worth nothing: an infinite loss.
    bounds[r:] = 0.0 if np.isfinite(found.product.loss) else np.inf
    bounds[np.isnan(bounds) | (len(logs) > _MOST)] = np.inf
    return bounds
