"""The `vanishing-jax` command."""

from ._main import main as main
