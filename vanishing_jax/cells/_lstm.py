"""The long short-term memory cell."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Float

from .. import _stable
from .._types import Array, ArrayLike, Key, PyTree
from ._affine import AbstractAffineCell, AffineMap
from ._gates import AbstractLSTMCell, gate_weights
from ._weights import Initializer, check_pair, check_vector, glorot_normal, orthogonal


class LSTMCell(AbstractAffineCell, AbstractLSTMCell):
    r"""The long short-term memory with forget gate, without peepholes.

    $$i, f, o = \sigma(W_{h\cdot} h + W_{x\cdot} x + b_\cdot), \quad
    g = \tanh(W_{hg} h + W_{xg} x + b_g)$$
    $$c' = f \odot c + i \odot g, \quad h' = o \odot \tanh(c')$$

    The state is the pair $(h, c)$ of arrays of shape `(hidden_size,)`. The rows of `weight_hh`
    (4n, n), `weight_xh` (4n, d) and `bias` (4n,) hold the gates in the order i, f, g, o (as PyTorch
    and Equinox). Initially the recurrent block of each gate is orthogonal, the input block of each
    is Glorot normal, and the bias is 0 except `forget_bias` for f. The derivatives of tanh and
    sigmoid are accurate in saturation, where those of `jnp.tanh` round to 0.

    **Arguments:**

    - `input_size`, `hidden_size`: d and n.
    - `forget_bias`: initial bias of the forget gate, 1 by default (Jozefowicz et al. 2015).
    - `recurrent_initializer`, `input_initializer`: `(key, shape, dtype)` functions as in
      `jax.nn.initializers`, called once per gate with shape (fan in, fan out).
    - `dtype`: floating type of the weights; None takes JAX's default.
    - `key`: random key.

    **Raises:** `ValueError` for a size below 1; when called, for a state or input of another shape.

    **Example:**

    >>> import jax, jax.numpy as jnp
    >>> cell = LSTMCell(3, 5, key=jax.random.key(0))
    >>> h, c = cell(cell.initial_state(), jnp.ones(3))
    >>> h.shape, c.shape
    ((5,), (5,))

    ??? cite "Reference"
        ```bibtex
        @article{hochreiter1997long, title={Long short-term memory}, author={Hochreiter, Sepp and
          Schmidhuber, J{\"u}rgen}, journal={Neural Computation}, volume={9}, number={8},
          pages={1735--1780}, year={1997}}
        @article{gers2000learning, title={Learning to forget: continual prediction with {LSTM}},
          author={Gers, Felix A. and Schmidhuber, J{\"u}rgen and Cummins, Fred},
          journal={Neural Computation}, volume={12}, number={10}, pages={2451--2471}, year={2000}}
        @inproceedings{jozefowicz2015empirical, title={An empirical exploration of recurrent network
          architectures}, author={Jozefowicz, Rafal and Zaremba, Wojciech and Sutskever, Ilya},
          booktitle={ICML}, year={2015}}
        ```
    """

    weight_hh: Float[Array, "four_hidden hidden"]
    weight_xh: Float[Array, "four_hidden input"]
    bias: Float[Array, "four_hidden"]
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        forget_bias: float = 1.0,
        recurrent_initializer: Initializer = orthogonal,
        input_initializer: Initializer = glorot_normal,
        dtype: Any = None,
        key: Key,
    ):
        sizes, initializers = (input_size, hidden_size), (recurrent_initializer, input_initializer)
        self.weight_hh, self.weight_xh, self.bias = gate_weights(
            "ifgo", {"f": forget_bias}, sizes, initializers, dtype=dtype, keys=jr.split(key)
        )
        self.input_size, self.hidden_size = map(int, sizes)

    def __call__(self, state: PyTree, input: PyTree) -> tuple[Array, Array]:
        """Return the next (h, c)."""
        check_pair("LSTMCell", state, self.hidden_size)
        check_vector("LSTMCell", "input", input, self.input_size)
        h, _ = state
        preactivations = self.weight_hh @ h + self.weight_xh @ input + self.bias
        return self.advance(state, jnp.split(preactivations, 4))

    def affine_maps(self) -> tuple[AffineMap, ...]:
        """Return the maps of i, f, g and o."""
        weights = (self.weight_hh, self.weight_xh, self.bias)
        return tuple(AffineMap(*m) for m in zip(*(jnp.split(w, 4) for w in weights), strict=True))

    def advance(self, state: PyTree, preactivations: Sequence[Array]) -> tuple[Array, Array]:
        """Return the next (h, c)."""
        _, c = state
        return gated(preactivations, c)


def gated(
    preactivations: Sequence[Float[Array, "*batch hidden"]],
    c: Float[ArrayLike, "*batch hidden"],
    read: Callable[[Array], Array] = lambda c: c,
) -> tuple[Array, Array]:
    """Return the next (h, c); `read(c)` is what the output sees of c before the tanh."""
    i, f, g, o = preactivations
    # The order of these calls is the order of gate_names.
    i, f = _stable.sigmoid(i), _stable.sigmoid(f)
    g, o = _stable.tanh(g), _stable.sigmoid(o)
    c = f * c + i * g
    return o * _stable.tanh(read(c)), c
