"""Several cells on top of one another, as one cell."""

import functools as ft
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Array, PyTree
from ._as_cell import as_cell
from ._base import AbstractCell
from ._bidirectional import BidirectionalCell
from ._weights import check_parts
from ._wrapper import AbstractComposite, AbstractCountingWrapper, AbstractWrapper


class StackedCell(AbstractComposite):
    r"""Layers of cells: layer $l$ receives the new hidden output of layer $l-1$.

    $$s^0_t = f_0(s^0_{t-1}, x_t), \quad s^l_t = f_l(s^l_{t-1}, h^{l-1}_t)$$

    The state is the tuple of the layers' states, so gradients travel through time and depth in one
    map. A layer's hidden output is the leaf of its state named "h" (see `hidden_output`).

    With `residual=True` there are skip connections across the layers: each layer adds its hidden
    output to a stream, $u^1 = h^0, \; u^{l+1} = u^l + h^l$, that the layers above and a readout see
    instead of the last layer's h. Then the gradient reaches every layer at once, whatever the
    layers between do to it.

    **Arguments:**

    - `cells`: the layers from the input upwards, each anything that `as_cell` takes.
    - `residual`: whether a layer's output is added to what it received; False by default. The
      layers' hidden outputs must then be of one shape.

    **Raises:** `ValueError` without a cell; when called, for a state of another number of layers,
    and with `residual` for hidden outputs of different shapes.

    **Example:**

    >>> import jax, jax.numpy as jnp
    >>> from vanishing_jax.cells import GRUCell, LSTMCell
    >>> key_0, key_1 = jax.random.split(jax.random.key(0))
    >>> cell = StackedCell([LSTMCell(3, 5, key=key_0), GRUCell(5, 2, key=key_1)])
    >>> cell.state_names
    ('layer0.h', 'layer0.c', 'layer1.h')
    >>> (h0, c0), h1 = cell(cell.initial_state(), jnp.ones(3))
    """

    cells: tuple[AbstractCell, ...]
    residual: bool = eqx.field(static=True)

    def __init__(self, cells: Sequence[Any], *, residual: bool = False):
        self.cells = tuple(as_cell(cell) for cell in cells)
        self.residual = residual
        if not self.cells:
            raise ValueError("StackedCell needs at least one cell; got none.")

    def __call__(self, state: PyTree, input: PyTree) -> tuple[PyTree, ...]:
        """Return the tuple of the layers' next states."""
        what = f"state, a tuple of {len(self.cells)} layer states"
        states = check_parts("StackedCell", what, state, len(self.cells))
        new_states = []
        for layer, (cell, layer_state) in enumerate(zip(self.cells, states, strict=True)):
            new_states.append(cell(layer_state, input))
            output = hidden_output(cell, new_states[-1])
            input = _sum(input, output) if self.residual and layer > 0 else output
        return tuple(new_states)

    @property
    def parts(self) -> dict[str, AbstractCell]:
        """The layers, "layer0", "layer1", ..."""
        return {f"layer{i}": cell for i, cell in enumerate(self.cells)}


def _sum(stream: Array, output: Array) -> Array:
    if stream.shape != output.shape:
        raise ValueError(
            "StackedCell with residual=True expected layers whose hidden outputs have one shape; "
            f"got {stream.shape} and then {output.shape}."
        )
    return stream + output


def hidden_output(cell: AbstractCell, state: PyTree) -> Array:
    """Return the part of `state` that a layer above or a readout sees: the hidden output h.

    That is the leaf which the cell's `state_names` call "h", and the first floating leaf if the
    cell names none so. In a `StackedCell` it is the last layer's, or the sum of all layers' if the
    stack is residual; in a `BidirectionalCell` both, forward first. In an LSTM the order differs
    between libraries: (h, c) here, in PyTorch and in Equinox, but (c, h) in Flax.

    Of a complex h it is [Re h, Im h], one vector of twice the size: what sees it is real, and from
    it a linear readout makes any Re(C h).

    **Arguments:**

    - `cell`: the cell that made the state.
    - `state`: its state.

    **Returns:** the array h, real.

    **Example:**

    >>> import jax
    >>> from vanishing_jax.cells import LSTMCell, hidden_output
    >>> cell = LSTMCell(3, 5, key=jax.random.key(0))
    >>> hidden_output(cell, cell.initial_state()).shape
    (5,)
    """
    if isinstance(cell, StackedCell):
        layers = list(zip(cell.cells, state, strict=True))
        seen = layers if cell.residual else layers[-1:]
        return ft.reduce(_sum, [hidden_output(*layer) for layer in seen])
    if isinstance(cell, BidirectionalCell):
        pairs = zip((cell.forward, cell.backward), state, strict=True)
        return jnp.concatenate([hidden_output(*pair) for pair in pairs], -1)
    if isinstance(cell, AbstractCountingWrapper):
        return hidden_output(cell.cell, state[0])
    if isinstance(cell, AbstractWrapper):
        return hidden_output(cell.cell, state)
    # As in `state_names`, only floating leaves count: a step counter has no name.
    leaves = [leaf for leaf in jax.tree.leaves(state) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    names = cell.state_names or ()
    hidden = [i for i, name in enumerate(names) if name.split(".")[-1] == "h"]
    h = leaves[hidden[-1] if hidden else 0]
    return jnp.concatenate([h.real, h.imag], axis=-1) if jnp.iscomplexobj(h) else h
