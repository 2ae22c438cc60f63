"""What gated cells share: how their weights are drawn, and the states (h,) and (h, c)."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Float

from .._types import Array, Key
from ._base import AbstractCell
from ._weights import Initializer, check_sizes, floating_dtype, initialize, map_blocks

RecurrentCellT = TypeVar("RecurrentCellT", bound="AbstractRecurrentCell")


def gate_weights(
    rows: str,
    biases: Mapping[str, float],
    sizes: tuple[int, int],
    initializers: tuple[Initializer, Initializer],
    *,
    state_size: int | None = None,
    dtype: Any,
    keys: Key,
) -> tuple[Array, Array, Array]:
    """Return initial `weight_hh`, `weight_xh` and `bias`, the blocks of the gates in order.

    `rows` has a letter for each gate, `biases` the values of those that are not 0, and `sizes` is
    (input size, hidden size). `initializers` and `keys` are those of the recurrent and of the input
    weights; `state_size` is the size of h where it is not the hidden size.
    """
    recurrent, given = initializers
    weight_xh, bias = input_weights(rows, biases, sizes, given, dtype=dtype, key=keys[1])
    n, dtype = sizes[1], weight_xh.dtype
    weight_hh = initialize(recurrent, len(rows), n, state_size or n, dtype=dtype, key=keys[0])
    return weight_hh, weight_xh, bias


def input_weights(
    rows: str,
    biases: Mapping[str, float],
    sizes: tuple[int, int],
    initializer: Initializer,
    *,
    dtype: Any,
    key: Key,
) -> tuple[Array, Array]:
    """Return initial `weight_xh` and `bias`, as `gate_weights` does."""
    d, n = sizes
    check_sizes(input_size=d, hidden_size=n)
    dtype = floating_dtype(dtype)
    weight = initialize(initializer, len(rows), n, d, dtype=dtype, key=key)
    bias = jnp.zeros(len(rows) * n, dtype)
    for gate, value in biases.items():
        first = rows.index(gate) * n
        bias = bias.at[first : first + n].set(value)
    return weight, bias


class AbstractRecurrentCell(AbstractCell):
    """A cell with recurrent (n, n) blocks one above the other in `weight_hh`."""

    weight_hh: eqx.AbstractVar[Array]
    hidden_size: eqx.AbstractVar[int]

    def map_recurrent(self: RecurrentCellT, fn: Callable[[Array], Array]) -> RecurrentCellT:
        """Return this cell with `fn` applied to each recurrent (n, n) block."""
        return eqx.tree_at(lambda c: c.weight_hh, self, map_blocks(fn, self.weight_hh))


class AbstractHiddenCell(AbstractRecurrentCell):
    """One whose state is the array h of shape `(hidden_size,)`."""

    state_names: ClassVar[tuple[str, ...]] = ("h",)

    def initial_state(self) -> Float[Array, "hidden"]:
        """Return h = 0."""
        return jnp.zeros(self.hidden_size, self.weight_hh.dtype)


class AbstractLSTMCell(AbstractRecurrentCell):
    """One whose state is the pair (h, c) of such arrays, with the gates of an LSTM."""

    state_names: ClassVar[tuple[str, ...]] = ("h", "c")
    gate_names: ClassVar[tuple[str, ...]] = ("input", "forget", "output")

    def initial_state(self) -> tuple[Array, Array]:
        """Return h = 0, c = 0."""
        zero = jnp.zeros(self.hidden_size, self.weight_hh.dtype)
        return zero, zero
