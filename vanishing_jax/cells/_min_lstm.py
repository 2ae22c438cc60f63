"""The LSTM whose gates do not see the state."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float

from .. import _stable
from .._types import Array, Key, PyTree
from ._diagonal import AbstractDiagonalCell
from ._gates import input_weights
from ._weights import Initializer, check_vector, glorot_normal


class MinLSTMCell(AbstractDiagonalCell):
    r"""The minimal LSTM of Feng et al.: gates depend on the input only and add up to 1.

    $$f = \sigma(W_f x + b_f), \quad i = \sigma(W_i x + b_i), \quad
    h' = \frac{f}{f + i} \odot h + \frac{i}{f + i} \odot (W_h x + b_h)$$

    This is the paper's variant that does not depend on the length of the sequence, with a linear
    candidate (its form in logarithms makes it positive). There is no output gate and no cell state
    beside h. $dh'/dh = \mathrm{diag}(f/(f+i))$ does not depend on the state. Both shares are
    computed as one sigmoid each, $f/(f+i) = \sigma(\ln f - \ln i)$, right also where f and i
    underflow. The state is one array $h$ of shape `(hidden_size,)`. The rows of `weight_xh` (3n, d)
    and `bias` (3n,) hold f, i and the candidate. Initially the three blocks are Glorot normal and
    the biases 0 except `forget_bias` for f.

    **Arguments:**

    - `input_size`, `hidden_size`: d and n.
    - `forget_bias`: initial bias of f, 0 by default, which keeps half. It cannot keep more than
      $1/(1 + i)$, 2/3 at $b_i = 0$: for long memories lower the bias of i as well.
    - `input_initializer`: `(key, shape, dtype)` function as in `jax.nn.initializers`, called once
      per block with (fan in, fan out).
    - `dtype`: floating type of the weights; None takes JAX's default.
    - `key`: random key.

    **Raises:** `ValueError` for a size below 1; when called, for a state or input of another shape.

    **Validity:** spectra take the closed form, $\sum_t \ln(f_t/(f_t + i_t))$, over any range
    (`spectra.decoupled_blocks`). One step below exp(-87) in float32 (-708 in float64) is exactly 0,
    and so is what follows. In float32 a share near 1 is rounded: logs are off by up to 2.4e-7
    per step (`tests/cells/test_diagonal.py`).

    **Example:**

    >>> import jax, jax.numpy as jnp
    >>> cell = MinLSTMCell(3, 5, key=jax.random.key(0))
    >>> cell(cell.initial_state(), jnp.ones(3)).shape
    (5,)

    ??? cite "Reference"
        ```bibtex
        @article{feng2024were, title={Were {RNN}s all we needed?}, author={Feng, Leo and Tung,
          Frederick and Ahmed, Mohamed Osama and Bengio, Yoshua and Hajimirsadeghi, Hossein},
          journal={arXiv:2410.01201}, year={2024}}
        ```
    """

    weight_xh: Float[Array, "three_hidden input"]
    bias: Float[Array, "three_hidden"]
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    gate_names = ("forget", "input")  # f / (f + i), and i / (f + i)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        forget_bias: float = 0.0,
        input_initializer: Initializer = glorot_normal,
        dtype: Any = None,
        key: Key,
    ):
        sizes = input_size, hidden_size
        self.weight_xh, self.bias = input_weights(
            "fih", {"f": forget_bias}, sizes, input_initializer, dtype=dtype, key=key
        )
        self.input_size, self.hidden_size = map(int, sizes)

    def affine_step(self, input: PyTree) -> tuple[Array, Array]:
        """Return f / (f + i), and i / (f + i) times the candidate."""
        check_vector("MinLSTMCell", "input", input, self.input_size)
        forget, write, candidate = jnp.split(self.weight_xh @ input + self.bias, 3)
        # ln f - ln i, since ln sigmoid(x) = -softplus(-x).
        difference = jax.nn.softplus(-write) - jax.nn.softplus(-forget)
        return _stable.sigmoid(difference), _stable.sigmoid(-difference) * candidate

    def initial_state(self) -> Float[Array, "hidden"]:
        """Return h = 0."""
        return jnp.zeros(self.hidden_size, self.bias.dtype)
