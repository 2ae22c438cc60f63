"""Save and load the package's own cells: one safetensors file with JSON metadata, no pickle.

The tensors are the leaves of the cell under their paths; the JSON is what the cell is made with
besides: its class, its static fields and the same of the cells inside.
"""

import dataclasses
import inspect
import json
import os
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from .. import cells  # a file names its classes
from .._files import write_atomically
from .._tree import path_name
from ._adapters import FunctionCell
from ._base import AbstractCell
from ._foreign import AbstractForeignCell
from ._peephole_lstm import PeepholeLSTMCell
from ._vanilla import ACTIVATIONS, VanillaCell

_FORMAT, _VERSION = "vanishing_jax", 1
# Arrays that may be None, and what the cell is then made with.
_ABSENT = {
    (VanillaCell, "bias"): {"bias_initializer": None},
    (PeepholeLSTMCell, "peepholes"): {"peepholes": False},
}
_PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt")
_NO_PICKLES = (
    "it looks like a pickle, which can run code when it is loaded and is never opened here. "
    "Convert it where it was made: "
    "safetensors.torch.save_file(model.state_dict(), 'model.safetensors')."
)


def save_cell(path: str | os.PathLike[str], cell: AbstractCell) -> None:
    """Write a cell of this package to one safetensors file.

    The file appears complete or not at all: it is written beside its place and then moved there.

    **Arguments:**

    - `path`: the file, by custom named `*.safetensors`; its folder is made.
    - `cell`: a `VanillaCell`, `LSTMCell`, `PeepholeLSTMCell`, `ProjectedLSTMCell`, `GRUCell`,
      `ResetBeforeGRUCell`, `MGUCell`, `LRUCell`, `S4DCell`, `SelectiveCell`, `MinGRUCell` or
      `MinLSTMCell`, normalized, wrapped, or in a `StackedCell` or `BidirectionalCell`, to any
      depth. Population statistics of batch normalization are saved with it.

    **Raises:** `TypeError` for a cell made of a function, of Flax or of Equinox, whose class is not
    this package's to name in a file. `ValueError` for a `VanillaCell` whose activation is a
    function of your own, which a file of arrays cannot hold.

    **Example:**

    >>> import jax, os, tempfile
    >>> from vanishing_jax.cells import GRUCell
    >>> path = os.path.join(tempfile.mkdtemp(), "cell.safetensors")
    >>> save_cell(path, GRUCell(3, 5, key=jax.random.key(0)))
    >>> load_cell(path).hidden_size
    5
    """
    spec = _spec(cell, "")
    leaves = jax.tree.leaves_with_path(cell)
    tensors = {path_name(path): np.ascontiguousarray(leaf) for path, leaf in leaves}
    header = {"format": _FORMAT, "version": str(_VERSION), "cell": json.dumps(spec)}
    content = safetensors.numpy.save(tensors, metadata=header)
    write_atomically(Path(path), content)


