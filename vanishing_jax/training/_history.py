"""What training recorded."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from ._recorders import RECORDERS
from ._updates import Updates


class Record(NamedTuple):
    """The updates of one chunk, summarized on the host."""

    step: int
    loss: float
    metric: float
    gradient_norm: float
    first_nonfinite: int | None  # index into `checked_names` when the last update was not made
    recorded: dict[str, np.ndarray]

    def as_json(self) -> dict[str, Any]:
        """Return the record as JSON; Python writes floats such that they come back to the bit."""
        return self._asdict() | {"recorded": {n: x.tolist() for n, x in self.recorded.items()}}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Record":
        """Return the record again."""
        recorded = {name: np.asarray(x) for name, x in fields["recorded"].items()}
        return cls(**{**fields, "recorded": recorded})


class History(eqx.Module):
    """Learning curves, one record per `record_every` updates, and how training ended.

    - `step`: number of the record's last update, ascending.
    - `loss`, `metric`: means over the updates since the previous record, each on its own training
      batch before the update. The loss is the task's, without a penalty.
    - `gradient_norm`: mean over the same updates of the norm of the whole gradient, before the
      optimizer clips it.
    - `records`: what `record=` asked for, by name, with a leading axis over records.
    - `labels`: names of the entries of a record where they have names: the activations of
      "saturation", the arrays of "update_ratio".
    - `nonfinite_step`: number of the update that was not made because the loss, a gradient or an
      updated parameter would have been NaN or infinite; None when all went well. It ends the last
      record, and the returned model is the one from before it.
    - `nonfinite_leaf`: what was first found non-finite, for instance "gradient of cell.weight_hh".
    - `interrupted`: whether Ctrl-C ended training early.
    - `target_step`: step of the record that reached the target and ended training; None if none
      did.
    """

    step: Int[np.ndarray, " record"]
    loss: Float[np.ndarray, " record"]
    metric: Float[np.ndarray, " record"]
    gradient_norm: Float[np.ndarray, " record"]
    records: Mapping[str, Float[np.ndarray, "record *entry"]] = eqx.field(default_factory=dict)
    labels: Mapping[str, tuple[str, ...]] = eqx.field(default_factory=dict)
    nonfinite_step: int | None = eqx.field(static=True, default=None)
    nonfinite_leaf: str | None = eqx.field(static=True, default=None)
    interrupted: bool = eqx.field(static=True, default=False)
    target_step: int | None = eqx.field(static=True, default=None)

    def __str__(self) -> str:
        """Return both ends of the curves, and why training stopped if it did."""
        if len(self.step) == 0:
            lines = ["no update finished"]
        else:
            curves: dict[str, Any] = {
                "loss": self.loss,
                "metric": self.metric,
                "gradient norm": self.gradient_norm,
            }
            for name, values in self.records.items():
                recorder = RECORDERS[name]
                curves[recorder.headline] = [recorder.reading(values[i]) for i in (0, -1)]
            ends = [f"{name} {x[0]:.4g} -> {x[-1]:.4g}" for name, x in curves.items()]
            lines = [f"{self.step[-1]} updates: {', '.join(ends)}"]
        if self.target_step is not None:
            lines.append(f"target reached at update {self.target_step}")
        if self.nonfinite_step is not None:
            lines.append(
                f"stopped at update {self.nonfinite_step}, not finite: {self.nonfinite_leaf}"
            )
        if self.interrupted:
            lines.append("interrupted")
        return "; ".join(lines)


def summarize(updates: Updates, recorded: dict[str, np.ndarray], start: int, steps: int) -> Record:
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
        recorded={name: np.asarray(x) for name, x in recorded.items()},
    )


def collect(
    records: Sequence[Record],
    names: list[str],
    record: Sequence[str],
    labels: dict[str, tuple[str, ...]],
    **ending: Any,
) -> History:
    """Return the records as arrays.

    `names` says what each finiteness flag was about, `record` which recorders there were; `ending`
    is passed on.
    """
    if records and records[-1].first_nonfinite is not None:
        ending["nonfinite_step"] = records[-1].step
        ending["nonfinite_leaf"] = names[records[-1].first_nonfinite]

    def curve(of: str) -> np.ndarray:
        return np.array([getattr(record, of) for record in records], dtype=np.float64)

    return History(
        step=np.array([record.step for record in records], dtype=np.int64),
        loss=curve("loss"),
        metric=curve("metric"),
        gradient_norm=curve("gradient_norm"),
        records={
            name: np.array([one.recorded[name] for one in records], dtype=np.float64)
            for name in record
        },
        labels=labels,
        **ending,
    )
