"""The frameworks whose files can be read, by name: what `vanishing-jax --framework` offers."""

from collections.abc import Callable
from typing import Any

from ._torch import load_torch

LOADERS: dict[str, Callable[..., Any]] = {
    "torch": load_torch,
}
"""framework -> `loader(path, cell=None, **options)`, a cell or a `RecurrentNetwork`

A loader takes only those options that its files need ("nonlinearity", "prefix"); the command line
passes on what the user gave.
"""
