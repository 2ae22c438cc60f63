"""What a comparison was asked for, as text: a folder of results belongs to one such text."""

import dataclasses
import hashlib
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from .._types import Key, PyTree
from ..tasks import AbstractTask


def describe_task(task: AbstractTask) -> dict[str, str]:
    """Return the fields of a task as text; arrays by a hash of what they hold."""
    fields = {f"task {f.name}": _text(getattr(task, f.name)) for f in dataclasses.fields(task)}
    return {"task": type(task).__name__, **fields}


def describe_key(key: Key) -> str:
    """Return a key as text."""
    data = np.asarray(jr.key_data(key)).ravel().tolist()
    return f"{jr.key_impl(key)} {' '.join(map(str, data))}"


def describe_precision() -> str:
    """Return the floating type in which JAX computes."""
    return str(jnp.result_type(float))


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Return a line for each setting that differs."""
    names = list(dict.fromkeys([*there, *here]))
    return [
        f"  {name}: there {_shown(there, name)}; here {_shown(here, name)}"
        for name in names
        if there.get(name) != here.get(name)
    ]


def _shown(settings: Mapping[str, Any], name: str) -> str:
    return repr(settings[name]) if name in settings else "not set"


def _text(value: PyTree) -> str:
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    leaves, structure = jax.tree.flatten(value)
    # An address in the text would make every process another task.
    digest = hashlib.sha256(re.sub(r" at 0x[0-9a-f]+", "", str(structure)).encode())
    for leaf in leaves:
        if not isinstance(leaf, jax.Array | np.ndarray | np.generic | bool | int | float | str):
            digest.update(getattr(leaf, "__qualname__", type(leaf).__qualname__).encode())
            continue
        array = np.asarray(leaf)
        digest.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
    return f"sha256 {digest.hexdigest()[:16]}"
