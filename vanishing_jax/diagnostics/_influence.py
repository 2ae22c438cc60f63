"""How strongly the state at each time depends on the state at each earlier time."""

import equinox as eqx
import numpy as np
from jax.core import Tracer
from jaxtyping import Float, Int

from .._chain import JacobianChain
from ..spectra import _moduli
from ..spectra._streams import Push, partition, push_of, stretches

# Right directions pushed from each time: of what lasts to the end, and of the steps to the next.
_LASTING, _NEXT = 8, 2

# Starts pushed together, and steps between two looks at the range.
_TOGETHER, _STEPS = 8, 8


class InfluenceMap(eqx.Module):
    """Log spectral norms log ||ds_t/ds_s|| over a triangular grid of times.

    - `times`: grid of times from 0 to T, ascending, shape (record,).
    - `log_norm`: entry [i, j] for t = times[i], s = times[j] <= t; 0 on the diagonal, -inf for an
      exactly zero product, NaN above the diagonal; shape (record, record).
    - `axis`: what the times count, `"time"` steps or a `"layer"`.
    """

    times: Int[np.ndarray, "record"]
    log_norm: Float[np.ndarray, "record record"]
    axis: str = eqx.field(static=True, default="time")

    def __repr__(self) -> str:
        end = self.log_norm[-1, 0]
        return f"InfluenceMap({len(self.times)} times, log ||ds_T/ds_0|| = {end:.6g})"


def influence_map(chain: JacobianChain, *, points: int = 33, exact: bool = False) -> InfluenceMap:
    """Return log ||ds_t/ds_s||, the largest log singular value of J_t ... J_{s+1}, over a grid.

    Shows where memory is cut: a dark band at time t means that nothing before t reaches anything
    after it (a reset gate, a saturating input); an even slope means steady decay. The norm is the
    best case over all directions: a dark entry means that nothing of s_s is left at t.

    Ten directions are pushed from each time of the grid, by jvp or stored Jacobians: those that a
    block of eight pulled back from the end has become, and two that the steps to the next time
    of the grid stretch most. What becomes of their span bounds every norm from below, and reaches
    it where one direction dominates.

    **Arguments:**

    - `chain`: from `linearize`, of one sequence.
    - `points`: number of grid times, at most T + 1 of them, 0 and T included.
    - `exact`: form the products, scaled by powers of two, and take their norms.

    **Returns:** an `InfluenceMap`; NaN where a Jacobian on the way is not finite.

    **Raises:** `ValueError` for less than two points; `TypeError` for a batch, and under `jit`.

    **Cost:** O(points T n^2), 10 points n numbers of memory; exact T + points^2 / 2 products of
    size n and points n^2 numbers. O(T n) for a diagonal recurrence, real or complex.

    **Validity:** never above the norm but for rounding, and exact for n <= 10 and diagonal
    recurrences. Over the chains of `benchmarks/_chains.py`, n = 64 to 256, grids of 1 to 6 steps,
    it was below by at most 0.36 nats (0.16 decades) for networks, 0.03 where they saturate, and by
    0.56 for triangular matrices and those that cancel in pairs: all of flat spectra, at small lags.
    Exact norms are accurate to a few eps, unless the factors of a product cancel (use
    `log_singular_values`). At n = 256, T = 128 a map takes 0.1 s, an exact one 1.4.

    **Example:**

    >>> import jax.numpy as jnp, vanishing_jax as vj
    >>> chain = vj.JacobianChain(jnp.stack([jnp.array([[0.5, 0.5], [0.0, 0.5]])] * 4))
    >>> vj.diagnostics.influence_map(chain, points=3).log_norm.round(2) + 0.0
    array([[ 0.  ,   nan,   nan],
           [-0.5 ,  0.  ,   nan],
           [-1.33, -0.5 ,  0.  ]])

    ??? cite "Reference"
        Halko, N., Martinsson, P. G. and Tropp, J. A. (2011). Finding structure with randomness.
        SIAM Review 53, 217-288.
    """
    if points < 2:
        raise ValueError(f"expected at least 2 points; got {points}.")
    chain.check_single("influence_map")
    if isinstance(chain._jacobians, Tracer):
        raise TypeError("expected a concrete chain; got a traced one. Call it outside jit.")
    times = np.unique(np.linspace(0, chain.num_steps, points).round().astype(int))
    log_norm = np.where(np.eye(len(times), dtype=bool), 0.0, np.nan)
    for fill in (_from_numbers, _from_products if exact else _from_directions):
        if fill(chain, times, log_norm):
            break
    return InfluenceMap(times, log_norm, chain.axis)


# --- where blocks are scalar or complex ----------------------------------------------------------


def _from_numbers(chain, times, log_norm) -> bool:
    """Fill the map from logs of numbers, if the state falls apart into blocks that are numbers."""
    groups = partition(chain, 0, chain.num_steps)
    if max(group.shape[1] for group in groups) > 2:
        return False
    parts = [np.zeros((len(times) - 1, len(group))) for group in groups]
    for begin, end, found in stretches(chain, groups, 0, chain.num_steps):
        piece = np.searchsorted(times, np.arange(begin, end), side="right") - 1
        for total, blocks in zip(parts, found, strict=True):
            if blocks.shape[-1] == 2 and not np.all(_moduli.are_scaled_rotations(blocks)):
                return False
            sizes = np.hypot(blocks[..., 0, 0], blocks[..., 0, 1] if blocks.shape[-1] == 2 else 0)
            with np.errstate(divide="ignore"):
                np.add.at(total, piece, np.log(sizes))
    logs = np.concatenate(parts, axis=1)
    for i in range(len(logs)):
        log_norm[i + 1 :, i] = np.max(np.cumsum(logs[i:], axis=0), axis=1)
    return True


