"""Save and load the package's own cells: one safetensors file with JSON metadata, no pickle."""

import json
import os
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
import safetensors
import safetensors.numpy

from .._files import write_atomically
from .._tree import path_name
from .._types import Array
from ._base import AbstractCell
from ._batch_norm import BatchNormCell
from ._clipped_gradient import ClippedGradientCell
from ._diagonal import AbstractDiagonalCell
from ._gru import GRUCell
from ._layer_norm import LayerNormCell
from ._leaky import LeakyCell
from ._lru import LRUCell
from ._lstm import LSTMCell
from ._min_gru import MinGRUCell
from ._min_lstm import MinLSTMCell
from ._residual import ResidualCell
from ._s4d import S4DCell
from ._selective import SelectiveCell
from ._stacked import StackedCell
from ._truncated import TruncatedCell
from ._vanilla import ACTIVATIONS, VanillaCell
from ._weights import checked_array, fill, zeros

_FORMAT, _VERSION = "vanishing_jax", 1
_FIELDS = {
    VanillaCell: ("weight_hh", "weight_xh", "bias"),
    LSTMCell: ("weight_hh", "weight_xh", "bias"),
    GRUCell: ("weight_hh", "weight_xh", "bias", "bias_n"),
    LRUCell: ("nu_log", "theta_log", "gamma_log", "weight_xh"),
    S4DCell: ("log_step", "log_decay", "frequency"),
    SelectiveCell: ("weight_step", "bias_step", "weight_xh", "log_decay"),
    MinGRUCell: ("weight_xh", "bias"),
    MinLSTMCell: ("weight_xh", "bias"),
}
# Cells around a cell, `kind(cell, **options)`, with the options that are not arrays.
_WRAPPERS = {
    LeakyCell: ("rate",),
    ResidualCell: ("scale",),
    ClippedGradientCell: ("threshold", "by"),
    TruncatedCell: ("steps",),
    LayerNormCell: ("placement", "epsilon"),
    BatchNormCell: ("placement", "epsilon", "num_steps"),
}
# Made without initializers for a recurrent matrix: they have none.
_DIAGONAL = tuple(kind for kind in _FIELDS if issubclass(kind, AbstractDiagonalCell))
_PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt")


def save_cell(path: str | os.PathLike[str], cell: AbstractCell) -> None:
    """Write a cell of this package to one safetensors file.

    The file appears complete or not at all: it is written beside its place and then moved there.

    **Arguments:**

    - `path`: the file, by custom named `*.safetensors`; its folder is made.
    - `cell`: a `VanillaCell`, `LSTMCell`, `GRUCell`, `LRUCell`, `S4DCell`, `SelectiveCell`,
      `MinGRUCell` or `MinLSTMCell`, normalized, wrapped, or in a `StackedCell`, to any depth.
      Population statistics of batch normalization are saved with it.

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
    if type(cell) in _WRAPPERS:
        return _describe_wrapper(cell, prefix)
    if type(cell) not in _FIELDS:
        known = ", ".join(kind.__name__ for kind in (*_FIELDS, *_WRAPPERS, StackedCell))
        raise TypeError(
            f"expected a cell out of {known}; got {type(cell).__name__}"
            f"{f' inside it (at {prefix[:-1]})' if prefix else ''}. Save the arrays of a cell of "
            "your own with equinox.tree_serialise_leaves."
        )
    own: Any = cell
    spec = {
        "type": type(cell).__name__,
        "input_size": own.input_size,
        "hidden_size": own.hidden_size,
    }
    if isinstance(cell, VanillaCell):
        spec["activation"] = _name_of(cell.activation)
    if isinstance(cell, S4DCell):
        spec["discretization"] = cell.discretization
    arrays = {name: getattr(cell, name) for name in _FIELDS[type(cell)]}
    return spec, {
        prefix + name: np.ascontiguousarray(array)
        for name, array in arrays.items()
        if array is not None
    }


def _describe_wrapper(cell: Any, prefix: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    spec, tensors = _describe(cell.cell, prefix + "cell.")
    options = {name: getattr(cell, name) for name in _WRAPPERS[type(cell)]}
    own = {prefix + name: np.ascontiguousarray(leaf) for name, leaf in _own_arrays(cell)[0]}
    return {"type": type(cell).__name__, "cell": spec, **options}, tensors | own


def _own_arrays(cell: Any) -> tuple[list[tuple[str, Array]], Any]:
    """Return a wrapper's arrays by name, without those of the cell inside, and their structure."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(
        eqx.tree_at(lambda wrapper: wrapper.cell, cell, None)
    )
    return [(path_name(path), leaf) for path, leaf in leaves], structure


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
    wrappers = {kind.__name__: kind for kind in _WRAPPERS}
    if spec["type"] in wrappers:
        return _build_wrapper(wrappers[spec["type"]], spec, tensors, prefix)
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
    if kind is S4DCell:
        options["discretization"] = spec["discretization"]
    arrays = _taken(names, tensors, prefix)
    return from_arrays(kind, spec["input_size"], spec["hidden_size"], arrays, **options)


def _build_wrapper(kind: Any, spec: dict, tensors: dict, prefix: str) -> AbstractCell:
    inside = _build(spec["cell"], tensors, prefix + "cell.")
    cell = kind(inside, **{name: spec[name] for name in _WRAPPERS[kind]})
    own, structure = _own_arrays(cell)
    arrays = _taken([name for name, _ in own], tensors, prefix)
    new = [checked_array(name, arrays[name], leaf) for name, leaf in own]
    return eqx.tree_at(
        lambda wrapper: wrapper.cell,
        jax.tree.unflatten(structure, new),
        inside,
        is_leaf=lambda node: node is None,
    )


def _taken(names: list[str], tensors: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Return the named tensors and take them out of `tensors`."""
    missing = [prefix + name for name in names if prefix + name not in tensors]
    if missing:
        raise ValueError(f"tensors {missing} are missing")
    return {name: tensors.pop(prefix + name) for name in names}


def from_arrays(
    kind: Any, input_size: int, hidden_size: int, arrays: dict[str, Any], **options: Any
) -> Any:
    """Return a cell of class `kind` with the given weights; shapes are checked."""
    if kind not in _DIAGONAL:
        options |= {"recurrent_initializer": _zeros, "input_initializer": _zeros}
    return fill(kind(input_size, hidden_size, key=jax.random.key(0), **options), arrays)


def _zeros(key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    return zeros(key, shape, dtype)
