"""Between a state (any pytree) and one real vector.

A cell carries whatever it likes: an array, a tuple (h, c), a dict, complex numbers, a step counter,
a PRNG key. Derivatives live on the floating leaves only, and linear algebra wants one real vector.
`StateLayout` is the one place that knows how the two correspond.
"""

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Real

from ._types import Array, PyTree


class LeafSpec(NamedTuple):
    """Where one leaf of a state lives in the vector."""

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype | None  # None: not differentiated, passed through
    start: int
    size: int  # real components: a complex number counts twice


class StateLayout(NamedTuple):
    """How the floating leaves of a state are laid out in one real vector (hashable, static).

    Complex leaves contribute their real parts followed by their imaginary parts. Integer, boolean
    and key leaves are not differentiated: `unravel` takes them from the state it is given.
    """

    treedef: Any  # a jax PyTreeDef
    leaves: tuple[LeafSpec, ...]

    @property
    def size(self) -> int:
        """Number of real components n."""
        return sum(leaf.size for leaf in self.leaves)

    @property
    def dtype(self) -> np.dtype:
        """Dtype of the vector: the widest real dtype among the floating leaves."""
        dtypes = [_real_dtype(leaf.dtype) for leaf in self.leaves if leaf.dtype is not None]
        return max(dtypes, key=lambda dtype: dtype.itemsize)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Paths of the leaves that are not differentiated."""
        return tuple(leaf.path for leaf in self.leaves if leaf.dtype is None)

    def ravel(self, state: PyTree) -> Real[Array, "state"]:
        """Return the floating leaves of `state` as one real vector."""
        parts = []
        for spec, leaf in zip(self.leaves, jax.tree.leaves(state), strict=True):
            if spec.dtype is None:
                continue
            if jnp.issubdtype(spec.dtype, jnp.complexfloating):
                parts += [jnp.real(leaf).reshape(-1), jnp.imag(leaf).reshape(-1)]
            else:
                parts.append(jnp.reshape(leaf, -1))
        return jnp.concatenate([part.astype(self.dtype) for part in parts])

    def unravel(self, vector: Real[Array, "state"], like: PyTree) -> PyTree:
        """Return the state with `vector` as its floating leaves and the other leaves of `like`."""
        leaves = []
        for spec, other in zip(self.leaves, jax.tree.leaves(like), strict=True):
            if spec.dtype is None:
                leaves.append(other)
                continue
            part = vector[spec.start : spec.start + spec.size]
            if jnp.issubdtype(spec.dtype, jnp.complexfloating):
                real, imag = jnp.split(part.astype(_real_dtype(spec.dtype)), 2)
                leaves.append(jax.lax.complex(real, imag).reshape(spec.shape))
            else:
                leaves.append(part.astype(spec.dtype).reshape(spec.shape))
        return jax.tree.unflatten(self.treedef, leaves)


def _real_dtype(dtype) -> np.dtype:
    return np.dtype(jnp.finfo(dtype).dtype)


def path_name(path: tuple) -> str:
    """Return a pytree path as a short name: `h`, `cell.c`, `1`; the root is `state`."""
    name = jax.tree_util.keystr(path, simple=True, separator=".")
    return name or "state"


def state_layout(state: PyTree) -> StateLayout:
    """Return the layout of `state`.

    **Raises:** `TypeError` when a leaf is no array or number; `ValueError` when nothing in the
    state can be differentiated (for example an integer state).
    """
    flat, treedef = jax.tree_util.tree_flatten_with_path(state)
    specs, start = [], 0
    for path, leaf in flat:
        name = path_name(path)
        if not hasattr(leaf, "dtype") or not hasattr(leaf, "shape"):
            raise TypeError(
                f"expected every leaf of the state to be an array; {name} is a "
                f"{type(leaf).__name__}. Keep functions and strings in the cell, not in its state."
            )
        inexact = jnp.issubdtype(leaf.dtype, jnp.inexact)
        size = math.prod(leaf.shape) if inexact else 0
        if inexact and jnp.issubdtype(leaf.dtype, jnp.complexfloating):
            size *= 2
        dtype = np.dtype(leaf.dtype) if inexact else None
        specs.append(LeafSpec(name, tuple(leaf.shape), dtype, start, size))
        start += size
    layout = StateLayout(treedef, tuple(specs))
    if layout.size == 0:
        found = ", ".join(f"{path_name(path)}: {leaf.dtype}" for path, leaf in flat) or "no leaf"
        raise ValueError(
            f"expected a state with at least one floating-point component; got {found}. "
            "Pass the initial state as floats, e.g. jnp.zeros(n, jnp.float32)."
        )
    return layout


def first_of(tree: PyTree) -> PyTree:
    """Return the leaves at index 0 of their first axis; in NumPy, where nothing is compiled.

    Traced arrays and keys have no NumPy form.
    """

    def first(leaf):
        traced = isinstance(leaf, Tracer) or jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return leaf[0] if traced else np.asarray(leaf)[0, ...]

    return jax.tree.map(first, tree)


def describe(tree: PyTree) -> str:
    """Return the structure of `tree` with dtypes and shapes, e.g. `(f32[8], f32[8])`."""

    def kind(leaf):
        has_dtype = hasattr(leaf, "dtype")
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) if has_dtype else type(leaf)

    return eqx.tree_pformat(jax.tree.map(kind, tree), width=10**6, struct_as_array=True)


def same_structure(first: PyTree, second: PyTree) -> bool:
    """Say whether two trees agree in structure, shapes and dtypes."""
    a, tree_a = jax.tree.flatten(first)
    b, tree_b = jax.tree.flatten(second)
    return tree_a == tree_b and all(
        tuple(x.shape) == tuple(y.shape) and x.dtype == y.dtype for x, y in zip(a, b, strict=True)
    )
