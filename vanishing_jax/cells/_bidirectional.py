"""One layer that reads its sequence in both directions, as one cell."""

from collections.abc import Callable
from typing import Any

from .._types import Array, PyTree
from ._as_cell import as_cell
from ._base import AbstractCell


class BidirectionalCell(AbstractCell):
    r"""Two cells side by side: one reads the sequence forward, the other from its end.

    $$s^f_t = f(s^f_{t-1}, x_t), \quad s^b_t = g(s^b_{t-1}, x_{T+1-t})$$

    The state is the pair (state of `forward`, state of `backward`) and the input of step t is the
    pair $(x_t, x_{T+1-t})$: both directions advance by one step of their own. So the whole layer is
    one recurrence, whose Jacobians are block diagonal, and its end is where each direction ends:
    the forward one at the last element, the backward one at the first. `hidden_output` is both
    hidden outputs in one array, forward first.

    `vanishing_jax.networks.RecurrentNetwork` reverses the sequences, puts the outputs back in the
    order of time and stacks such layers.

    **Arguments:**

    - `forward`, `backward`: the cells of the two directions, each anything that `as_cell` takes.

    **Raises:** when called, `ValueError` for a state or an input that is no pair.

    **Example:**

    >>> import jax, jax.numpy as jnp
    >>> from vanishing_jax.cells import GRUCell, LSTMCell
    >>> key_0, key_1 = jax.random.split(jax.random.key(0))
    >>> cell = BidirectionalCell(LSTMCell(3, 5, key=key_0), GRUCell(3, 5, key=key_1))
    >>> cell.state_names
    ('forward.h', 'forward.c', 'backward.h')
    >>> xs = jnp.ones((7, 3))
    >>> (h, c), back = cell(cell.initial_state(), (xs[0], xs[-1]))

    ??? cite "Reference"
        ```bibtex
        @article{schuster1997bidirectional, title={Bidirectional recurrent neural networks},
          author={Schuster, Mike and Paliwal, Kuldip K.}, journal={IEEE Transactions on Signal
          Processing}, volume={45}, number={11}, pages={2673--2681}, year={1997}}
        ```
    """

    forward: AbstractCell
    backward: AbstractCell

    def __init__(self, forward: Any, backward: Any):
        self.forward, self.backward = as_cell(forward), as_cell(backward)

    def __call__(self, state: PyTree, input: PyTree) -> tuple[PyTree, PyTree]:
        """Return the next states of the two directions."""
        state_forward, state_backward = _pair("state (forward, backward)", state)
        input_forward, input_backward = _pair("input (x_t, x_{T+1-t})", input)
        return (
            self.forward(state_forward, input_forward),
            self.backward(state_backward, input_backward),
        )

    def initial_state(self) -> tuple[PyTree, PyTree]:
        """Return the initial states of the two directions."""
        return self.forward.initial_state(), self.backward.initial_state()

    @property
    def state_names(self) -> tuple[str, ...] | None:
        """The names of both, prefixed "forward." and "backward."; None if one of them has none."""
        if self.forward.state_names is None or self.backward.state_names is None:
            return None
        return self._prefixed(self.forward.state_names, self.backward.state_names)

    @property
    def gate_names(self) -> tuple[str, ...]:
        """The gates of both, prefixed "forward." and "backward."."""
        return self._prefixed(self.forward.gate_names, self.backward.gate_names)

    @staticmethod
    def _prefixed(forward: tuple[str, ...], backward: tuple[str, ...]) -> tuple[str, ...]:
        return (*(f"forward.{n}" for n in forward), *(f"backward.{n}" for n in backward))

    def map_recurrent(self, fn: Callable[[Array], Array]) -> "BidirectionalCell | None":
        """Return this cell with `fn` applied in both directions; None if one does not know how."""
        forward, backward = self.forward.map_recurrent(fn), self.backward.map_recurrent(fn)
        if forward is None or backward is None:
            return None
        return BidirectionalCell(forward, backward)


def _pair(what: str, value: PyTree) -> tuple[PyTree, PyTree]:
    if not isinstance(value, tuple | list) or len(value) != 2:
        came = type(value).__name__
        if isinstance(value, tuple | list):
            came += f" of {len(value)}"
        raise ValueError(
            f"BidirectionalCell expected {what}, a pair; got {came}. The call is "
            "cell(state, input); RecurrentNetwork makes the pairs from a sequence."
        )
    return value[0], value[1]
