"""What a run leaves on disk while it goes on, so that the same call can take it up again."""

import io
import json
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import equinox as eqx

from .._files import write_atomically
from .._hashing import differences
from .._types import PyTree

_KEPT = 2
_SECONDS = 30.0  # between two saves where `every` does not say how many updates


class Savepoints:
    """States of one run in one folder, each a file written whole or not at all, the last two kept.

    A file `update_N.eqx` is a line of JSON, then the arrays as Equinox writes them. Without a
    folder nothing is kept.

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

    def load(self, like: PyTree, *, strict: bool) -> tuple[PyTree, dict[str, Any]] | None:
        """Return the arrays, as those of `like`, and the log of the last state that can be read.

        None without one. **Raises:** with `strict`, `ValueError` for a state of another run.
        """
        for step, path in sorted(self._files().items(), reverse=True):
            found = self._read(path, like, strict)
            if found is not None:
                self._last_step = step
                return found
            path.unlink()  # its number will come again
        return None

    def remove_own(self) -> None:
        """Remove the states if they are of this run, which has turned out to be finished."""
        logs = [_log(path) for path in self._files().values()]
        if all(log is None or log["description"] == self._description for log in logs):
            self.remove()

    def due(self, step: int) -> bool:
        """Return whether the state after `step` updates is to be saved."""
        if self._folder is None:
            return False
        if self._every is None:
            return time.monotonic() - self._last_time >= _SECONDS
        return step - self._last_step >= self._every

    def save(self, step: int, arrays: PyTree, log: Mapping[str, Any]) -> None:
        """Save the state after `step` updates: arrays, and a log that goes with them as JSON."""
        if self._folder is None or step == self._last_step:
            return
        content = io.BytesIO()
        text = json.dumps({"description": self._description, **log})
        content.write(f"{text}\n".encode())
        eqx.tree_serialise_leaves(content, arrays)
        write_atomically(self._folder / f"update_{step}.eqx", content.getvalue())
        for _, path in sorted(self._files().items())[:-_KEPT]:
            path.unlink()
        self._last_step, self._last_time = step, time.monotonic()

    def remove(self) -> None:
        """Remove the states, and the folder if nothing else is in it."""
        if self._folder is None or not self._folder.exists():
            return
        # A process that was killed while it wrote has left the beginning of a file.
        for path in [*self._files().values(), *self._folder.glob(".*.tmp")]:
            path.unlink()
        if not any(self._folder.iterdir()):
            self._folder.rmdir()

    def _files(self) -> dict[int, Path]:
        """Return the file of each state by its number of updates."""
        found = () if self._folder is None else self._folder.glob("update_*.eqx")
        return {int(path.stem.removeprefix("update_")): path for path in found}

    def _read(self, path: Path, like: PyTree, strict: bool) -> tuple[PyTree, dict[str, Any]] | None:
        log = _log(path)
        if log is None:
            return None
        lines = differences(log["description"], self._description)
        if lines and strict:
            raise ValueError(
                f"expected the run that {self._folder} holds; these settings differ:\n"
                + "\n".join(lines)
                + "\nResume from another folder, or remove this one."
            )
        if lines:
            return None
        try:
            with open(path, "rb") as file:
                file.readline()
                return eqx.tree_deserialise_leaves(file, like), log
        except Exception as error:  # whatever a damaged file makes of NumPy
            return _passed_over(path, error)


NOWHERE = Savepoints(None, {}, None)


def _log(path: Path) -> dict[str, Any] | None:
    """Return the log of a state, or None if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return json.loads(file.readline())
    except ValueError as error:
        return _passed_over(path, error)


def _passed_over(path: Path, error: Exception) -> None:
    warnings.warn(
        f"the state {path} cannot be read and is passed over: {error}", UserWarning, stacklevel=5
    )
