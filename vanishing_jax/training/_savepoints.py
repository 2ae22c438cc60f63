"""What a run leaves on disk while it goes on, so that the same call can take it up again."""

import json
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from .._hashing import differences
from .._types import PyTree
from ._history import Record

if TYPE_CHECKING:
    import orbax.checkpoint as ocp

_KEPT = 2
_SECONDS = 30.0  # between two saves where `every` does not say how many updates


class Saved(NamedTuple):
    """A state of a run: arrays, and what goes with them as JSON."""

    arrays: PyTree
    log: dict[str, Any]


class Savepoints:
    """States of one run in one folder, written whole or not at all by Orbax, the last two kept.

    Without a folder it keeps nothing.

    **Arguments:**

    - `folder`: made at the first save.
    - `description`: what the run is, as JSON; states of another one are not taken up.
    - `every`: updates between two saves; None waits for 30 seconds to pass.
    """

    def __init__(
        self, folder: str | Path | None, description: Mapping[str, Any], every: int | None
    ):
        self._folder = None if folder is None else Path(folder).absolute()
        self._description = json.loads(json.dumps(description))  # tuples become lists, as in files
        self._every, self._last_step, self._last_time = every, 0, time.monotonic()
        self._manager: "ocp.CheckpointManager | None" = None

    def load(self, like: PyTree, *, strict: bool) -> Saved | None:
        """Return the last state that can be read, with arrays as those of `like`; None without one.

        **Raises:** with `strict`, `ValueError` for a state of another run.
        """
        if self._folder is None or not self._folder.exists():
            return None
        manager = self._open()
        for step in sorted(manager.all_steps(), reverse=True):
            found = self._read(manager, step, like, strict)
            if found is not None:
                self._last_step = step
                return found
            manager.delete(step)  # its number will come again
        return None

    def remove_own(self) -> None:
        """Remove the states if they are of this run, which has turned out to be finished."""
        if self._folder is None or not self._folder.exists():
            return
        manager = self._open()
        logs = [self._log(manager, step) for step in manager.all_steps()]
        if all(log is None or log["description"] == self._description for log in logs):
            self.remove()

    def due(self, step: int) -> bool:
        """Return whether the state after `step` updates is to be saved."""
        if self._folder is None:
            return False
        if self._every is None:
            return time.monotonic() - self._last_time >= _SECONDS
        return step - self._last_step >= self._every

    def save(self, step: int, saved: Saved) -> None:
        """Save the state after `step` updates."""
        if self._folder is None or step == self._last_step:
            return
        import orbax.checkpoint as ocp

        log = {"description": self._description, **saved.log}
        items = ocp.args.Composite(
            # Of what is stacked in which class Orbax need not know.
            arrays=ocp.args.StandardSave(_by_number(saved.arrays)),
            log=ocp.args.JsonSave({"json": json.dumps(log)}),
        )
        self._open().save(step, args=items, force=True)
        self._last_step, self._last_time = step, time.monotonic()

    def remove(self) -> None:
        """Remove the states, and the folder if nothing else is in it."""
        if self._folder is None or not self._folder.exists():
            return
        manager = self._open()
        for step in manager.all_steps():
            manager.delete(step)
        self._close()
        if not any(self._folder.iterdir()):
            self._folder.rmdir()

    def __enter__(self) -> "Savepoints":
        return self

    def __exit__(self, *exception: Any) -> None:
        self._close()

    def _close(self) -> None:
        if self._manager is not None:
            self._manager.close()
            self._manager = None

    def _open(self) -> "ocp.CheckpointManager":
        import orbax.checkpoint as ocp  # takes longer than many a run, so only where it is needed

        assert self._folder is not None  # callers have seen to it
        if self._manager is None:
            options = ocp.CheckpointManagerOptions(
                max_to_keep=_KEPT,
                step_prefix="update",
                enable_async_checkpointing=False,
                cleanup_tmp_directories=True,
            )
            self._manager = ocp.CheckpointManager(self._folder, options=options)
        return self._manager

    def _read(self, manager: Any, step: int, like: PyTree, strict: bool) -> Saved | None:
        import orbax.checkpoint as ocp

        log = self._log(manager, step)
        if log is None:
            return None
        lines = differences(log.pop("description"), self._description)
        if lines and strict:
            raise ValueError(
                f"expected the run that {self._folder} holds; these settings differ:\n"
                + "\n".join(lines)
                + "\nResume from another folder, or remove this one."
            )
        if lines:
            return None
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, _by_number(like))
        read = ocp.args.Composite(arrays=ocp.args.StandardRestore(target))
        try:
            numbered = manager.restore(step, args=read)["arrays"]
        except Exception as error:  # whatever a damaged file makes of Orbax
            return self._passed_over(step, error)
        leaves = [leaf for _, leaf in sorted(numbered.items())]
        return Saved(jax.tree.unflatten(jax.tree.structure(like), leaves), log)

    def _log(self, manager: Any, step: int) -> dict[str, Any] | None:
        """Return what was saved beside the arrays, or None if it cannot be read."""
        import orbax.checkpoint as ocp

        read = ocp.args.Composite(log=ocp.args.JsonRestore())
        try:
            return json.loads(manager.restore(step, args=read)["log"]["json"])
        except Exception as error:
            return self._passed_over(step, error)

    def _passed_over(self, step: int, error: Exception) -> None:
        warnings.warn(
            f"the state after update {step} in {self._folder} cannot be read and is passed over: "
            f"{error}",
            UserWarning,
            stacklevel=5,
        )


NOWHERE = Savepoints(None, {}, None)


def pack_records(records: "list[Record] | tuple[Record, ...]") -> list[dict[str, Any]]:
    """Return records as JSON; Python writes floats such that they come back to the bit."""
    return [
        {**one._asdict(), "recorded": {n: np.asarray(x).tolist() for n, x in one.recorded.items()}}
        for one in records
    ]


def unpack_records(packed: list[dict[str, Any]]) -> list[Record]:
    """Return the records again."""
    return [
        Record(**{**one, "recorded": {n: np.asarray(x) for n, x in one["recorded"].items()}})
        for one in packed
    ]


def _by_number(tree: PyTree) -> dict[str, Any]:
    return {f"{i:05d}": leaf for i, leaf in enumerate(jax.tree.leaves(tree))}
