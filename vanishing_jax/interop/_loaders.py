"""The frameworks whose files can be read, by name: what `vanishing-jax --framework` offers."""

import os
from collections.abc import Callable
from typing import Any

from ._assemble import Loaded
from ._equinox import load_equinox
from ._flax import load_flax
from ._haiku import load_haiku
from ._keras import load_keras
from ._onnx import load_onnx
from ._torch import load_torch

LOADERS: dict[str, tuple[Callable[..., Loaded], str | None]] = {
    "torch": (load_torch, "nonlinearity"),
    "keras": (load_keras, "activation"),
    "flax": (load_flax, "activation"),
    "haiku": (load_haiku, None),
    "equinox": (load_equinox, None),
    "onnx": (load_onnx, "activations"),
}
"""framework -> its loader, and the keyword by which that is told a plain layer's nonlinearity."""


def load_file(
    path: str | os.PathLike[str],
    framework: str,
    cell: str | None = None,
    *,
    nonlinearity: str | None = None,
    prefix: str | None = None,
) -> Loaded:
    """Return the cell or network in a file of a framework."""
    load, keyword = LOADERS[framework]
    options: dict[str, Any] = {"prefix": prefix}
    if nonlinearity is not None:
        if keyword is None:
            raise ValueError(f"{path} leaves no nonlinearity open: leave out nonlinearity.")
        options[keyword] = [nonlinearity] if framework == "onnx" else nonlinearity
    return load(path, cell, **options)
