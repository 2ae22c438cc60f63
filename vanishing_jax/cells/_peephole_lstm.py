"""The LSTM with peepholes, coupled gates and clipped pre-activations."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Float

from .. import _stable
from .._types import Array, ArrayLike, Key, PyTree
from ._gates import AbstractLSTMCell, gate_weights
from ._weights import (
    Initializer,
    check_clip,
    check_pair,
    check_vector,
    clipped,
    glorot_normal,
    orthogonal,
)


class PeepholeLSTMCell(AbstractLSTMCell):
    r"""The LSTM whose gates see the cell state, optionally with coupled gates and with a clip.

    $$i, f = \sigma(W_{h\cdot} h + W_{x\cdot} x + b_\cdot + p_\cdot \odot c), \quad
    g = \tanh(W_{hg} h + W_{xg} x + b_g)$$
    $$c' = f \odot c + i \odot g, \quad o = \sigma(W_{ho} h + W_{xo} x + b_o + p_o \odot c'),
    \quad h' = o \odot \tanh(c')$$

    The output gate sees the new $c'$, the others the old $c$ (Gers, Schraudolph and Schmidhuber).
    With `coupled=True` the forget gate is $f = 1 - i$ and has no weights of its own. A `clip`
    bounds every pre-activation of i, f, g, o to [-clip, clip], peephole included, and not the $c'$
    that is read: beyond the bound the derivative is 0. This is the LSTM operator of ONNX. The rows
    of `weight_hh` (4n, n), `weight_xh` (4n, d) and `bias` (4n,) hold i, f, g, o in this order, and
    `peepholes` (3n,) holds i, f, o; without f if `coupled`. The state is $(h, c)$. Weights start
    as in `LSTMCell`, peepholes at 0: then it is an `LSTMCell`. Since the gates see $c$, training
    runs the general scan, not the faster one of `LSTMCell`.

    **Arguments:**

    - `input_size`, `hidden_size`: d and n.
    - `forget_bias`: initial bias of the forget gate, 1 by default; with `coupled` its negative is
      that of the input gate.
    - `peepholes`: whether there are any; True by default.
    - `coupled`: whether the forget gate is 1 - i; False by default.
    - `clip`: bound on the magnitude of every pre-activation, or None for none (default).
    - `recurrent_initializer`, `input_initializer`: `(key, shape, dtype)` functions as in
      `jax.nn.initializers`, called once per gate with shape (fan in, fan out).
    - `dtype`: floating type of the weights; None takes JAX's default.
    - `key`: random key.

    **Raises:** `ValueError` for a size below 1 or a bound that is not positive; when called, for a
    state or input of another shape.

    **Example:**

    >>> import jax, jax.numpy as jnp
    >>> cell = PeepholeLSTMCell(3, 5, coupled=True, key=jax.random.key(0))
    >>> h, c = cell(cell.initial_state(), jnp.ones(3))
    >>> h.shape, c.shape
    ((5,), (5,))

    ??? cite "Reference"
        ```bibtex
        @article{gers2002learning, title={Learning precise timing with {LSTM} recurrent networks},
          author={Gers, Felix A. and Schraudolph, Nicol N. and Schmidhuber, J{\"u}rgen},
          journal={Journal of Machine Learning Research}, volume={3}, pages={115--143}, year={2002}}
        @article{greff2017lstm, title={{LSTM}: a search space odyssey}, author={Greff, Klaus and
          Srivastava, Rupesh K. and Koutn{\'i}k, Jan and Steunebrink, Bas R. and Schmidhuber,
          J{\"u}rgen}, journal={IEEE Transactions on Neural Networks and Learning Systems},
          volume={28}, number={10}, pages={2222--2232}, year={2017}}
        ```
    """

    weight_hh: Float[Array, "gates_times_hidden hidden"]
    weight_xh: Float[Array, "gates_times_hidden input"]
    bias: Float[Array, "gates_times_hidden"]
    peepholes: Float[Array, "peepholes_times_hidden"] | None
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    coupled: bool = eqx.field(static=True)
    clip: float | None = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        forget_bias: float = 1.0,
        peepholes: bool = True,
        coupled: bool = False,
        clip: float | None = None,
        recurrent_initializer: Initializer = orthogonal,
        input_initializer: Initializer = glorot_normal,
        dtype: Any = None,
        key: Key,
    ):
        rows, biases = ("igo", {"i": -forget_bias}) if coupled else ("ifgo", {"f": forget_bias})
        sizes, initializers = (input_size, hidden_size), (recurrent_initializer, input_initializer)
        self.weight_hh, self.weight_xh, self.bias = gate_weights(
            rows, biases, sizes, initializers, dtype=dtype, keys=jr.split(key)
        )
        self.input_size, self.hidden_size = map(int, sizes)
        holes = self.bias[hidden_size:]  # all rows but those of g
        self.peepholes = jnp.zeros_like(holes) if peepholes else None
        self.coupled, self.clip = bool(coupled), check_clip(clip)

    def __call__(self, state: PyTree, input: PyTree) -> tuple[Array, Array]:
        """Return the next (h, c)."""
        check_pair("PeepholeLSTMCell", state, self.hidden_size)
        check_vector("PeepholeLSTMCell", "input", input, self.input_size)
        h, c = state
        rows = "igo" if self.coupled else "ifgo"
        preactivations = self.weight_hh @ h + self.weight_xh @ input + self.bias
        a = dict(zip(rows, jnp.split(preactivations, len(rows)), strict=True))
        holes = [gate for gate in rows if gate != "g"]
        p = {}
        if self.peepholes is not None:
            p = dict(zip(holes, jnp.split(self.peepholes, len(holes)), strict=True))

        def seen(gate: str, c: ArrayLike) -> Array:
            return clipped(a[gate] + p[gate] * c if gate in p else a[gate], self.clip)

        # The order of these calls is the order of gate_names.
        i = _stable.sigmoid(seen("i", c))
        # 1 - i would have lost the digits of a forget gate near 0.
        f = _stable.sigmoid(-seen("i", c) if self.coupled else seen("f", c))
        c = f * c + i * _stable.tanh(clipped(a["g"], self.clip))
        o = _stable.sigmoid(seen("o", c))
        return o * _stable.tanh(c), c
