"""Cells whose step is a few matrix products and then something elementwise."""

import abc
from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Float

from .._types import Array, PyTree
from ._base import AbstractCell


class AffineMap(NamedTuple):
    """One preactivation: `hidden @ h + input @ x + bias`; None for a term that it has not."""

    hidden: Float[Array, "unit hidden"] | None
    input: Float[Array, "unit input"] | None
    bias: Float[Array, "unit"] | None


class AbstractAffineCell(AbstractCell):
    """A cell that can also say its step in two: affine maps of h and input, then the rest.

    `advance(state, [m.hidden @ h + m.input @ x + m.bias for m in affine_maps()])` is the call
    `cell(state, x)` to rounding, with h its `hidden_output`. Whoever runs whole sequences can then
    lay out the matrices once, and sum their gradients over many steps in one product:
    `SequenceModel.run_batch` does.
    """

    @abc.abstractmethod
    def affine_maps(self) -> tuple[AffineMap, ...]:
        """Return the maps, one for each array of preactivations; all have as many rows."""

    @abc.abstractmethod
    def advance(self, state: PyTree, preactivations: Sequence[Array]) -> PyTree:
        """Return the next state; it uses no array of the cell."""
