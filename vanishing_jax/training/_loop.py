"""The host's side of training: one compiled chunk after the other, for one seed or for several."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .._types import PyTree
from ..tasks import AbstractTask
from ._history import History, Record, collect, summarize
from ._parameters import split
from ._recorders import RECORDERS
from ._savepoints import Savepoints
from ._settings import Goal, Settings
from ._updates import Updates, checked_names


class Run(NamedTuple):
    """Seeds up to their last finished record.

    - `carry`: what their next updates start from.
    - `records`, `target_steps`: of each seed, its records, and where it reached the goal if it did.
    """

    carry: PyTree
    records: tuple[tuple[Record, ...], ...]
    target_steps: tuple[int | None, ...]
    interrupted: bool = False

    @property
    def step(self) -> int:
        """Number of updates done, by those that are still running."""
        return max((rows[-1].step for rows in self.records if rows), default=0)

    def running(self) -> list[int]:
        """Return which seeds have neither met a NaN nor reached the goal."""
        diverged = [bool(rows) and rows[-1].first_nonfinite is not None for rows in self.records]
        ended = zip(diverged, self.target_steps, strict=True)
        return [k for k, (died, step) in enumerate(ended) if not died and step is None]

    def limits(self, num_updates: int) -> np.ndarray:
        """Return the number of updates that each seed is to make."""
        return np.array([num_updates if x is None else x for x in self.target_steps], np.int32)

    def extended(self, carry: PyTree, new: dict[int, Record], goal: Goal | None) -> "Run":
        """Return the run with one more record of the seeds in `new`."""
        records, target_steps = list(self.records), list(self.target_steps)
        for k, record in new.items():
            records[k] = (*records[k], record)
            finite = record.first_nonfinite is None
            if finite and goal is not None and goal.reached(record.loss, record.metric):
                target_steps[k] = record.step
        return Run(carry, tuple(records), tuple(target_steps))


Advance = Callable[[Run, int], tuple[PyTree, list[tuple[Updates, dict[str, np.ndarray]]]]]
"""(run, start) -> the new carry, and of each seed what the updates start+1.. report, on the host"""


def start_run(carry: PyTree, num_seeds: int, savepoints: Savepoints, *, strict: bool) -> Run:
    """Return the run that was saved last, or a new one that starts from `carry`."""
    found = savepoints.load(carry, strict=strict)
    if found is None:
        return Run(carry, ((),) * num_seeds, (None,) * num_seeds)
    carry, log = found
    records = tuple(tuple(map(Record.from_json, rows)) for rows in log["records"])
    return Run(carry, records, tuple(log["target_steps"]))


def run_chunks(
    advance: Advance,
    run: Run,
    settings: Settings,
    show: Callable[[Run], None],
    savepoints: Savepoints,
    gather: Callable[[PyTree], PyTree] = lambda carry: carry,
) -> Run:
    """Call `advance` until all seeds are done, at the goal or at a NaN, or until Ctrl-C.

    `show` sees the run after each chunk; `gather` makes of its carry what is saved.
    """

    def save(run: Run) -> None:
        records = [[record.as_json() for record in rows] for rows in run.records]
        log = {"records": records, "target_steps": run.target_steps}
        savepoints.save(run.step, gather(run.carry), log)

    num_updates, length = settings.num_updates, settings.chunk.length
    try:
        for start in range(run.step, num_updates, length):
            running = run.running()
            if not running:
                break
            carry, seen = advance(run, start)
            new = {k: summarize(*seen[k], start, num_updates) for k in running}
            # Bound as one value, so that Ctrl-C cannot part a carry from its records.
            run = run.extended(carry, new, settings.goal)
            show(run)
            if savepoints.due(run.step):
                save(run)
    except KeyboardInterrupt:
        save(run)
        return run._replace(interrupted=True)
    return run


def show(bar: Any, task: AbstractTask, run: Run, *, before: int = 0) -> None:
    """Move the bar to the updates `before` and those of the run; show the readings of one seed.

    The one with the median loss; a NaN counts as the largest.
    """
    last = [rows[-1] for rows in run.records]
    ranked = sorted(last, key=lambda one: (math.isnan(one.loss), one.loss))
    median = ranked[len(ranked) // 2]
    readings: dict[str, Any] = {
        "loss": f"{median.loss:.3g}",
        task.metric_name: f"{median.metric:.3g}",
        "gradient": f"{median.gradient_norm:.2g}",
    }
    diverged = sum(one.first_nonfinite is not None for one in last)
    if diverged and len(last) > 1:
        readings["diverged"] = diverged
    bar.set_postfix(readings, refresh=False)
    bar.update(before + run.step - bar.n)


def histories(run: Run, model: Any, task: AbstractTask, settings: Settings) -> list[History]:
    """Return the history of each seed; `model` is any of them, for the names of its parts."""
    names, record = checked_names(split(model)), settings.chunk.record
    labels = {name: found for name in record if (found := RECORDERS[name].labels(model, task))}
    return [
        collect(rows, names, record, labels, interrupted=run.interrupted, target_step=step)
        for rows, step in zip(run.records, run.target_steps, strict=True)
    ]
