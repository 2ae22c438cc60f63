"""What of a model is trained, what follows by itself, and what stays."""

from typing import NamedTuple

import equinox as eqx

from .._types import PyTree
from ..cells._statistics import is_statistics


class Parts(NamedTuple):
    """A model in three; each has None where the others have something.

    - `params`: floating arrays, which the optimizer changes.
    - `statistics`: population statistics of batch normalization, which it must not see: they are
      floating arrays, too, and weight decay or momentum would move them.
    - `rest`: everything else.
    """

    params: PyTree
    statistics: PyTree
    rest: PyTree


def split(model: PyTree) -> Parts:
    """Return the parts of a model."""
    # As leaves, statistics are no arrays and stay out of the parameters.
    params, rest = eqx.partition(model, eqx.is_inexact_array, is_leaf=is_statistics)
    statistics, rest = eqx.partition(rest, is_statistics, is_leaf=is_statistics)
    return Parts(params, statistics, rest)


def join(parts: Parts) -> PyTree:
    """Return the model again."""
    # In this order: the first tree has None, not a structure, where statistics are.
    return eqx.combine(parts.params, parts.statistics, parts.rest)
