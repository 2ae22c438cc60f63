"""The cell protocol: `cell(state, input) -> state`."""

import abc
from collections.abc import Callable

import equinox as eqx

from .._types import Array, PyTree


class AbstractCell(eqx.Module):
    """One step of a recurrence, `cell(state, input) -> state`: pure and unbatched.

    State and input are any pytrees; the cell is its own parameter pytree: its floating leaves are
    what training changes. Whatever varies per step without being carried (mask, dropout key, time
    index) belongs in `input`. To add a cell, subclass this in one new file; beside the step itself,
    the methods describe the cell to `vanishing_jax.diagnose`, and None or () is the right answer of
    a cell that has nothing to say. Names that never change are class attributes,
    `gate_names = ("reset", "update")`. A subclass is final: nothing implemented is overridden
    again.
    """

    @abc.abstractmethod
    def __call__(self, state: PyTree, input: PyTree) -> PyTree:
        """Return the next state, of the same structure, shapes and dtypes as `state`."""

    @abc.abstractmethod
    def initial_state(self) -> PyTree:
        """Return the state a sequence starts from when the caller names none (all zeros).

        A cell that does not know its state raises ValueError and asks for `state0=`.
        """

    @property
    @abc.abstractmethod
    def state_names(self) -> tuple[str, ...] | None:
        """Names of the state's floating leaves in pytree order, or None to name them by path."""

    @property
    @abc.abstractmethod
    def gate_names(self) -> tuple[str, ...]:
        """Names of the sigmoids of one step in the order in which they are evaluated.

        () for a cell without gates, or one that does not know them.
        """

    @abc.abstractmethod
    def map_recurrent(self, fn: Callable[[Array], Array]) -> "AbstractCell | None":
        """Return this cell with `fn` applied to every recurrent (hidden, hidden) block.

        A gated cell has one block per gate; `fn` receives each as the matrix that multiplies the
        column h from the left. None says that the cell does not know its blocks.
        """
