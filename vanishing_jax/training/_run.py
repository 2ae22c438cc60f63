"""A run up to its last finished record, and that as something to save."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from .._hashing import fingerprint
from .._types import PyTree
from ._history import Record
from ._savepoints import Saved, Savepoints, pack_records, unpack_records
from ._updates import Carry, Settings


class Run(NamedTuple):
    """A run up to its last finished record."""

    carry: Carry
    records: tuple[Record, ...] = ()
    interrupted: bool = False
    target_step: int | None = None
    best: Carry | None = None
    best_cost: float = float("inf")
    best_step: int | None = None

    @property
    def step(self) -> int:
        """Number of updates done."""
        return self.records[-1].step if self.records else 0


def describe_run(
    parts: PyTree, steps: int, settings: Settings, target: Any, keep: str
) -> dict[str, Any]:
    """Return what decides the numbers of a run, as text; `parts` is (model, ..., key)."""
    names = ("model", "optimizer", "hooks", "task", "key")
    return {
        **{name: fingerprint(part) for name, part in zip(names, parts, strict=True)},
        "steps": steps,
        "batch_size": settings.batch_size,
        "record_every": settings.length,
        "record": list(settings.record),
        "checkpoint": settings.checkpoint,
        "target": None if target is None else str(target),
        "keep": keep,
        "precision": str(jnp.result_type(float)),
    }


def saved(run: Run) -> Saved:
    """Return the run as something to save."""
    log = {
        "records": pack_records(run.records),
        "best_cost": run.best_cost,
        "best_step": run.best_step,
    }
    return Saved((run.carry, run.carry if run.best is None else run.best), log)


def restored(savepoints: Savepoints, carry: Carry) -> Run:
    """Return the run that was saved last, or a new one that starts from `carry`."""
    found = savepoints.load((carry, carry), strict=True)
    if found is None:
        return Run(carry)
    carry, best = found.arrays
    return Run(
        carry,
        tuple(unpack_records(found.log["records"])),
        best=None if found.log["best_step"] is None else best,
        best_cost=found.log["best_cost"],
        best_step=found.log["best_step"],
    )
