"""The file that a long sweep leaves behind, so that it can go on after an interruption.

One safetensors file: results of finished sequences, the state of the sweep under way with its
records so far, and as metadata what was computed, by name, so that nothing else is ever continued
from it. Data count by their hash.
"""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .._chain import JacobianChain
from .._files import write_atomically
from .._hashing import digest, digest_of_step

_FORMAT = {"format": "vanishing_jax sweep", "version": "3"}

# Seconds between two writes; and no more than this share of the time is spent on them.
_SECONDS, _SHARE = 2.0, 0.05


class Checkpoint:
    """What a run over several sequences remembers; without a path nothing.

    A context: whatever is raised inside, no more is lost than the chunk it fell into.
    """

    def __init__(self, path: str | os.PathLike[str] | None):
        self.path = None if path is None else Path(path)
        self._found: dict[str, np.ndarray] = {}  # of a sweep under way the names begin with now.
        self._now: tuple[str, Any, list[np.ndarray]] | None = None
        self._changed, self._next = False, time.monotonic() + _SECONDS

    def open(self, configure: Callable[[], dict[str, str]]) -> "Checkpoint":
        """Read the file, if there is one; `configure()` says by name what is computed.

        **Raises:** `ValueError` for a file that is no such checkpoint, is incomplete, or belongs to
        another computation.
        """
        if self.path is not None:
            self._header = {**_FORMAT, "configuration": json.dumps(configure())}
            if self.path.exists():
                self._found = _read(self.path, self._header)
        return self

    def __enter__(self) -> "Checkpoint":
        return self

    def __exit__(self, *error) -> None:
        if self._changed:
            self._save()

    def finished(self, name: str, kind: Any) -> Any:
        """Return the named result, a NamedTuple of this kind; None if it is not finished."""
        values = [self._found.get(f"{name}.{field}") for field in kind._fields]
        return None if any(value is None for value in values) else kind(*values)

    def finish(self, name: str, result: Any) -> None:
        """Remember a finished result."""
        if self.path is not None:
            self._found |= {f"{name}.{key}": np.asarray(x) for key, x in result._asdict().items()}
            self._now, self._changed = None, True

    def resume(self, name: str, sweep: Any) -> list[np.ndarray]:
        """Put the sweep where a sweep of this name was, if it was under way; return its records."""
        found = self._found
        if "now.name" not in found or found["now.name"].tobytes() != name.encode():
            return []
        try:
            sweep.restore({key[10:]: x for key, x in found.items() if key[:10] == "now.sweep."})
            return list(found["now.rows"])
        except KeyError as error:
            raise ValueError(
                f"expected a checkpoint; {self.path} lacks {error}. Delete it to start from the "
                "beginning, or give another name."
            ) from error

    def keep(self, name: str, sweep: Any, rows: list[np.ndarray]) -> None:
        """Remember where a sweep is; write it down if the last time is long enough ago."""
        if self.path is not None:
            self._now, self._changed = (name, sweep.copy(), list(rows)), True
            if time.monotonic() >= self._next:
                self._save()

    def _save(self) -> None:
        """Write the file anew, whole or not at all."""
        import safetensors.numpy

        assert self.path is not None
        begin = time.monotonic()
        tensors = {key: x for key, x in self._found.items() if not key.startswith("now.")}
        if self._now is not None:
            name, sweep, rows = self._now
            tensors["now.name"] = np.frombuffer(name.encode(), np.uint8)
            tensors["now.rows"] = np.stack(rows) if rows else np.zeros((0, sweep.n))
            tensors |= {f"now.sweep.{key}": x for key, x in sweep.state().items()}
        arrays = {name: np.asarray(x, order="C") for name, x in tensors.items()}
        write_atomically(self.path, safetensors.numpy.save(arrays, metadata=self._header))
        end = time.monotonic()
        self._changed, self._next = False, end + max(_SECONDS, (end - begin) / _SHARE)


def _read(path: Path, expected: dict[str, str]) -> dict[str, np.ndarray]:
    """Return the tensors of a file, if it is of the expected computation."""
    import safetensors

    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            if {**header, **_FORMAT} != header:
                raise ValueError(
                    f"expected a checkpoint of this version of vanishing_jax; {path} is another "
                    "safetensors file. Give another name, or delete it."
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        found, wanted = (json.loads(each["configuration"]) for each in (header, expected))
    except (safetensors.SafetensorError, OSError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(
            f"expected a checkpoint; {path} is not a complete safetensors file ({error}). Delete "
            "it to start from the beginning, or give another name."
        ) from error
    names = [name for name in {**wanted, **found} if found.get(name) != wanted.get(name)]
    if names:
        parts = [f"{name}: {found.get(name)} there, {wanted.get(name)} here" for name in names]
        raise ValueError(
            f"expected the checkpoint of this computation; {path} belongs to another one "
            f"({'; '.join(parts)}). Give another name, or delete it."
        )
    return tensors


def describe_sweep(
    chain: JacobianChain,
    window: tuple[int, int],
    lags: Any,
    direction: str,
    tolerance: float | None,
    quantity: str,
) -> dict[str, str]:
    """Return what is computed, by name; arrays by the hash of their bytes."""
    named: dict[str, Any] = {
        "window": window,
        "direction": direction,
        "lags": f"{len(lags)} up to {lags[-1]}, {digest(lags)}",
        "tolerance": tolerance,
        "quantity": quantity,
        "state size": chain.state_size,
        "number of steps": chain.num_steps,
        "batch size": chain.batch_size,
        "dtype": chain.dtype,
        "Jacobians": digest(chain._jacobians) if chain.is_dense else "streamed",
    }
    if not chain.is_dense:
        assert chain.linearization is not None
        trajectory = chain.linearization.trajectory
        named |= {
            "mode": chain.linearization.mode,
            "cell": digest(chain.linearization.cell),
            "step": digest_of_step(chain.linearization),
            "states": digest(trajectory.states),
            "inputs": digest(trajectory.inputs),
        }
    return {name: str(value) for name, value in named.items()}
