"""The GRU whose gate does not see the state."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Float

from .. import _stable
from .._types import Array, Key, PyTree
from ._diagonal import AbstractDiagonalCell
from ._gates import input_weights
from ._weights import Initializer, check_vector, glorot_normal


class MinGRUCell(AbstractDiagonalCell):
    r"""The minimal GRU of Feng et al.: the update gate depends on the input only.

    $$z = \sigma(W_z x + b_z), \quad h' = (1 - z) \odot h + z \odot (W_h x + b_h)$$

    z near 1 replaces the state, as in the paper and in Cho et al.; in `GRUCell` z near 1 keeps it.
    The candidate is linear (the paper's basic form; its form in logarithms makes it positive).
    $dh'/dh = \mathrm{diag}(1 - z)$ does not depend on the state: an exponent is the mean of
    $\ln(1 - z)$ over the inputs. $1 - z$ is computed as $\sigma(-\cdot)$, so that an open gate has
    its tiny derivative and not 0. The state is one array $h$ of shape `(hidden_size,)`. The rows of
    `weight_xh` (2n, d) and `bias` (2n,) hold z, then the candidate. Initially the two blocks are
    Glorot normal and the biases 0 except `update_bias` for z.

    **Arguments:**

    - `input_size`, `hidden_size`: d and n.
    - `update_bias`: initial bias of z, 0 by default: half is kept. Below 0 remembers longer:
      $-\ln(T-1)$ for about T steps.
    - `input_initializer`: `(key, shape, dtype)` function as in `jax.nn.initializers`, called once
      per block with (fan in, fan out).
    - `dtype`: floating type of the weights; None takes JAX's default.
    - `key`: random key.

    **Raises:** `ValueError` for a size below 1; when called, for a state or input of another shape.

    **Validity:** spectra take the closed form, $\sum_t \ln(1 - z_t)$, over any range
    (`spectra.decoupled_blocks`). One step below exp(-87) in float32 (-708 in float64) is exactly 0,
    and so is what follows. In float32 $1 - z$ near 1 is rounded: logs are off by up to 2.4e-7
    per step (`tests/cells/test_diagonal.py`).

    **Example:**

    >>> import jax, jax.numpy as jnp
    >>> cell = MinGRUCell(3, 5, key=jax.random.key(0))
    >>> cell(cell.initial_state(), jnp.ones(3)).shape
    (5,)

    ??? cite "Reference"
        ```bibtex
        @article{feng2024were, title={Were {RNN}s all we needed?}, author={Feng, Leo and Tung,
          Frederick and Ahmed, Mohamed Osama and Bengio, Yoshua and Hajimirsadeghi, Hossein},
          journal={arXiv:2410.01201}, year={2024}}
        ```
    """

    weight_xh: Float[Array, "two_hidden input"]
    bias: Float[Array, "two_hidden"]
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    gate_names = ("keep", "update")  # 1 - z, and z

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        update_bias: float = 0.0,
        input_initializer: Initializer = glorot_normal,
        dtype: Any = None,
        key: Key,
    ):
        sizes = input_size, hidden_size
        self.weight_xh, self.bias = input_weights(
            "zh", {"z": update_bias}, sizes, input_initializer, dtype=dtype, key=key
        )
        self.input_size, self.hidden_size = map(int, sizes)

    def affine_step(self, input: PyTree) -> tuple[Array, Array]:
        """Return 1 - z, and z times the candidate."""
        check_vector("MinGRUCell", "input", input, self.input_size)
        update, candidate = jnp.split(self.weight_xh @ input + self.bias, 2)
        return _stable.sigmoid(-update), _stable.sigmoid(update) * candidate

    def initial_state(self) -> Float[Array, "hidden"]:
        """Return h = 0."""
        return jnp.zeros(self.hidden_size, self.bias.dtype)
