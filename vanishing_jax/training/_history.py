"""What training recorded."""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from ._updates import Updates


class Record(NamedTuple):
    """The updates of one chunk, summarized on the host."""

    step: int
    loss: float
    metric: float
    gradient_norm: float
    first_nonfinite: int | None  # index into `checked_names` when the last update was not made


class History(eqx.Module):
    """Learning curves, one record per `record_every` updates, and how training ended.

    - `step`: number of the record's last update, ascending.
    - `loss`, `metric`: means over the updates since the previous record, each on its own training
      batch before the update.
    - `gradient_norm`: mean over the same updates of the norm of the whole gradient, before the
      optimizer clips it.
    - `nonfinite_step`: number of the update that was not made because the loss, a gradient or an
      updated parameter would have been NaN or infinite; None when all went well. It ends the last
      record, and the returned model is the one from before it.
    - `nonfinite_leaf`: what was first found non-finite, for instance "gradient of cell.weight_hh".
    - `interrupted`: whether Ctrl-C ended training early.
    """

    step: Int[np.ndarray, " record"]
    loss: Float[np.ndarray, " record"]
    metric: Float[np.ndarray, " record"]
    gradient_norm: Float[np.ndarray, " record"]
    nonfinite_step: int | None = eqx.field(static=True, default=None)
    nonfinite_leaf: str | None = eqx.field(static=True, default=None)
    interrupted: bool = eqx.field(static=True, default=False)

    def __str__(self) -> str:
        """Return both ends of the curves, and why training stopped if it did."""
        if len(self.step) == 0:
            lines = ["no update finished"]
        else:
            curves = {"loss": self.loss, "metric": self.metric, "gradient norm": self.gradient_norm}
            ends = [f"{name} {x[0]:.4g} -> {x[-1]:.4g}" for name, x in curves.items()]
            lines = [f"{self.step[-1]} updates: {', '.join(ends)}"]
        if self.nonfinite_step is not None:
            lines.append(
                f"stopped at update {self.nonfinite_step}, not finite: {self.nonfinite_leaf}"
            )
        if self.interrupted:
            lines.append("interrupted")
        return "; ".join(lines)


def summarize(updates: Updates, start: int, steps: int) -> Record:
    """Return the record of the updates start+1.. that were due and not skipped."""
    flags = np.asarray(updates.finite)[: steps - start]
    failed = ~flags.all(axis=1)
    count = int(np.argmax(failed)) + 1 if failed.any() else len(flags)

    def mean(curve) -> float:
        return float(np.mean(np.asarray(curve)[:count], dtype=np.float64))

    return Record(
        step=start + count,
        loss=mean(updates.loss),
        metric=mean(updates.metric),
        gradient_norm=mean(updates.gradient_norm),
        first_nonfinite=int(np.argmin(flags[count - 1])) if failed.any() else None,
    )


def collect(records: Sequence[Record], names: list[str], *, interrupted: bool) -> History:
    """Return the records as arrays; `names` says what each finiteness flag was about."""
    nonfinite_step = nonfinite_leaf = None
    if records and records[-1].first_nonfinite is not None:
        nonfinite_step = records[-1].step
        nonfinite_leaf = names[records[-1].first_nonfinite]
    return History(
        step=np.array([record.step for record in records], dtype=np.int64),
        loss=np.array([record.loss for record in records], dtype=np.float64),
        metric=np.array([record.metric for record in records], dtype=np.float64),
        gradient_norm=np.array([record.gradient_norm for record in records], dtype=np.float64),
        nonfinite_step=nonfinite_step,
        nonfinite_leaf=nonfinite_leaf,
        interrupted=interrupted,
    )
