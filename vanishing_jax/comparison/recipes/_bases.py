"""What a recipe starts from: the cells without any remedy."""

from typing import Any, NamedTuple

import jax.random as jr

from ..._types import Key
from ...cells import (
    AbstractCell,
    BatchNormCell,
    GRUCell,
    LayerNormCell,
    LRUCell,
    LSTMCell,
    MinGRUCell,
    MinLSTMCell,
    StackedCell,
    VanillaCell,
    hidden_output,
)


class Base(NamedTuple):
    """A cell by name; `activation` is that of a plain cell, None for others."""

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
    "lru": Base("linear recurrent unit (LRU), without a nonlinearity"),
    "mingru": Base("minGRU, gate by the input only"),
    "minlstm": Base("minLSTM, gates by the input only"),
}

_KINDS = {
    "lstm": LSTMCell,
    "gru": GRUCell,
    "lru": LRUCell,
    "mingru": MinGRUCell,
    "minlstm": MinLSTMCell,
}

PLAIN = tuple(name for name, base in BASES.items() if base.activation)
GATED = ("lstm", "gru")
DIAGONAL = ("lru", "mingru", "minlstm")
DENSE = (*PLAIN, *GATED)  # those with a recurrent matrix


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
    kind: Any = _KINDS.get(base, VanillaCell)
    activation = BASES[base].activation
    options: dict[str, Any] = {} if activation is None else {"activation": activation}
    cell = kind(input_size, hidden_size, key=key, **options)
    if normalization is None:
        return cell
    if normalization.startswith("layernorm"):
        placement = normalization.removeprefix("layernorm").removeprefix("-") or "joint"
        return LayerNormCell(cell, placement=placement)
    placement = "input" if normalization.endswith("input") else "recurrent"
    return BatchNormCell(cell, num_steps=length, placement=placement)


def make_layers(
    base: str,
    normalization: str | None,
    layers: tuple[str, float] | None,
    sizes: tuple[int, int],
    length: int,
    *,
    key: Key,
) -> AbstractCell:
    """Return what `make_cell` returns, or a stack of several; `layers` is (part, how many)."""
    name, count = layers or ("layers", 1.0)
    if count != int(count) or count < 1:
        raise ValueError(f"expected `{name}` as a whole number of at least 1; got {count:g}.")
    input_size, hidden_size = sizes
    # One layer is the cell with the weights that it has without this part.
    keys = jr.split(key, int(count)) if count > 1 else [key]
    cells: list[AbstractCell] = []
    for key in keys:
        cells.append(make_cell(base, normalization, input_size, hidden_size, length, key=key))
        input_size = hidden_output(cells[-1], cells[-1].initial_state()).size
    return cells[0] if count == 1 else StackedCell(cells, residual=name == "skip-layers")
