"""The gated recurrent unit."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Float

from .. import _stable
from .._types import Array, ArrayLike, Key, PyTree
from ._affine import AbstractAffineCell, AffineMap
from ._gates import AbstractHiddenCell, gate_weights
from ._weights import Initializer, check_clip, check_vector, clipped, glorot_normal, orthogonal


class GRUCell(AbstractAffineCell, AbstractHiddenCell):
    r"""The gated recurrent unit, in the form that resets after the recurrent product.

    $$r, z = \sigma(W_{h\cdot} h + W_{x\cdot} x + b_\cdot), \quad
    n = \tanh(W_{xn} x + b_n + r \odot (W_{hn} h + b_{hn}))$$
    $$h' = (1 - z) \odot n + z \odot h$$

    The state is one array $h$ of shape `(hidden_size,)`; $z$ near 1 keeps it. The rows of
    `weight_hh` (3n, n), `weight_xh` (3n, d) and `bias` (3n,) hold r, z, n in this order; `bias_n`
    (n,) is $b_{hn}$ inside the reset. This is the form of PyTorch, Equinox, Flax and cuDNN; that of
    Haiku and of Cho et al., who reset $h$ before the product, is `ResetBeforeGRUCell`. Initially
    the recurrent block of each gate is orthogonal, the input block of each is Glorot normal, and
    the biases are 0 except `update_bias` for z. The derivatives of tanh and sigmoid are accurate in
    saturation, where those of `jnp.tanh` round to 0.

    **Arguments:**

    - `input_size`, `hidden_size`: d and n.
    - `update_bias`: initial bias of the update gate, 0 by default; larger remembers longer.
    - `clip`: bound on the magnitude of every pre-activation, or None for none (default).
    - `recurrent_initializer`, `input_initializer`: `(key, shape, dtype)` functions as in
      `jax.nn.initializers`, called once per gate with shape (fan in, fan out).
    - `dtype`: floating type of the weights; None takes JAX's default.
    - `key`: random key.

    **Raises:** `ValueError` for a size below 1 or a bound that is not positive; when called, for a
    state or input of another shape.

    **Example:**

    >>> import jax, jax.numpy as jnp
    >>> cell = GRUCell(3, 5, key=jax.random.key(0))
    >>> cell(cell.initial_state(), jnp.ones(3)).shape
    (5,)

    ??? cite "Reference"
        ```bibtex
        @inproceedings{cho2014learning, title={Learning phrase representations using {RNN}
          encoder-decoder for statistical machine translation}, author={Cho, Kyunghyun and others},
          booktitle={EMNLP}, year={2014}}
        ```
    """

    weight_hh: Float[Array, "three_hidden hidden"]
    weight_xh: Float[Array, "three_hidden input"]
    bias: Float[Array, "three_hidden"]
    bias_n: Float[Array, "hidden"]
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    clip: float | None = eqx.field(static=True)

    gate_names: ClassVar[tuple[str, ...]] = ("reset", "update")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        update_bias: float = 0.0,
        clip: float | None = None,
        recurrent_initializer: Initializer = orthogonal,
        input_initializer: Initializer = glorot_normal,
        dtype: Any = None,
        key: Key,
    ):
        sizes, initializers = (input_size, hidden_size), (recurrent_initializer, input_initializer)
        self.weight_hh, self.weight_xh, self.bias = gate_weights(
            "rzn", {"z": update_bias}, sizes, initializers, dtype=dtype, keys=jr.split(key)
        )
        self.bias_n = jnp.zeros_like(self.bias[:hidden_size])
        self.input_size, self.hidden_size = map(int, sizes)
        self.clip = check_clip(clip)

    def __call__(self, state: PyTree, input: PyTree) -> Array:
        """Return the next h."""
        check_vector("GRUCell", "state", state, self.hidden_size)
        check_vector("GRUCell", "input", input, self.input_size)
        reset_h, update_h, new_h = jnp.split(self.weight_hh @ state, 3)
        reset_x, update_x, new_x = jnp.split(self.weight_xh @ input + self.bias, 3)
        return self.advance(
            state, (reset_h + reset_x, update_h + update_x, new_h + self.bias_n, new_x)
        )

    def affine_maps(self) -> tuple[AffineMap, ...]:
        """Return the maps of r, of z, and of the two parts of n: inside the reset, outside."""
        weights = (self.weight_hh, self.weight_xh, self.bias)
        reset, update, new = zip(*(jnp.split(w, 3) for w in weights), strict=True)
        inside, outside = AffineMap(new[0], None, self.bias_n), AffineMap(None, new[1], new[2])
        return AffineMap(*reset), AffineMap(*update), inside, outside

    def advance(self, state: PyTree, preactivations: Sequence[Array]) -> Array:
        """Return the next h."""
        reset, update, new_h, new_x = preactivations
        return gated(reset, update, lambda r: new_x + r * new_h, state, clip=self.clip)


def gated(
    reset: Float[Array, "*batch hidden"],
    update: Float[Array, "*batch hidden"],
    new: Callable[[Array], Array],
    h: Float[ArrayLike, "*batch hidden"],
    *,
    clip: float | None,
) -> Float[Array, "*batch hidden"]:
    """Return the next h; arguments are pre-activations, that of the new content given the reset."""
    # The order of these calls is the order of gate_names.
    r, z = _stable.sigmoid(clipped(reset, clip)), _stable.sigmoid(clipped(update, clip))
    n = _stable.tanh(clipped(new(r), clip))
    return (1 - z) * n + z * h
