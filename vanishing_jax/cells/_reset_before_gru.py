"""The gated recurrent unit that resets h before the recurrent product."""

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Float

from .._types import Array, Key, PyTree
from ._gates import AbstractHiddenCell, gate_weights
from ._gru import gated
from ._weights import Initializer, check_clip, check_vector, glorot_normal, orthogonal


class ResetBeforeGRUCell(AbstractHiddenCell):
    r"""The gated recurrent unit, in the form that resets $h$ before the recurrent product.

    $$r, z = \sigma(W_{h\cdot} h + W_{x\cdot} x + b_\cdot), \quad
    n = \tanh(W_{xn} x + b_n + W_{hn} (r \odot h))$$
    $$h' = (1 - z) \odot n + z \odot h$$

    This is the form of Haiku, of Keras with `reset_after=False`, of ONNX with
    `linear_before_reset=0` and, but for the meaning of $z$, of Cho et al.; it is another function
    than `GRUCell`, and no choice of weights turns the one into the other. The state is one array
    $h$ of shape `(hidden_size,)`; $z$ near 1 keeps it. The rows of `weight_hh` (3n, n), `weight_xh`
    (3n, d) and `bias` (3n,) hold r, z, n in this order. Weights start as in `GRUCell`. Since
    $n$ needs $r$ before its product, training runs the general scan, not the faster one of
    `GRUCell`.

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
    >>> cell = ResetBeforeGRUCell(3, 5, key=jax.random.key(0))
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
        self.input_size, self.hidden_size = map(int, sizes)
        self.clip = check_clip(clip)

    def __call__(self, state: PyTree, input: PyTree) -> Array:
        """Return the next h."""
        check_vector("ResetBeforeGRUCell", "state", state, self.hidden_size)
        check_vector("ResetBeforeGRUCell", "input", input, self.input_size)
        n = self.hidden_size
        given_r, given_z, given_n = jnp.split(self.weight_xh @ input + self.bias, 3)
        hidden_r, hidden_z = jnp.split(self.weight_hh[: 2 * n] @ state, 2)
        weight_n = self.weight_hh[2 * n :]
        return gated(
            hidden_r + given_r,
            hidden_z + given_z,
            lambda r: weight_n @ (r * state) + given_n,
            state,
            clip=self.clip,
        )
