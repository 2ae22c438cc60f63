"""What a recorder is."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from ..._tree import path_name
from ..._types import Array, ArrayLike
from ...tasks import AbstractTask
from .._parameters import split
from ._update import Update


def no_labels(model: Any, task: AbstractTask) -> tuple[str, ...]:
    """Return (): the entries of a record are told apart by their position."""
    return ()


def leaf_names(model: Any, task: AbstractTask) -> tuple[str, ...]:
    """Return the names of the trained arrays."""
    leaves = jax.tree_util.tree_leaves_with_path(split(model).params)
    return tuple(path_name(path) for path, _ in leaves)


class Recorder(NamedTuple):
    """A pure function of an update, and how its records read.

    - `record(update) -> array` of one axis, or none. Of fixed shape, jittable, and safe under
      `scan`, `vmap` and `lax.map`.
    - `headline`, `of`: what a printed `History` says, of which entry: "first", "median" or
      "largest".
    - `needs_cell`: whether it rolls out `update.model.cell`.
    - `every_update`: whether it is averaged over all updates of a record; otherwise it is computed
      once, at the record's last update.
    - `labels(model, task)`: names of the entries.
    """

    record: Callable[[Update], Array]
    headline: str
    of: str
    needs_cell: bool = True
    every_update: bool = False
    labels: Callable[[Any, AbstractTask], tuple[str, ...]] = no_labels

    def reading(self, record: ArrayLike | np.floating) -> float:
        """Return the number to print for one record."""
        entries = np.ravel(record)
        if entries.size == 0:
            return float("nan")
        choose = {"first": lambda x: x[0], "median": np.median, "largest": np.max}
        return float(choose[self.of](entries))
