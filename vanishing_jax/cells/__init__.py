"""Cells: one step of a recurrence, `cell(state, input) -> state`."""

from ._adapters import EquinoxCell as EquinoxCell
from ._adapters import FunctionCell as FunctionCell
from ._as_cell import as_cell as as_cell
from ._base import AbstractCell as AbstractCell
from ._flax import FlaxCell as FlaxCell
from ._gru import GRUCell as GRUCell
from ._io import load_cell as load_cell
from ._io import save_cell as save_cell
from ._lstm import LSTMCell as LSTMCell
from ._stacked import StackedCell as StackedCell
from ._stacked import hidden_output as hidden_output
from ._vanilla import VanillaCell as VanillaCell
from ._vanilla import identity_initializer as identity_initializer
