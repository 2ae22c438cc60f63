"""The tensors of a file or of nested dictionaries, and the recurrent layers among them."""

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np

from ..cells._io import check_finite, read_tensors

Source: TypeAlias = str | os.PathLike[str] | Mapping[str, Any] | Sequence[Any]
Prefix: TypeAlias = str | Sequence[str] | None

_PARTS = re.compile(r"[^./\[\]'\"]+")


class Tensors(NamedTuple):
    """Arrays by their name, its parts joined by "/", and where they came from."""

    arrays: dict[str, np.ndarray]
    source: str


def read(source: Source, framework: str) -> Tensors:
    """Return the tensors of a safetensors file, or of nested mappings and lists of arrays.

    Names are the same whether dictionaries are nested or names are joined by "/", "." or as JAX
    prints paths ("['cell'].weight"). All tensors are finite.
    """
    if isinstance(source, str | os.PathLike):
        found, where = read_tensors(source)[0], str(source)
    elif isinstance(source, Mapping | Sequence):
        where = f"the {framework} weights"
        found = {name: _to_numpy(name, leaf) for name, leaf in _leaves(source, ())}
        check_finite(found, where)
    else:
        raise TypeError(
            f"expected a safetensors file or a dictionary of {framework} weights; got a "
            f"{type(source).__name__}."
        )
    return Tensors({normalized(name): array for name, array in found.items()}, where)


def normalized(name: str) -> str:
    """Return the name with its parts joined by "/"."""
    # Keras 2 writes "kernel:0".
    return "/".join(_PARTS.findall(name.removesuffix(":0")))


def _leaves(tree: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, Mapping):
        for key, child in tree.items():
            yield from _leaves(child, (*path, str(key)))
    elif isinstance(tree, list | tuple):
        for index, child in enumerate(tree):
            yield from _leaves(child, (*path, str(index)))
    elif tree is not None and not _is_key(tree):
        yield "/".join(path), tree


def _is_key(leaf: Any) -> bool:
    # An NNX state holds the keys of its random streams beside the weights. By name: what else has a
    # dtype, such as a torch tensor, has none that JAX knows.
    return str(getattr(leaf, "dtype", "")).startswith("key<")


def _to_numpy(name: str, leaf: Any) -> np.ndarray:
    # A torch tensor may require grad or live on a GPU; NumPy's asarray refuses both.
    array = np.asarray(leaf.detach().cpu() if hasattr(leaf, "detach") else leaf)
    if array.dtype == object:
        raise TypeError(f"expected an array as {name!r}; got a {type(leaf).__name__}.")
    return array


Group: TypeAlias = dict[str, np.ndarray]
"""What follows the layer's prefix -> array."""


def groups(tensors: Tensors, tails: Collection[str]) -> dict[str, Group]:
    """Return prefix -> the tensors whose names are this prefix and one of `tails`."""
    found: dict[str, Group] = {}
    for name, array in tensors.arrays.items():
        for tail in tails:
            if name == tail or name.endswith("/" + tail):
                found.setdefault(name[: -len(tail)].rstrip("/"), {})[tail] = array
    return found


def check_nothing_is_left(tensors: Tensors, prefix: str, group: Group) -> None:
    """Raise ValueError for floating tensors beside those of the layer, which would be lost."""
    claimed = {f"{prefix}/{tail}".lstrip("/") for tail in group}
    folders = {name.rpartition("/")[0] for name in claimed}
    lost = sorted(
        name
        for name, array in tensors.arrays.items()
        if name not in claimed
        and name.rpartition("/")[0] in folders
        and jax.numpy.issubdtype(array.dtype, jax.numpy.floating)
    )
    if lost:
        raise ValueError(
            f"in {tensors.source} there are tensors beside those of the layer {sorted(claimed)} "
            f"that no cell here has: {lost}."
        )
