"""The frameworks whose files can be read, by name: what `vanishing-jax --framework` offers."""

import os
from collections.abc import Callable
from typing import Any

from ._equinox import load_equinox
from ._flax import load_flax
from ._haiku import load_haiku
from ._keras import load_keras
from ._onnx import load_onnx
from ._torch import load_torch


def _with_activation(load: Callable[..., Any]) -> Callable[..., Any]:
    """Return a loader that is told a plain layer's nonlinearity as PyTorch calls it."""

    def loader(path: Any, cell: str | None = None, *, nonlinearity: str | None = None, **options):
        return load(path, cell, activation=nonlinearity, **options)

    return loader


def _without_activation(load: Callable[..., Any]) -> Callable[..., Any]:
    """Return a loader of a framework whose files leave no nonlinearity open."""

    def loader(path: Any, cell: str | None = None, *, nonlinearity: str | None = None, **options):
        if nonlinearity is not None:
            raise ValueError(f"{path} leaves no nonlinearity open: leave out nonlinearity.")
        return load(path, cell, **options)

    return loader


def _onnx(
    path: str | os.PathLike[str],
    cell: str | None = None,
    *,
    nonlinearity: str | None = None,
    prefix: str | None = None,
) -> Any:
    activations = None if nonlinearity is None else [nonlinearity]
    return load_onnx(path, prefix, cell=cell, activations=activations)


LOADERS: dict[str, Callable[..., Any]] = {
    "torch": load_torch,
    "keras": _with_activation(load_keras),
    "flax": _with_activation(load_flax),
    "haiku": _without_activation(load_haiku),
    "equinox": _without_activation(load_equinox),
    "onnx": _onnx,
}
"""framework -> `loader(path, cell=None, **options)`, a cell or a `RecurrentNetwork`

Options are "nonlinearity" (of a plain layer) and "prefix" (of an ONNX model: the node); the command
line passes on what the user gave.
"""
