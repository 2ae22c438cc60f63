"""The LSTM whose hidden output is a projection of its cell state."""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Float

from .._types import Array, Key, PyTree
from ._base import AbstractCell
from ._gates import gate_weights
from ._lstm import gated
from ._weights import (
    Initializer,
    check_parts,
    check_sizes,
    check_vector,
    glorot_normal,
    initialize,
    orthogonal,
)


class ProjectedLSTMCell(AbstractCell):
    r"""The LSTM with a recurrent projection: $h' = W_{hr} (o \odot \tanh(c'))$.

    $$i, f, o = \sigma(W_{h\cdot} h + W_{x\cdot} x + b_\cdot), \quad
    g = \tanh(W_{hg} h + W_{xg} x + b_g), \quad c' = f \odot c + i \odot g$$

    The state is the pair $(h, c)$ of arrays of shape `(projection_size,)` and `(hidden_size,)`. The
    rows of `weight_hh` (4n, p), `weight_xh` (4n, d) and `bias` (4n,) hold the gates in the order i,
    f, g, o; `weight_hr` is (p, n). This is `torch.nn.LSTM(..., proj_size=p)`. Initially the
    recurrent block of each gate and the projection are orthogonal (a part of an orthogonal matrix),
    the rest is as in `LSTMCell`.

    **Arguments:**

    - `input_size`, `hidden_size`: d and n.
    - `projection_size`: p, the size of h.
    - `forget_bias`: initial bias of the forget gate, 1 by default.
    - `recurrent_initializer`, `input_initializer`: `(key, shape, dtype)` functions as in
      `jax.nn.initializers`, called once per gate with shape (fan in, fan out).
    - `dtype`: floating type of the weights; None takes JAX's default.
    - `key`: random key.

    **Raises:** `ValueError` for a size below 1; when called, for a state or input of another shape.

    **Example:**

    >>> import jax, jax.numpy as jnp
    >>> cell = ProjectedLSTMCell(3, 5, 2, key=jax.random.key(0))
    >>> h, c = cell(cell.initial_state(), jnp.ones(3))
    >>> h.shape, c.shape
    ((2,), (5,))

    ??? cite "Reference"
        ```bibtex
        @inproceedings{sak2014long, title={Long short-term memory recurrent neural network
          architectures for large scale acoustic modeling}, author={Sak, Ha{\c{s}}im and Senior,
          Andrew and Beaufays, Fran{\c{c}}oise}, booktitle={Interspeech}, year={2014}}
        ```
    """

    weight_hh: Float[Array, "four_hidden projection"]
    weight_xh: Float[Array, "four_hidden input"]
    weight_hr: Float[Array, "projection hidden"]
    bias: Float[Array, "four_hidden"]
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    projection_size: int = eqx.field(static=True)

    state_names: ClassVar[tuple[str, ...]] = ("h", "c")
    gate_names: ClassVar[tuple[str, ...]] = ("input", "forget", "output")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        projection_size: int,
        *,
        forget_bias: float = 1.0,
        recurrent_initializer: Initializer = orthogonal,
        input_initializer: Initializer = glorot_normal,
        dtype: Any = None,
        key: Key,
    ):
        check_sizes(projection_size=projection_size)
        keys, p = jr.split(key, 3), projection_size
        sizes, initializers = (input_size, hidden_size), (recurrent_initializer, input_initializer)
        self.weight_hh, self.weight_xh, self.bias = gate_weights(
            "ifgo", {"f": forget_bias}, sizes, initializers, state_size=p, dtype=dtype, keys=keys
        )
        dtype, n = self.weight_hh.dtype, hidden_size
        self.weight_hr = initialize(recurrent_initializer, 1, p, n, dtype=dtype, key=keys[2])
        self.input_size, self.hidden_size, self.projection_size = *map(int, sizes), int(p)

    def __call__(self, state: PyTree, input: PyTree) -> tuple[Array, Array]:
        """Return the next (h, c)."""
        what = f"state (h, c) of shapes ({self.projection_size},) and ({self.hidden_size},)"
        h, c = check_parts("ProjectedLSTMCell", what, state, 2)
        check_vector("ProjectedLSTMCell", "state 'h'", h, self.projection_size)
        check_vector("ProjectedLSTMCell", "state 'c'", c, self.hidden_size)
        check_vector("ProjectedLSTMCell", "input", input, self.input_size)
        preactivations = self.weight_hh @ h + self.weight_xh @ input + self.bias
        hidden, c = gated(jnp.split(preactivations, 4), c)
        return self.weight_hr @ hidden, c

    def initial_state(self) -> tuple[Array, Array]:
        """Return h = 0, c = 0."""
        dtype = self.weight_hh.dtype
        return jnp.zeros(self.projection_size, dtype), jnp.zeros(self.hidden_size, dtype)

    def map_recurrent(self, fn: Callable[[Array], Array]) -> None:
        """Return None: the recurrent map of a gate is a product, (n, p) by (p, n), not a block."""
        return None
