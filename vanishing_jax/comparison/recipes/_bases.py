"""What a recipe starts from: the cells without any remedy."""

from typing import Any, NamedTuple

from ..._types import Key
from ...cells import (
    AbstractCell,
    BatchNormCell,
    GRUCell,
    LayerNormCell,
    LSTMCell,
    VanillaCell,
)


class Base(NamedTuple):
    """A cell by name; `activation` is None for a gated cell."""

    description: str
    activation: str | None = None
    initialization: str | None = None  # the part that it implies


BASES: dict[str, Base] = {
    "tanh": Base("plain recurrent cell with tanh", "tanh"),
    "sigmoid": Base("plain recurrent cell with the logistic sigmoid", "sigmoid"),
    "relu": Base("plain recurrent cell with ReLU", "relu"),
    "linear": Base("plain recurrent cell without a nonlinearity", "identity"),
    # Input weights as in the other cells. Le et al. draw them with standard deviation 0.001, with
    # which the same number of updates does not solve the adding problem.
    "irnn": Base("plain recurrent cell with ReLU (IRNN)", "relu", "identity"),
    "lstm": Base("LSTM, forget bias 1"),
    "gru": Base("GRU"),
}

PLAIN = tuple(name for name, base in BASES.items() if base.activation)
GATED = tuple(name for name, base in BASES.items() if not base.activation)


def make_cell(
    base: str,
    normalization: str | None,
    input_size: int,
    hidden_size: int,
    length: int,
    *,
    key: Key,
) -> AbstractCell:
    """Return the cell of a base, normalized or not, before any mitigation."""
    kind = {"lstm": LSTMCell, "gru": GRUCell}.get(base, VanillaCell)
    activation = BASES[base].activation
    options: dict[str, Any] = {} if activation is None else {"activation": activation}
    cell = kind(input_size, hidden_size, key=key, **options)
    if normalization is None:
        return cell
    if normalization.startswith("layernorm"):
        placement = "separate" if normalization.endswith("separate") else "joint"
        return LayerNormCell(cell, placement=placement)
    placement = "input" if normalization.endswith("input") else "recurrent"
    return BatchNormCell(cell, num_steps=length, placement=placement)
