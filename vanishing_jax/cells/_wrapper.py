"""What cells that wrap a cell have in common."""

from collections.abc import Callable

import equinox as eqx

from .._types import Array, PyTree
from ._base import AbstractCell


class AbstractWrapper(AbstractCell):
    """A cell around another one, with the same state: it answers questions as the one inside."""

    cell: eqx.AbstractVar[AbstractCell]

    def initial_state(self) -> PyTree:
        """Return the initial state of the cell inside."""
        return self.cell.initial_state()

    @property
    def state_names(self) -> tuple[str, ...] | None:
        """The names of the cell inside."""
        return self.cell.state_names

    @property
    def gate_names(self) -> tuple[str, ...]:
        """The gates of the cell inside."""
        return self.cell.gate_names

    def map_recurrent(self, fn: Callable[[Array], Array]) -> "AbstractCell | None":
        """Return the same around the changed cell, or None if that does not know its blocks."""
        changed = self.cell.map_recurrent(fn)
        return None if changed is None else eqx.tree_at(lambda w: w.cell, self, changed)
