"""Batches of many small chains, side by side in one compiled scan (`_scan`), finished on the host.

For one small chain LAPACK's calls from Python cost as much as what they do; a scan under vmap does
not have that cost, but a second of compilation. So it pays for much work only, and where sequences
agree in how many Jacobians may share a factorization, which one of them is tried for.
"""

from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Float, Int

from .._chain import JacobianChain, jacobians_of_batch
from ._balance import ZERO
from ._scan import ZERO as SCAN_ZERO
from ._scan import begin_batch, sweep_batch
from ._streams import Direction, Group, feed_of, is_whole
from ._sweep import EPS, SAFETY, Sweep
from ._thin_sweep import ThinProduct

# Sizes, sequences and steps of all of them together from which compiling a scan is worth it.
_SIZE, _SEQUENCES, _STEPS = 128, 8, 2**13

# Numbers handed over at once, and steps tried on the host.
_STRETCH, _TRIED = 2**18, 64

# At most 2^2 Jacobians share a factorization: every power is another program.
_HIGHEST = 2


def is_worth_a_scan(chain: JacobianChain, groups: list[Group], window: tuple[int, int]) -> bool:
    """Say whether a batch is large enough, and its chains small enough and coupled."""
    batch, steps = chain.batch_size or 1, window[1] - window[0]
    large = batch >= _SEQUENCES and batch * steps >= _STEPS
    return large and chain.state_size <= _SIZE and is_whole(groups)


def sweep_together(
    chain: JacobianChain,
    window: tuple[int, int],
    lags: Int[np.ndarray, "record"],
    direction: Direction,
    *,
    tolerance: float | None,
    finish: Callable[[ThinProduct], Float[np.ndarray, "state"]],
    update: Callable[[int], object],
) -> tuple[Float[np.ndarray, "batch record state"], Float[np.ndarray, "batch"], np.ndarray]:
    """Return the logs at the lags, what was lost in nats, and the schedule, the same for all.

    Infinite loss stands for a sequence that must be swept on its own, also one that is not finite.
    """
    (s, t), n = window, chain.state_size
    batch = chain.batch_size or 1
    level = _level(chain, window, direction, tolerance)
    size = int(2 ** np.clip(np.log2(_STRETCH / (batch * n * n)) // 1, 5, 8))
    records, schedule = [], []
    with jax.enable_x64(True):
        swept, done = begin_batch(batch, n), 0
        for lag in lags.tolist():
            while done < lag:
                count = min(size, lag - done)
                ends = (s + done, s + done + count)
                if direction == "backward":
                    ends = (t - done - count, t - done)
                J = jacobians_of_batch(chain, *ends, size, backward=direction == "backward")
                swept = sweep_batch(swept, J, np.int32(count), per_factorization=1 << level)
                schedule.append((count, level))
                done += count
                update(count * batch)
            basis, exponent, W = (np.asarray(x) for x in swept.product)
            exponent = np.where(exponent <= SCAN_ZERO, ZERO, exponent.astype(np.int64))
            each = zip(basis, exponent, W, np.zeros((batch, n)), strict=True)
            records.append([finish(ThinProduct(*one)) for one in each])
        lost = SAFETY * EPS * np.sqrt(np.asarray(swept.loss))
    lost = np.where(np.isnan(lost), np.inf, lost)
    return np.array(records).swapaxes(0, 1), lost, np.array(schedule).reshape(-1, 2)


def _level(chain, window, direction, tolerance) -> int:
    """Return how many Jacobians share a factorization over the first steps of one sequence."""
    if tolerance is None:
        return 0
    steps = window[1] - window[0]
    feed = feed_of(chain[0], window[0], window[1], direction)
    sweep = Sweep(feed, chain.state_size, steps, tolerance=tolerance)
    sweep.chunk = _TRIED // 4
    sweep.run(min(_TRIED, steps), exact_end=False)
    return min(_HIGHEST, int(np.median([level for _, level in sweep.schedule])))
