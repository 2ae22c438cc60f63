"""From a chain to logs at lags: every sequence and every block of the state, to be resumed.

The one caller of `Sweep` for singular values and exponents.
"""

import functools as ft
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from .._chain import JacobianChain
from .._progress import progress
from . import _moduli
from ._checkpoint import Checkpoint, describe_sweep
from ._decoupled import sweep_blocks
from ._finish import log_r_diagonal, log_singular_values_of
from ._streams import (
    Direction,
    Feed,
    NonFiniteStep,
    is_whole,
    partition,
    raise_non_finite,
)
from ._sweep import Sweep
from ._sweep_batch import is_worth_a_scan, sweep_together

Quantity = Literal["singular values", "log R"]

# From this size on most of the work is LAPACK's, which lets go of the interpreter.
_WORTH_THREADS = 64

_TITLES = {"singular values": "Spectrum", "log R": "Lyapunov exponents"}
_NOWHERE = Checkpoint(None)

_FINISH = {"singular values": log_singular_values_of, "log R": log_r_diagonal}


class Found(NamedTuple):
    """Logs at each lag, and what the arithmetic has lost.

    Singular values descend; log |R_ii| keeps its place from record to record.

    - `estimate`: what their losses have become at the end, in nats, of the value hit hardest in the
      worst sequence; inf where a pivot was lost.
    - `schedules`: how the sweep of each sequence went; those of several blocks one after the other.
    """

    logs: Float[np.ndarray, "*batch record state"]
    estimate: float
    schedules: list[Int[np.ndarray, "_ 2"]]


class _OfSequence(NamedTuple):
    """The same of one sequence, as arrays."""

    logs: Float[np.ndarray, "record state"]
    estimate: Float[np.ndarray, ""]
    schedule: Int[np.ndarray, "chunk 2"]


def sweep_chain(
    chain: JacobianChain,
    window: tuple[int, int],
    lags: Int[np.ndarray, "record"],
    direction: Direction,
    *,
    quantity: Quantity,
    tolerance: float | None,
    checkpoint: Checkpoint,
) -> Found:
    """Return what is found at the ascending `lags` of the window (s, t).

    **Raises:** `NonFiniteError` for a Jacobian that is not finite; `ValueError` for a checkpoint of
    another computation.
    """
    groups = partition(chain, *window)
    checkpoint.open(lambda: describe_sweep(chain, window, lags, direction, tolerance, quantity))
    batch = chain.batch_size
    indices = [None] if batch is None else list(range(batch))
    with (
        progress((window[1] - window[0]) * len(indices), _TITLES[quantity]) as bar,
        checkpoint,
    ):
        run = _Run(window, lags, direction, quantity, tolerance, checkpoint, bar.update)
        one = ft.partial(run.sequence, chain, groups)
        if batch is not None and checkpoint.path is None and is_worth_a_scan(chain, groups, window):
            each = run.together(chain, one)
        elif len(indices) > 1 and chain.state_size >= _WORTH_THREADS and checkpoint.path is None:
            with ThreadPoolExecutor(num_cores()) as pool:
                each = list(pool.map(one, indices))
        else:
            each = [one(index) for index in indices]
    logs = np.stack([found.logs for found in each])
    return Found(
        logs[0] if batch is None else logs,
        float(np.max([found.estimate for found in each])),
        [found.schedule for found in each],
    )


class _Run(NamedTuple):
    """What stays the same from sequence to sequence."""

    window: tuple[int, int]
    lags: Int[np.ndarray, "record"]
    direction: Direction
    quantity: Quantity
    tolerance: float | None
    checkpoint: Checkpoint
    update: Callable[[int], object]

    def sequence(self, chain: JacobianChain, groups, index: int | None) -> _OfSequence:
        """Return what is found of one sequence."""
        name = str(index or 0)
        finished = self.checkpoint.finished(name, _OfSequence)
        if finished is not None:
            self.update(self.window[1] - self.window[0])
            return finished
        chain, whole = chain if index is None else chain[index], is_whole(groups)
        blocks = []

        def of_block(feed, size):
            # Blocks of a state that falls apart are not kept in between.
            run = self if whole else self._replace(checkpoint=_NOWHERE, update=lambda steps: None)
            blocks.append(run._sweep(feed, size, name))
            return blocks[-1].logs[..., None]

        def of_numbers(product):
            return _moduli.logs_of(product)[:, None]

        try:
            logs = sweep_blocks(
                chain, groups, *self.window, self.lags, self.direction,
                of_numbers=of_numbers, of_block=of_block,
            )[..., 0]  # fmt: skip
        except NonFiniteStep as error:
            raise_non_finite(error.lag, *self.window, self.direction, index)
        if not whole:
            self.update(self.window[1] - self.window[0])
            logs = logs if self.quantity == "log R" else -np.sort(-logs, axis=-1)
        estimate = np.max([found.estimate for found in blocks], initial=0.0)
        schedule = np.concatenate([np.zeros((0, 2), int), *(found.schedule for found in blocks)])
        found = _OfSequence(logs, np.asarray(estimate), schedule)
        self.checkpoint.finish(name, found)
        return found

    def together(self, chain: JacobianChain, one) -> list[_OfSequence]:
        """Return what is found of a batch side by side; `one` does what that loses by itself."""
        logs, lost, schedule = sweep_together(
            chain, self.window, self.lags, self.direction,
            tolerance=self.tolerance, finish=_FINISH[self.quantity], update=self.update,
        )  # fmt: skip
        least = np.inf if self.tolerance is None else self.tolerance
        # How much was amplified nobody has looked at.
        nan = np.asarray(np.nan)
        return [
            _OfSequence(logs[i], nan, schedule) if lost[i] < least else one(i)
            for i in range(len(lost))
        ]

    def _sweep(self, feed: Feed, n: int, name: str) -> _OfSequence:
        """Return what one sweep finds."""
        finish = _FINISH[self.quantity]
        sweep = Sweep(
            feed, n, self.window[1] - self.window[0],
            tolerance=self.tolerance, triangular=self.quantity == "singular values",
        )  # fmt: skip
        rows = self._rows_of(sweep, name, finish)
        schedule = np.array(sweep.schedule, int).reshape(-1, 2)
        return _OfSequence(np.stack(rows), np.asarray(sweep.estimated_error), schedule)

    def _rows_of(self, sweep: Sweep, name: str, finish) -> list[Float[np.ndarray, "state"]]:
        """Take the sweep to every lag, from where an interrupted one was; return what is there."""
        rows = self.checkpoint.resume(name, sweep)
        reported = 0

        def after_chunk(sweep):
            nonlocal reported
            self.update(sweep.t - reported)
            reported = sweep.t
            self.checkpoint.keep(name, sweep, rows)

        for lag in self.lags[len(rows) :].tolist():
            rows.append(finish(sweep.run(lag, after_chunk=after_chunk)))
            after_chunk(sweep)
        return rows


def num_cores() -> int:
    """Return the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
