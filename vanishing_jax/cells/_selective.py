"""The selective state space recurrence of Mamba."""

import math
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Float

from .._types import Array, Key, PyTree
from ._diagonal import AbstractDiagonalCell, check_range
from ._weights import (
    Initializer,
    check_sizes,
    check_vector,
    floating_dtype,
    glorot_normal,
    initialize,
)


class SelectiveCell(AbstractDiagonalCell):
    r"""The selective state space recurrence of Mamba (S6): the input says how far time moves on.

    $$\Delta = \mathrm{softplus}(W_\Delta x + b_\Delta), \quad B = W_B x, \quad
    h'_{ci} = e^{\Delta_c a_{ci}} h_{ci} + \Delta_c B_i x_c, \quad a = -e^{\alpha}$$

    Each input component c has n real modes and its own $\Delta_c > 0$: near 0 the step is skipped
    and the state kept, large forgets and writes. $\ln(dh'/dh) = \Delta_c a_{ci}$, so an exponent of
    the recurrence is the mean of $\Delta_c$ over the inputs times $a_{ci}$. This is the published
    discretization, exact for a and Euler's for B; $W_\Delta$ is a whole (d, d) matrix and not a
    product of two thinner ones. Its output $y_c = \sum_i C_i(x) h_{ci}$ with $C = W_C x$ belongs to
    the layer around it, with the convolution, the gate and the projections: they are not here. The
    state is one real array of shape `(d n,)`, the modes of one channel beside each other.

    Fields: `weight_step` (d, d) and `bias_step` (d,) for $\Delta$, `weight_xh` (n, d) is $W_B$,
    `log_decay` (d, n) is $\alpha$. Initially $a_{ci} = -(i + 1)$, i = 0..n-1 (S4D-Real),
    $b_\Delta$ such that $\Delta$ at zero input is log-uniform between `step_min` and `step_max`,
    and the matrices are Glorot normal.

    **Arguments:**

    - `input_size`, `hidden_size`: d channels, and n modes of each.
    - `step_min`, `step_max`: range of $\Delta$ at zero input, by default 0.001 to 0.1: memories of
      10 to 1000 steps in the slowest mode.
    - `input_initializer`: `(key, shape, dtype)` function as in `jax.nn.initializers`, for both
      matrices, called with (fan in, fan out).
    - `dtype`: floating type of the weights; None takes JAX's default.
    - `key`: random key.

    **Raises:** `ValueError` for a size below 1 or a range that is none; when called, for a state or
    input of another shape.

    **Validity:** spectra take the closed form, $\sum_t \Delta_{c,t} a_{ci}$, over any range
    (`spectra.decoupled_blocks`). One step below exp(-87) in float32 (-708 in float64) is exactly 0,
    and so is what follows. In float32 $e^{\Delta a}$ near 1 is rounded: logs are off by up to
    2.4e-7 per step (`tests/cells/test_diagonal.py`).

    **Example:**

    >>> import jax, jax.numpy as jnp
    >>> cell = SelectiveCell(2, 4, key=jax.random.key(0))
    >>> cell(cell.initial_state(), jnp.ones(2)).shape
    (8,)

    ??? cite "Reference"
        ```bibtex
        @article{gu2023mamba, title={Mamba: linear-time sequence modeling with selective state
          spaces}, author={Gu, Albert and Dao, Tri}, journal={arXiv:2312.00752}, year={2023}}
        ```
    """

    weight_step: Float[Array, "input input"]
    bias_step: Float[Array, "input"]
    weight_xh: Float[Array, "modes input"]
    log_decay: Float[Array, "input modes"]
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    gate_names: ClassVar[tuple[str, ...]] = ()  # what opens and closes is no sigmoid

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        step_min: float = 0.001,
        step_max: float = 0.1,
        input_initializer: Initializer = glorot_normal,
        dtype: Any = None,
        key: Key,
    ):
        check_sizes(input_size=input_size, hidden_size=hidden_size)
        check_range("step", step_min, step_max)
        dtype = floating_dtype(dtype)
        key_step, key_bias, key_input = jr.split(key, 3)
        d, n = input_size, hidden_size
        self.weight_step = initialize(input_initializer, 1, d, d, dtype=dtype, key=key_step)
        step = jnp.exp(jr.uniform(key_bias, (d,), dtype, math.log(step_min), math.log(step_max)))
        self.bias_step = step + jnp.log(-jnp.expm1(-step))  # the inverse of softplus
        self.weight_xh = initialize(input_initializer, 1, n, d, dtype=dtype, key=key_input)
        self.log_decay = jnp.stack([jnp.log(jnp.arange(1, n + 1, dtype=dtype))] * d)
        self.input_size, self.hidden_size = int(d), int(n)

    def affine_step(self, input: PyTree) -> tuple[Array, Array]:
        """Return exp(Delta a), and Delta B x."""
        check_vector("SelectiveCell", "input", input, self.input_size)
        input = jnp.asarray(input)
        step = jax.nn.softplus(self.weight_step @ input + self.bias_step)
        a = jnp.exp(-step[:, None] * jnp.exp(self.log_decay))
        b = (step * input)[:, None] * (self.weight_xh @ input)[None]
        return a.reshape(-1), b.reshape(-1)

    def initial_state(self) -> Float[Array, "hidden"]:
        """Return h = 0."""
        return jnp.zeros(self.log_decay.size, self.log_decay.dtype)
