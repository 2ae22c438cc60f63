"""Cells: one step of a recurrence, `cell(state, input) -> state`."""

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from ._adapters import EquinoxCell as EquinoxCell
    from ._adapters import FunctionCell as FunctionCell
    from ._as_cell import as_cell as as_cell
    from ._base import AbstractCell as AbstractCell
    from ._batch_norm import BatchNormCell as BatchNormCell
    from ._batch_training import estimate_statistics as estimate_statistics
    from ._batch_training import update_statistics as update_statistics
    from ._batch_training import use_batch_statistics as use_batch_statistics
    from ._bidirectional import BidirectionalCell as BidirectionalCell
    from ._clipped_gradient import ClippedGradientCell as ClippedGradientCell
    from ._flax import FlaxCell as FlaxCell
    from ._gru import GRUCell as GRUCell
    from ._haiku import HaikuCell as HaikuCell
    from ._io import load_cell as load_cell
    from ._io import save_cell as save_cell
    from ._keras import KerasCell as KerasCell
    from ._layer_norm import LayerNormCell as LayerNormCell
    from ._lru import LRUCell as LRUCell
    from ._lstm import LSTMCell as LSTMCell
    from ._masked import MaskedCell as MaskedCell
    from ._mgu import MGUCell as MGUCell
    from ._minimal import MinGRUCell as MinGRUCell
    from ._minimal import MinLSTMCell as MinLSTMCell
    from ._peephole_lstm import PeepholeLSTMCell as PeepholeLSTMCell
    from ._projected_lstm import ProjectedLSTMCell as ProjectedLSTMCell
    from ._reset_before_gru import ResetBeforeGRUCell as ResetBeforeGRUCell
    from ._residual import LeakyCell as LeakyCell
    from ._residual import ResidualCell as ResidualCell
    from ._s4d import S4DCell as S4DCell
    from ._selective import SelectiveCell as SelectiveCell
    from ._stacked import StackedCell as StackedCell
    from ._stacked import hidden_output as hidden_output
    from ._truncated import TruncatedCell as TruncatedCell
    from ._vanilla import VanillaCell as VanillaCell
    from ._vanilla import identity_initializer as identity_initializer
else:
    __getattr__, __dir__, __all__ = lazy(__name__)