# --- a few directions -----------------------------------------------------------------------------


def _from_directions(chain, times, log_norm) -> bool:
    """Fill the map from below, by pushing the directions of each start through all that follows."""
    push, starts = push_of(chain, 0, chain.num_steps, "forward"), _directions(chain, times)
    n, width = starts[0].shape if starts else (0, 0)
    for first in range(0, len(starts), _TOGETHER):
        group = starts[first : first + _TOGETHER]
        # As many columns for every group: one program.
        block = np.zeros((n, min(_TOGETHER, len(starts)) * width))
        exponent = np.zeros(min(_TOGETHER, len(starts)), np.int64)
        for i in range(first, len(starts)):
            if i - first < len(group):
                block[:, (i - first) * width : (i - first + 1) * width] = group[i - first]
            block, shift = _pushed(push, int(times[i]), int(times[i + 1]), block, width)
            exponent += shift
            count = min(i - first + 1, len(group))
            logs = _log_norms(block, width) + exponent * np.log(2)
            log_norm[i + 1, first : first + count] = logs[:count]
    return True


def _directions(chain, times) -> list[Float[np.ndarray, "state direction"]]:
    """Return orthonormal directions for each time of the grid but the last."""
    n, end, random = chain.state_size, int(times[-1]), np.random.default_rng(0)
    if n <= _LASTING + _NEXT:
        return [np.eye(n)] * (len(times) - 1)
    forward, backward = (push_of(chain, 0, end, d) for d in ("forward", "backward"))
    lasting, found = random.standard_normal((n, _LASTING)), []
    for s, t in zip(times[-2::-1].tolist(), times[:0:-1].tolist(), strict=True):
        block = np.concatenate([lasting, random.standard_normal((n, _NEXT))], axis=1)
        block = _orthonormal(_pushed(backward, end - t, end - s, block)[0], random)
        lasting = block[:, :_LASTING]
        # What the steps from s to t stretch most: an iteration with the whole block in between.
        image = np.nan_to_num(_pushed(forward, s, t, block)[0])
        most = np.linalg.svd(image, full_matrices=False)[0] * (np.arange(block.shape[1]) < _NEXT)
        nearest = _pushed(backward, end - t, end - s, most)[0][:, :_NEXT]
        found.append(_orthonormal(np.concatenate([lasting, nearest], axis=1), random))
    return found[::-1]


def _orthonormal(block, random):
    """Return the span of a block; random where a column is zero, or not finite."""
    usable = np.isfinite(block).all(axis=0) & np.any(block, axis=0)
    block = np.where(usable, block, random.standard_normal(block.shape))
    return np.linalg.qr(block / np.max(np.abs(block), axis=0))[0]


def _pushed(push: Push, a: int, b: int, block, width: int | None = None):
    """Return the block pushed from lag a to lag b, and the exponents taken out of it.

    One power of two for every `width` columns; None scales each column.
    """
    exponent, width = 0, width or 1
    while a < b:
        steps = min(_STEPS, b - a)
        image = push(a, a + steps, block)
        size = np.abs(image).max(axis=0)
        if steps > 1 and not np.all((size < 1e30) & ((size > 1e-30) | ~np.any(block, axis=0))):
            # At the end of the range, even of float32? Step by step, what is lost is lost.
            steps, image = 1, push(a, a + 1, block)
            size = np.abs(image).max(axis=0)
        size = size.reshape(-1, width).max(axis=1)
        shift = np.where(np.isfinite(size), np.frexp(size)[1], 0)
        block = np.ldexp(image, -np.repeat(shift, width))
        exponent, a = exponent + shift, a + steps
    return block, exponent


def _log_norms(block, width):
    """Return the log of the largest singular value of every `width` columns; NaN where one is."""
    parts = block.reshape(len(block), -1, width).transpose(1, 0, 2)
    known = np.isfinite(parts).all(axis=(1, 2))
    values = np.linalg.eigvalsh(np.swapaxes(parts[known], 1, 2) @ parts[known])[:, -1]
    logs = np.full(len(parts), np.nan)
    with np.errstate(divide="ignore"):
        logs[known] = np.log(np.maximum(values, 0)) / 2
    return logs


# --- all directions -------------------------------------------------------------------------------


def _from_products(chain, times, log_norm) -> bool:
    """Fill the map from formed products: of the steps from time to time, then of these."""
    pieces = [_piece(chain, s, t) for s, t in zip(times[:-1], times[1:], strict=True)]
    for j in range(len(pieces)):
        product, exponent = pieces[j]
        for i in range(j, len(pieces)):
            if i > j:
                product, shift = _scaled(pieces[i][0] @ product)
                exponent += pieces[i][1] + shift
            with np.errstate(divide="ignore"):
                log_norm[i + 1, j] = np.log(_norm(product)) + exponent * np.log(2)
    return True


def _piece(chain, s, t):
    """Return J_t ... J_{s+1} as a matrix and an exponent."""
    product, exponent = np.eye(chain.state_size), 0
    for a, b in chain.segments(int(s), int(t)):
        for J in np.asarray(chain.segment(a, b)):
            product, shift = _scaled(J.astype(np.float64, copy=False) @ product)
            exponent += shift
    return product, exponent


def _scaled(matrix):
    size = np.abs(matrix).max()
    shift = int(np.frexp(size)[1]) if np.isfinite(size) else 0
    return np.ldexp(matrix, -shift), shift


def _norm(matrix) -> float:
    """Return the spectral norm, the root of the largest eigenvalue of its square."""
    if not np.isfinite(matrix).all():
        return float("nan")
    return float(np.sqrt(max(np.linalg.eigvalsh(matrix.T @ matrix)[-1], 0.0)))
