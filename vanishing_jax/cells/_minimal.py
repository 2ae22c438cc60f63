"""The minimal GRU and LSTM of Feng et al.: their gates do not see the state."""

from typing import Any, ClassVar

import equinox as eqx
import jax
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

    gate_names: ClassVar[tuple[str, ...]] = ("keep", "update")  # 1 - z, and z

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

    Feng et al. (2024): see `MinGRUCell`.
    """

    weight_xh: Float[Array, "three_hidden input"]
    bias: Float[Array, "three_hidden"]
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    gate_names: ClassVar[tuple[str, ...]] = ("forget", "input")  # f / (f + i), and i / (f + i)

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
