"""What something was computed with, as text: results of other settings are told apart by it."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from ._linearization import Linearization
from ._types import PyTree


def fingerprint(value: PyTree) -> str:
    """Return a value as text: plain ones as they are, others by a hash of what they hold.

    Functions count by name: what a closure holds is not seen.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    return f"sha256 {digest(value)}"


def digest(tree: PyTree) -> str:
    """Return a hash of what a tree holds, with the dtypes and shapes of its arrays."""
    leaves, structure = jax.tree.flatten(tree)
    # An address in the text would make every process another one.
    total = hashlib.sha256(re.sub(r" at 0x[0-9a-f]+", "", str(structure)).encode())
    for leaf in leaves:
        if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jr.key_data(leaf)
        if not isinstance(leaf, jax.Array | np.ndarray | np.generic | bool | int | float | str):
            total.update(getattr(leaf, "__qualname__", type(leaf).__qualname__).encode())
            continue
        array = np.asarray(leaf)
        total.update(f"{array.dtype} {array.shape}".encode())
        # In place, because it may lie on a disk; row by row where bytes have to be put in order.
        for part in [array] if array.flags.c_contiguous else array:
            total.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
    return total.hexdigest()[:16]


def digest_of_step(linearization: Linearization) -> str:
    """Return a hash of what one step of the cell computes: a changed function is noticed."""
    if linearization.batch_size is not None:
        linearization = jax.tree.map(
            lambda leaf: leaf[0] if eqx.is_array(leaf) else leaf, linearization
        )
    at = linearization.trajectory
    state, input = jax.tree.map(lambda leaf: leaf[0], (at.states, at.inputs))
    with jax.enable_x64(linearization.x64):
        closed = jax.make_jaxpr(lambda *at: linearization.cell(*at))(state, input)
    text = re.sub(r"0x[0-9a-f]+", "", str(closed.jaxpr))
    return digest((text, closed.consts))


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
