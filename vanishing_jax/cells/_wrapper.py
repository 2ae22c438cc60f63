"""What cells around other cells have in common: they answer questions as those inside."""

import abc
from collections.abc import Callable
from typing import TypeVar

import equinox as eqx
import jax.numpy as jnp

from .._types import Array, PyTree
from ._base import AbstractCell
from ._weights import check_parts

CellT = TypeVar("CellT", bound=AbstractCell)


class AbstractWrapper(AbstractCell):
    """A cell around another one."""

    cell: eqx.AbstractVar[AbstractCell]

    @property
    def state_names(self) -> tuple[str, ...] | None:
        """The names of the cell inside."""
        return self.cell.state_names

    @property
    def gate_names(self) -> tuple[str, ...]:
        """The gates of the cell inside."""
        return self.cell.gate_names

    def map_recurrent(self: CellT, fn: Callable[[Array], Array]) -> CellT | None:
        """Return the same around the changed cell, or None if that does not know its blocks."""
        return _with_cells(self, lambda wrapper: [wrapper.cell], fn)  # pyright: ignore


class AbstractPlainWrapper(AbstractWrapper):
    """One whose state is that of the cell inside."""

    def initial_state(self) -> PyTree:
        """Return the initial state of the cell inside."""
        return self.cell.initial_state()


class AbstractCountingWrapper(AbstractWrapper):
    """One whose state is the pair (state of the cell inside, number of steps done: int32).

    The number is not differentiated and has no name.
    """

    def initial_state(self) -> tuple[PyTree, Array]:
        """Return the initial state of the cell inside, at step 0."""
        return self.cell.initial_state(), jnp.zeros((), jnp.int32)

    def parts(self, state: PyTree) -> tuple[PyTree, Array]:
        """Return the state as (state of the cell inside, step) after a look at its structure."""
        what = "state (state of the cell inside, step), as initial_state() gives it"
        inner, step = check_parts(type(self).__name__, what, state, 2)
        if jnp.shape(step) != ():
            raise ValueError(f"{type(self).__name__} expected {what}; got step {jnp.shape(step)}.")
        return inner, step


class AbstractComposite(AbstractCell):
    """Several cells as one, whose state is the tuple of theirs."""

    @property
    @abc.abstractmethod
    def parts(self) -> dict[str, AbstractCell]:
        """The cells, each under the name that precedes those of its states and gates."""

    def initial_state(self) -> tuple[PyTree, ...]:
        """Return the tuple of the cells' initial states."""
        return tuple(cell.initial_state() for cell in self.parts.values())

    @property
    def state_names(self) -> tuple[str, ...] | None:
        """The cells' names, as "part.name"; None if a cell has none."""
        names = []
        for part, cell in self.parts.items():
            if cell.state_names is None:
                return None
            names += [f"{part}.{name}" for name in cell.state_names]
        return tuple(names)

    @property
    def gate_names(self) -> tuple[str, ...]:
        """The cells' gates, as "part.gate"."""
        return tuple(f"{part}.{n}" for part, cell in self.parts.items() for n in cell.gate_names)

    def map_recurrent(self: CellT, fn: Callable[[Array], Array]) -> CellT | None:
        """Return this cell with `fn` applied in every part; None if one does not know how."""
        return _with_cells(self, lambda cell: list(cell.parts.values()), fn)  # pyright: ignore


def _with_cells(
    outer: CellT, cells: Callable[[CellT], list[AbstractCell]], fn: Callable[[Array], Array]
) -> CellT | None:
    mapped = [cell.map_recurrent(fn) for cell in cells(outer)]
    return None if None in mapped else eqx.tree_at(cells, outer, mapped)
