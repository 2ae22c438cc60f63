"""The frameworks whose files can be read, by name: what `vanishing-jax --framework` offers."""

from collections.abc import Callable
from typing import Any

from ._equinox import load_equinox
from ._flax import load_flax
from ._haiku import load_haiku
from ._keras import load_keras
from ._onnx import load_onnx
from ._torch import load_torch

LOADERS: dict[str, Callable[..., Any]] = {
    "torch": load_torch,
    "keras": load_keras,
    "flax": load_flax,
    "haiku": load_haiku,
    "equinox": load_equinox,
    "onnx": load_onnx,
}
"""framework -> `loader(path, cell=None, **options)`, a cell or a `RecurrentNetwork`

A loader takes only those options that its files need ("nonlinearity", "prefix"); the command line
passes on what the user gave.
"""
