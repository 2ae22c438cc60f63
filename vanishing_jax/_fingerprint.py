"""What something was computed with, as text: results of other settings are told apart by it."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from ._types import PyTree


def fingerprint(value: PyTree) -> str:
    """Return a value as text: plain ones as they are, others by a hash of what they hold.

    Functions count by name: what a closure holds is not seen.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    leaves, structure = jax.tree.flatten(value)
    # An address in the text would make every process another one.
    digest = hashlib.sha256(re.sub(r" at 0x[0-9a-f]+", "", str(structure)).encode())
    for leaf in leaves:
        if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jr.key_data(leaf)
        if not isinstance(leaf, jax.Array | np.ndarray | np.generic | bool | int | float | str):
            digest.update(getattr(leaf, "__qualname__", type(leaf).__qualname__).encode())
            continue
        array = np.asarray(leaf)
        digest.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
    return f"sha256 {digest.hexdigest()[:16]}"


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
