"""The file that a long sweep leaves behind, so that it can go on after an interruption.

One safetensors file: the state of the sweep, its records so far, and as metadata what was computed,
by name, so that nothing else is ever continued from it. Data count by their hash.
"""

import hashlib
import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._chain import JacobianChain, Linearization
from .._files import write_atomically

_FORMAT, _VERSION = "vanishing_jax sweep", "2"

# Seconds between two writes; and no more than this share of the time is spent on them.
_SECONDS, _SHARE = 2.0, 0.05

_CHUNK_BYTES = 16 * 2**20


class Checkpoint:
    """The tensors kept in a file between runs; without a path it keeps nothing."""

    def __init__(self, path: str | os.PathLike[str] | None):
        self.path = None if path is None else Path(path)
        self.tensors: dict[str, np.ndarray] = {}
        self._configuration: dict[str, str] = {}
        self._next = time.monotonic() + _SECONDS

    def open(self, configure: Callable[[], dict[str, str]]) -> None:
        """Read the file, if there is one; `configure()` says by name what is computed.

        **Raises:** `ValueError` for a file that is no such checkpoint, is incomplete, or belongs to
        another computation.
        """
        if self.path is None:
            return
        self._configuration = configure()
        if self.path.exists():
            found, self.tensors = _read(self.path)
            _compare(self.path, found, self._configuration)

    @property
    def is_due(self) -> bool:
        """Whether the last write is long enough ago."""
        return self.path is not None and time.monotonic() >= self._next

    def save(self, tensors: dict[str, np.ndarray]) -> None:
        """Write the file anew, whole or not at all."""
        if self.path is None:
            return
        import safetensors.numpy

        begin = time.monotonic()
        self.tensors = tensors
        header = {
            "format": _FORMAT,
            "version": _VERSION,
            "configuration": json.dumps(self._configuration),
        }
        arrays = {name: np.asarray(x, order="C") for name, x in tensors.items()}
        write_atomically(self.path, safetensors.numpy.save(arrays, metadata=header))
        end = time.monotonic()
        self._next = end + max(_SECONDS, (end - begin) / _SHARE)


class Memory:
    """What a run over several sequences remembers: results of finished ones, and where it stands.

    A context: whatever is raised inside, no more is lost than the chunk it fell into.
    """

    def __init__(self, checkpoint: Checkpoint):
        self.checkpoint = checkpoint
        self._finished: dict[str, np.ndarray] = {}
        self._now: tuple[str, Any, list[np.ndarray]] | None = None
        self._changed = False

    def __enter__(self) -> "Memory":
        found = self.checkpoint.tensors
        self._finished = {name: x for name, x in found.items() if not name.startswith("now.")}
        return self

    def __exit__(self, *error) -> None:
        if self._changed:
            self._save()

    def finished(self, name: str, kind: Any) -> Any:
        """Return the named result, a NamedTuple of this kind; None if it is not finished."""
        values = [self._finished.get(f"{name}.{field}") for field in kind._fields]
        return None if any(value is None for value in values) else kind(*values)

    def finish(self, name: str, result: Any) -> None:
        """Remember a finished result."""
        fields = {f"{name}.{key}": np.asarray(x) for key, x in result._asdict().items()}
        self._finished |= fields
        self._now, self._changed = None, True

    def resume(self, name: str, sweep: Any) -> list[np.ndarray]:
        """Put the sweep where a sweep of this name was, if it was under way; return its records."""
        found = self.checkpoint.tensors
        if "now.name" not in found or found["now.name"].tobytes() != name.encode():
            return []
        try:
            sweep.restore({key[10:]: x for key, x in found.items() if key[:10] == "now.sweep."})
            return list(found["now.rows"])
        except KeyError as error:
            raise ValueError(
                f"expected a checkpoint; {self.checkpoint.path} lacks {error}. Delete it to start "
                "from the beginning, or give another name."
            ) from error

    def keep(self, name: str, sweep: Any, rows: list[np.ndarray]) -> None:
        """Remember where a sweep is; write it down if that is due."""
        if self.checkpoint.path is None:
            return
        self._now, self._changed = (name, sweep.copy(), list(rows)), True
        if self.checkpoint.is_due:
            self._save()

    def _save(self) -> None:
        tensors = dict(self._finished)
        if self._now is not None:
            name, sweep, rows = self._now
            tensors["now.name"] = np.frombuffer(name.encode(), np.uint8)
            tensors["now.rows"] = np.stack(rows) if rows else np.zeros((0, sweep.n))
            tensors |= {f"now.sweep.{key}": x for key, x in sweep.state().items()}
        self.checkpoint.save(tensors)
        self._changed = False


