"""Save and load the package's own cells: one safetensors file with JSON metadata, no pickle."""

import json
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors
import safetensors.numpy

from .._files import write_atomically
from .._types import Array
from ._base import AbstractCell
from ._gru import GRUCell
from ._lstm import LSTMCell
from ._stacked import StackedCell
from ._vanilla import ACTIVATIONS, VanillaCell
from ._weights import fill, zeros

_FORMAT, _VERSION = "vanishing_jax", 1
_FIELDS = {
    VanillaCell: ("weight_hh", "weight_xh", "bias"),
    LSTMCell: ("weight_hh", "weight_xh", "bias"),
    GRUCell: ("weight_hh", "weight_xh", "bias", "bias_n"),
}
_PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt")


def save_cell(path: str | os.PathLike[str], cell: AbstractCell) -> None:
    """Write a cell of this package to one safetensors file.

    The file appears complete or not at all: it is written beside its place and then moved there.

    **Arguments:**

    - `path`: the file, by custom named `*.safetensors`; its folder is made.
    - `cell`: a `VanillaCell`, `LSTMCell`, `GRUCell` or a `StackedCell` of these.

    **Raises:** `TypeError` for another cell. `ValueError` for a `VanillaCell` whose activation is a
    function of your own, which a file of arrays cannot hold.

    **Example:**

    >>> import jax, os, tempfile
    >>> from vanishing_jax.cells import GRUCell
    >>> path = os.path.join(tempfile.mkdtemp(), "cell.safetensors")
    >>> save_cell(path, GRUCell(3, 5, key=jax.random.key(0)))
    >>> load_cell(path).hidden_size
    5
    """
    spec, tensors = _describe(cell, "")
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
        cell = _build(json.loads(header["cell"]), tensors, "")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not describe a cell: {error}") from error
    if tensors:
        raise ValueError(f"{path} holds tensors that no cell claims: {sorted(tensors)}.")
    return cell


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return tensors and metadata of a safetensors file, all tensors finite."""
    if Path(path).suffix.lower() in _PICKLES:
        raise ValueError(
            f"{path} looks like a pickle, which can run code when it is loaded and is never opened "
            "here. Convert it where it was made: "
            "safetensors.torch.save_file(model.state_dict(), 'model.safetensors')."
        )
    with open(path, "rb"):
        pass  # so that a missing or unreadable file raises the usual OSError
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is not a complete safetensors file: {error}") from error
    check_finite(tensors, str(path))
    return tensors, header


def check_finite(tensors: dict[str, np.ndarray], source: str) -> None:
    """Check that no floating tensor holds NaN or inf."""
    for name, tensor in tensors.items():
        if not jax.numpy.issubdtype(tensor.dtype, jax.numpy.floating):
            continue
        count = tensor.size - np.count_nonzero(np.isfinite(tensor.astype(np.float64)))
        if count:
            raise ValueError(f"tensor {name!r} of {source} holds {count} NaN or infinite values.")


def _describe(cell: AbstractCell, prefix: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    if isinstance(cell, StackedCell):
        specs, tensors = [], {}
        for layer, inner in enumerate(cell.cells):
            spec, arrays = _describe(inner, f"{prefix}cells.{layer}.")
            specs.append(spec)
            tensors.update(arrays)
        stack = {"type": "StackedCell", "cells": specs}
        # Not written when False: earlier releases can read such a file.
        return ({**stack, "residual": True} if cell.residual else stack), tensors
    if not isinstance(cell, VanillaCell | LSTMCell | GRUCell):
        raise TypeError(
            "save_cell writes VanillaCell, LSTMCell, GRUCell and StackedCell; got "
            f"{type(cell).__name__}. Save its parameters with equinox.tree_serialise_leaves."
        )
    spec: dict[str, Any] = {
        "type": type(cell).__name__,
        "input_size": cell.input_size,
        "hidden_size": cell.hidden_size,
    }
    if isinstance(cell, VanillaCell):
        spec["activation"] = _name_of(cell.activation)
    arrays = {name: getattr(cell, name) for name in _FIELDS[type(cell)]}
    return spec, {
        prefix + name: np.ascontiguousarray(array)
        for name, array in arrays.items()
        if array is not None
    }


def _name_of(activation: Any) -> str:
    for name, known in ACTIVATIONS.items():
        if activation is known:
            return name
    raise ValueError(
        "a VanillaCell with a function of your own as activation cannot be saved; only "
        f"{', '.join(map(repr, ACTIVATIONS))} can be named in a file."
    )


def _build(spec: dict[str, Any], tensors: dict[str, np.ndarray], prefix: str) -> AbstractCell:
    """Return the cell of `spec`, taking its tensors out of `tensors`."""
    if spec["type"] == "StackedCell":
        parts = enumerate(spec["cells"])
        layers = [_build(s, tensors, f"{prefix}cells.{i}.") for i, s in parts]
        return StackedCell(layers, residual=bool(spec.get("residual", False)))
    kinds = {kind.__name__: kind for kind in _FIELDS}
    if spec["type"] not in kinds:
        raise ValueError(f"unknown type {spec['type']!r}")
    kind = kinds[spec["type"]]
    names = list(_FIELDS[kind])
    options: dict[str, Any] = {}
    if kind is VanillaCell:
        options["activation"] = spec["activation"]
        if prefix + "bias" not in tensors:
            names.remove("bias")
            options["bias_initializer"] = None
    missing = [prefix + name for name in names if prefix + name not in tensors]
    if missing:
        raise ValueError(f"tensors {missing} are missing")
    arrays = {name: tensors.pop(prefix + name) for name in names}
    return from_arrays(kind, spec["input_size"], spec["hidden_size"], arrays, **options)


def from_arrays(
    kind: type, input_size: int, hidden_size: int, arrays: dict[str, Any], **options: Any
) -> Any:
    """Return a cell of class `kind` with the given weights; shapes are checked."""
    cell = kind(
        input_size,
        hidden_size,
        recurrent_initializer=_zeros,
        input_initializer=_zeros,
        key=jax.random.key(0),
        **options,
    )
    return fill(cell, arrays)


def _zeros(key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    return zeros(key, shape, dtype)
