"""One layer that reads its sequence in both directions, as one cell."""

from typing import Any

from .._types import PyTree
from ._as_cell import as_cell
from ._base import AbstractCell
from ._weights import check_parts
from ._wrapper import AbstractComposite


class BidirectionalCell(AbstractComposite):
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
        states = check_parts("BidirectionalCell", "state (forward, backward), a pair", state, 2)
        what = "input (x_t, x_{T+1-t}), a pair, as RecurrentNetwork makes it of a sequence"
        inputs = check_parts("BidirectionalCell", what, input, 2)
        return self.forward(states[0], inputs[0]), self.backward(states[1], inputs[1])

    @property
    def parts(self) -> dict[str, AbstractCell]:
        """The two directions."""
        return {"forward": self.forward, "backward": self.backward}
