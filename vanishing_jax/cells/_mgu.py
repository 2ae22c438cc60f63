"""The minimal gated unit."""

from collections.abc import Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Float

from .. import _stable
from .._types import Array, Key, PyTree
from ._affine import AbstractAffineCell, AffineMap
from ._gates import AbstractHiddenCell, gate_weights
from ._weights import Initializer, check_vector, glorot_normal, orthogonal


class MGUCell(AbstractAffineCell, AbstractHiddenCell):
    r"""The minimal gated unit: one gate that both resets and keeps.

    $$f = \sigma(W_{hf} h + W_{xf} x + b_f), \quad
    n = \tanh(W_{xn} x + b_n + f \odot (W_{hn} h + b_{hn}))$$
    $$h' = (1 - f) \odot n + f \odot h$$

    The form of Flax: as there, $f$ near 1 keeps $h$, and the reset comes after the recurrent
    product (Zhou et al. reset before it and let $f$ near 1 replace $h$). The state is one array $h$
    of shape `(hidden_size,)`. The rows of `weight_hh` (2n, n), `weight_xh` (2n, d) and `bias` (2n,)
    hold f, n in this order; `bias_n` (n,) is $b_{hn}$. Initially the recurrent block of each is
    orthogonal, the input block Glorot normal, and the bias 0 except `forget_bias` for f.

    **Arguments:**

    - `input_size`, `hidden_size`: d and n.
    - `forget_bias`: initial bias of the gate, 1 by default; larger remembers longer.
    - `recurrent_initializer`, `input_initializer`: `(key, shape, dtype)` functions as in
      `jax.nn.initializers`, called once per block with shape (fan in, fan out).
    - `dtype`: floating type of the weights; None takes JAX's default.
    - `key`: random key.

    **Raises:** `ValueError` for a size below 1; when called, for a state or input of another shape.

    **Example:**

    >>> import jax, jax.numpy as jnp
    >>> cell = MGUCell(3, 5, key=jax.random.key(0))
    >>> cell(cell.initial_state(), jnp.ones(3)).shape
    (5,)

    ??? cite "Reference"
        ```bibtex
        @article{zhou2016minimal, title={Minimal gated unit for recurrent neural networks},
          author={Zhou, Guo-Bing and Wu, Jianxin and Zhang, Chen-Lin and Zhou, Zhi-Hua},
          journal={International Journal of Automation and Computing}, volume={13}, number={3},
          pages={226--234}, year={2016}}
        ```
    """

    weight_hh: Float[Array, "two_hidden hidden"]
    weight_xh: Float[Array, "two_hidden input"]
    bias: Float[Array, "two_hidden"]
    bias_n: Float[Array, "hidden"]
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    gate_names: ClassVar[tuple[str, ...]] = ("forget",)

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
            "fn", {"f": forget_bias}, sizes, initializers, dtype=dtype, keys=jr.split(key)
        )
        self.bias_n = jnp.zeros_like(self.bias[:hidden_size])
        self.input_size, self.hidden_size = map(int, sizes)

    def __call__(self, state: PyTree, input: PyTree) -> Array:
        """Return the next h."""
        check_vector("MGUCell", "state", state, self.hidden_size)
        check_vector("MGUCell", "input", input, self.input_size)
        forget_h, new_h = jnp.split(self.weight_hh @ state, 2)
        forget_x, new_x = jnp.split(self.weight_xh @ input + self.bias, 2)
        return self.advance(state, (forget_h + forget_x, new_h + self.bias_n, new_x))

    def affine_maps(self) -> tuple[AffineMap, ...]:
        """Return the maps of f, and of the two parts of n: inside the reset, outside."""
        weights = (self.weight_hh, self.weight_xh, self.bias)
        forget, new = zip(*(jnp.split(w, 2) for w in weights), strict=True)
        inside, outside = AffineMap(new[0], None, self.bias_n), AffineMap(None, new[1], new[2])
        return AffineMap(*forget), inside, outside

    def advance(self, state: PyTree, preactivations: Sequence[Array]) -> Array:
        """Return the next h."""
        forget, new_h, new_x = preactivations
        f = _stable.sigmoid(forget)
        return (1 - f) * _stable.tanh(new_x + f * new_h) + f * state
