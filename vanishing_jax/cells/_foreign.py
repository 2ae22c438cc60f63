"""What the adapters for other libraries share: what is known of those libraries' own cells."""

import dataclasses
from typing import Any

import equinox as eqx

from .._types import PyTree
from ._base import AbstractCell
from ._weights import check_pair, check_vector


@dataclasses.dataclass(frozen=True)
class Known:
    """What is known of a library's own cell; gates in the order of evaluation."""

    state_names: tuple[str, ...]
    gate_names: tuple[str, ...]


class AbstractForeignCell(AbstractCell):
    """A cell made of an object of another library; `known` is None if that is not its own."""

    known: eqx.AbstractVar[Known | None]

    @property
    def state_names(self) -> tuple[str, ...] | None:
        """Of the library's own cells, in the order of the state; None for one not known."""
        return None if self.known is None else self.known.state_names

    @property
    def gate_names(self) -> tuple[str, ...]:
        """The gates of the library's own cells, as evaluated; () for one not known."""
        return () if self.known is None else self.known.gate_names

    def check_state(self, state: PyTree, size: int) -> None:
        """Check that the state of a known cell is a vector, or a pair of vectors, of `size`."""
        names = self.state_names or ()
        if len(names) == 2:
            check_pair(type(self).__name__, state, size, names)
        else:
            check_vector(type(self).__name__, "state", state, size)


def is_instance_of(obj: Any, module: str, *names: str) -> bool:
    """Return whether `obj` is an instance of such a class of `module`, without importing it."""
    return any(c.__module__ == module and c.__name__ in names for c in type(obj).__mro__)