def load_cell(path: str | os.PathLike[str]) -> AbstractCell:
    """Return the cell that `save_cell` wrote.

    Weights keep their dtype, except that float64 weights become float32 when JAX's 64-bit types are
    off.

    **Arguments:**

    - `path`: the file.

    **Returns:** the cell.

    **Raises:** `FileNotFoundError`. `ValueError`, naming file and tensor, for a file that is
    truncated, not safetensors, not written by `save_cell`, lacks a tensor, or holds NaN or inf.
    """
    tensors, header = read_tensors(path)
    if header.get("format") != _FORMAT:
        raise ValueError(
            f"{path} was not written by save_cell (format {header.get('format')!r}). For weights "
            "of PyTorch use vanishing_jax.interop.load_torch."
        )
    if header.get("version") != str(_VERSION):
        raise ValueError(
            f"{path} has version {header.get('version')!r}; this release of vanishing_jax reads "
            f"version {_VERSION}."
        )
    try:
        spec = json.loads(header["cell"])
        return filled(eqx.filter_eval_shape(lambda: _made(spec, tensors, "")), tensors)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not describe a cell: {error}") from error


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return tensors and metadata of a safetensors file, all tensors finite."""
    if Path(path).suffix.lower() in _PICKLES:
        raise ValueError(f"{path}: {_NO_PICKLES}")
    with open(path, "rb") as file:  # a missing or unreadable file raises the usual OSError
        start = file.read(8)
    if not start:
        raise ValueError(f"{path} is not a complete safetensors file: it is empty.")
    if _is_pickle(start):
        raise ValueError(f"{path} is not a safetensors file. {_NO_PICKLES}")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is not a complete safetensors file: {error}") from error
    check_finite(tensors, str(path))
    return tensors, header


def _is_pickle(start: bytes) -> bool:
    """Say whether a file that begins so is a zip archive (torch.save) or a bare pickle."""
    # A safetensors file begins with the length of its header, eight bytes, the last of them zero.
    bare = len(start) == 8 and start[0] == 0x80 and start[1] in range(2, 6) and any(start[4:])
    return bare or start.startswith(b"PK\x03\x04")


def check_finite(tensors: dict[str, np.ndarray], source: str) -> None:
    """Check that no floating tensor holds NaN or inf."""
    for name, tensor in tensors.items():
        if not jnp.issubdtype(tensor.dtype, jnp.floating):
            continue
        count = tensor.size - np.count_nonzero(np.isfinite(tensor.astype(np.float64)))
        if count:
            raise ValueError(f"tensor {name!r} of {source} holds {count} NaN or infinite values.")


def _kind(name: str) -> Any:
    """Return the cell of this package by its name; None for another, or one of foreign code.

    It is made with the names of its static fields and of the cells inside, and maybe a key.
    """
    kind: Any = getattr(cells, name) if name in dir(cells) else None
    own = isinstance(kind, type) and issubclass(kind, AbstractCell) and not inspect.isabstract(kind)
    return kind if own and not issubclass(kind, FunctionCell | AbstractForeignCell) else None


def _spec(cell: Any, where: str) -> dict[str, Any]:
    """Return what a cell is made with besides its arrays, ready for JSON."""
    if _kind(type(cell).__name__) is not type(cell):
        known = [name for name in dir(cells) if _kind(name) is not None]
        raise TypeError(
            f"expected a cell out of {', '.join(known)}; got {type(cell).__name__}"
            f"{f' inside it (at {where[:-1]})' if where else ''}. Save the arrays of a cell of "
            "your own with equinox.tree_serialise_leaves."
        )
    spec: dict[str, Any] = {"type": type(cell).__name__}
    for field in dataclasses.fields(cell):
        name, value = field.name, getattr(cell, field.name)
        if name == "activation":
            spec[name] = _name_of(value)
        elif name == "cells":
            spec[name] = [_spec(one, f"{where}{name}.{i}.") for i, one in enumerate(value)]
        elif isinstance(value, AbstractCell):
            spec[name] = _spec(value, f"{where}{name}.")
        elif field.metadata.get("static", False):
            spec[name] = value
    return spec


def _name_of(activation: Any) -> str:
    for name, known in ACTIVATIONS.items():
        if activation is known:
            return name
    raise ValueError(
        "a VanillaCell with a function of your own as activation cannot be saved; only "
        f"{', '.join(map(repr, ACTIVATIONS))} can be named in a file."
    )


def _made(spec: dict[str, Any], tensors: dict[str, np.ndarray], where: str) -> AbstractCell:
    """Return a new cell of `spec`; `tensors` tell which arrays it has."""
    kind, options = _kind(spec["type"]), {}
    if kind is None:
        raise ValueError(f"unknown type {spec['type']!r}")
    for name, value in spec.items():
        if isinstance(value, dict):
            value = _made(value, tensors, f"{where}{name}.")
        elif isinstance(value, list):
            value = [_made(one, tensors, f"{where}{name}.{i}.") for i, one in enumerate(value)]
        options[name] = value
    del options["type"]
    for (owner, name), without in _ABSENT.items():
        if kind is owner and where + name not in tensors:
            options |= without
    if "key" in inspect.signature(kind).parameters:
        options["key"] = jax.random.key(0)
    return kind(**options)


def from_arrays(
    kind: Any, input_size: int, hidden_size: int, arrays: dict[str, Any], **options: Any
) -> Any:
    """Return a cell of class `kind` with the given weights; shapes are checked."""
    key = jax.random.key(0)
    like = eqx.filter_eval_shape(lambda: kind(input_size, hidden_size, key=key, **options))
    return filled(like, arrays)


def filled(like: Any, arrays: dict[str, Any]) -> Any:
    """Return the cell with the shapes of `like` that holds `arrays`, by path; all must be used."""
    names = [path_name(path) for path, _ in jax.tree.leaves_with_path(like)]
    missing = [name for name in names if name not in arrays]
    if missing:
        raise ValueError(f"tensors {missing} are missing")
    unused = sorted(arrays.keys() - set(names))
    if unused:
        raise ValueError(f"it holds tensors that no cell claims: {unused}")
    leaves, treedef = jax.tree.flatten(like)
    new = [_checked(name, arrays[name], leaf) for name, leaf in zip(names, leaves, strict=True)]
    return jax.tree.unflatten(treedef, new)


def _checked(name: str, array: Any, like: jax.ShapeDtypeStruct) -> jax.Array:
    if jnp.shape(array) != like.shape:
        raise ValueError(f"{name} must have shape {like.shape}; got {jnp.shape(array)}")
    if not jnp.issubdtype(jnp.result_type(array), jnp.floating):
        raise ValueError(f"{name} must be floating; got {jnp.result_type(array)}")
    return jnp.asarray(array)
