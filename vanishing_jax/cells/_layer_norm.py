"""The plain cell with layer normalization."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Float

from .._types import Array, Key, PyTree
from ._base import AbstractCell
from ._vanilla import find_activation
from ._weights import (
    Initializer,
    check_sizes,
    check_vector,
    floating_dtype,
    glorot_normal,
    initialize,
    map_blocks,
)

PLACEMENTS = ("joint", "separate")


class LayerNormCell(AbstractCell):
    r"""The plain cell with layer normalization, in one of two placements.

    - `placement="joint"` (Ba et al. 2016, eq. 4): $h' = \phi(\mathrm{LN}(W h + U x))$;
    - `placement="separate"` (their supplement, for LSTM):
      $h' = \phi(\mathrm{LN}(W h) + \mathrm{LN}(U x))$.

    $\mathrm{LN}(a) = g \odot (a - \bar a)/\sqrt{\mathrm{var}(a) + \epsilon} + b$ over the units of
    one step, with gains $g$ starting at 1 and one bias $b$ at 0 (`equinox.nn.LayerNorm`).

    Scaling $W$ and $U$ together (joint), or either (separate), changes nothing: the size of the
    recurrent matrix no longer decides whether gradients vanish or explode. The gains and the share
    of what is normalized that is recurrent do; without input they never vanish, with as much input
    as recurrence and gain 1 they do, by 0.20 a step in mean field (separate placement). The
    separate placement has slope $1/\sqrt{\epsilon}$, 316 for $10^{-5}$, where $W h = 0$, as in the
    first step from $h = 0$; and of an input of one component it keeps nothing but the sign.

    **Arguments:**

    - `input_size`, `hidden_size`: d and n; n at least 2, because one unit is its own mean.
    - `placement`: "joint" (default) or "separate".
    - `activation`: as in `VanillaCell`.
    - `recurrent_initializer`, `input_initializer`: `(key, shape, dtype)` functions as in
      `jax.nn.initializers`, called with shape (fan in, fan out).
    - `epsilon`: added to the variance; 1e-5 by default.
    - `dtype`: floating type of the weights; None takes JAX's default.
    - `key`: random key.

    **Raises:** `ValueError` for an unknown placement or activation or too small a size; when
    called, for a state or input of another shape.

    **Example:**

    >>> import jax, jax.numpy as jnp
    >>> from vanishing_jax.cells import LayerNormCell
    >>> cell = LayerNormCell(3, 5, placement="separate", key=jax.random.key(0))
    >>> cell(cell.initial_state(), jnp.ones(3)).shape
    (5,)

    ??? cite "Reference"
        ```bibtex
        @article{ba2016layer, title={Layer normalization}, author={Ba, Jimmy Lei and Kiros, Jamie
          Ryan and Hinton, Geoffrey E.}, journal={arXiv:1607.06450}, year={2016}}
        ```
    """

    weight_hh: Float[Array, "hidden hidden"]
    weight_xh: Float[Array, "hidden input"]
    norms: tuple[eqx.nn.LayerNorm, ...]  # (joint,) or (recurrent, input): the last one has the bias
    activation: Callable[[Array], Array] = eqx.field(static=True)
    placement: str = eqx.field(static=True)
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        placement: str = "joint",
        activation: str | Callable[[Array], Array] = "tanh",
        recurrent_initializer: Initializer = glorot_normal,
        input_initializer: Initializer = glorot_normal,
        epsilon: float = 1e-5,
        dtype: Any = None,
        key: Key,
    ):
        check_sizes(input_size=input_size, hidden_size=hidden_size)
        if hidden_size < 2:
            raise ValueError(
                f"layer normalization needs hidden_size of at least 2; got {hidden_size}."
            )
        if placement not in PLACEMENTS:
            raise ValueError(f"expected placement 'joint' or 'separate'; got {placement!r}.")
        dtype = floating_dtype(dtype)
        key_hh, key_xh = jr.split(key)
        d, n = input_size, hidden_size
        self.weight_hh = initialize(recurrent_initializer, 1, n, n, dtype=dtype, key=key_hh)
        self.weight_xh = initialize(input_initializer, 1, n, d, dtype=dtype, key=key_xh)
        norm = eqx.nn.LayerNorm(n, eps=epsilon, dtype=dtype)
        recurrent = eqx.nn.LayerNorm(n, eps=epsilon, use_bias=False, dtype=dtype)
        self.norms = (norm,) if placement == "joint" else (recurrent, norm)
        self.activation, self.placement = find_activation(activation), placement
        self.input_size, self.hidden_size = int(d), int(n)

    def __call__(self, state: PyTree, input: PyTree) -> Array:
        """Return the next h."""
        check_vector("LayerNormCell", "state", state, self.hidden_size)
        check_vector("LayerNormCell", "input", input, self.input_size)
        recurrent, driven = self.weight_hh @ state, self.weight_xh @ input
        parts = (recurrent + driven,) if self.placement == "joint" else (recurrent, driven)
        normalized = [norm(part) for norm, part in zip(self.norms, parts, strict=True)]
        return self.activation(sum(normalized[1:], start=normalized[0]))

    def initial_state(self) -> Array:
        """Return h = 0."""
        return jnp.zeros(self.hidden_size, self.weight_hh.dtype)

    @property
    def state_names(self) -> tuple[str, ...]:
        """("h",)."""
        return ("h",)

    @property
    def gate_names(self) -> tuple[str, ...]:
        """(): a plain cell has no gates."""
        return ()

    def map_recurrent(self, fn: Callable[[Array], Array]) -> "LayerNormCell":
        """Return this cell with the recurrent weights `fn(weight_hh)`."""
        return eqx.tree_at(lambda c: c.weight_hh, self, map_blocks(fn, self.weight_hh))