def _read(path: Path):
    """Return the configuration and the tensors of a file."""
    import safetensors

    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            if header.get("format") != _FORMAT or header.get("version") != _VERSION:
                raise ValueError(
                    f"expected a checkpoint of this version of vanishing_jax; {path} is another "
                    "safetensors file. Give another name, or delete it."
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return json.loads(header["configuration"]), tensors
    except (safetensors.SafetensorError, OSError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(
            f"expected a checkpoint; {path} is not a complete safetensors file ({error}). Delete "
            "it to start from the beginning, or give another name."
        ) from error


def _compare(path: Path, found: dict[str, str], wanted: dict[str, str]) -> None:
    names = [name for name in {**wanted, **found} if found.get(name) != wanted.get(name)]
    if names:
        parts = [f"{name}: {found.get(name)} there, {wanted.get(name)} here" for name in names]
        raise ValueError(
            f"expected the checkpoint of this computation; {path} belongs to another one "
            f"({'; '.join(parts)}). Give another name, or delete it."
        )


# --- what is computed on, by name -----------------------------------------------------------------


def describe_sweep(
    chain: JacobianChain, window: tuple[int, int], lags, direction, tolerance, **more
) -> dict[str, str]:
    """Return what is computed, by name: the window, its records, the chain, and `more`."""
    return {
        "window": str(window),
        "direction": direction,
        "lags": f"{len(lags)} up to {lags[-1]}, {digest(lags)}",
        "tolerance": str(tolerance),
        **{name: str(value) for name, value in more.items()},
        **_describe_chain(chain),
    }


def _describe_chain(chain: JacobianChain) -> dict[str, str]:
    """Return what the chain is, by name; arrays by the hash of their bytes."""
    named = {
        "state size": str(chain.state_size),
        "number of steps": str(chain.num_steps),
        "batch size": str(chain.batch_size),
        "dtype": str(chain.dtype),
        "Jacobians": "streamed",
    }
    if chain._jacobians is not None:
        return {**named, "Jacobians": digest(chain._jacobians)}
    assert chain.linearization is not None
    trajectory = chain.linearization.trajectory
    return {
        **named,
        "mode": chain.linearization.mode,
        "cell": digest(chain.linearization.cell),
        "step": _digest_of_step(chain.linearization),
        "states": digest(trajectory.states),
        "inputs": digest(trajectory.inputs),
    }


def digest(tree) -> str:
    """Return a hash of the arrays of a tree, with their paths, dtypes and shapes."""
    total = hashlib.blake2b(digest_size=8)
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        if isinstance(leaf, jax.Array | np.ndarray):
            array = np.asarray(leaf)
            total.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
            for part in _pieces(array):
                total.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
    return total.hexdigest()


def _pieces(array: np.ndarray):
    """Yield the array in pieces, so that one on disk is never in memory as a whole."""
    if array.ndim == 0 or array.nbytes <= _CHUNK_BYTES:
        yield array
        return
    rows = _CHUNK_BYTES * len(array) // array.nbytes
    if rows == 0:
        for row in array:
            yield from _pieces(row)
        return
    for begin in range(0, len(array), rows):
        yield array[begin : begin + rows]


def _digest_of_step(linearization: Linearization) -> str:
    """Return a hash of what one step of the cell computes: a changed function is noticed."""
    if linearization.batch_size is not None:
        linearization = jax.tree.map(
            lambda leaf: leaf[0] if eqx.is_array(leaf) else leaf, linearization
        )
    at = linearization.trajectory
    state, input = jax.tree.map(lambda leaf: leaf[0], (at.states, at.inputs))
    with jax.enable_x64(linearization.x64):
        closed = jax.make_jaxpr(lambda state, input: linearization.cell(state, input))(state, input)
    text = re.sub(r"0x[0-9a-f]+", "", str(closed.jaxpr))  # addresses differ from run to run
    total = hashlib.blake2b(text.encode(), digest_size=8)
    total.update(digest(list(closed.consts)).encode())
    return total.hexdigest()
