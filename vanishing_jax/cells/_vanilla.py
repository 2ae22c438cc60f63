"""The plain (Elman) recurrent cell, with tanh, ReLU, sigmoid, no or any own nonlinearity."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Float

from .. import _stable
from .._types import Array, Key, PyTree
from ._affine import AbstractAffineCell, AffineMap
from ._gates import AbstractHiddenCell
from ._weights import (
    Initializer,
    check_sizes,
    check_vector,
    floating_dtype,
    glorot_normal,
    initialize,
    zeros,
)


def _identity(x: Array) -> Array:
    return x


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": _stable.tanh,
    "sigmoid": _stable.sigmoid,
    "relu": jax.nn.relu,
    "identity": _identity,
}


def identity_initializer(scale: float = 1.0) -> Initializer:
    r"""Return an initializer of square matrices: `scale` times the identity.

    With `VanillaCell(..., activation="relu")` it makes the IRNN, whose state starts out being
    carried on unchanged.

    **Arguments:**

    - `scale`: the diagonal's value; 1 by default.

    **Returns:** a function of `(key, shape, dtype)` as in `jax.nn.initializers`; the key is unused.

    **Raises:** `ValueError` when it is called for a shape that is not square.

    **Example:**

    >>> import jax
    >>> cell = VanillaCell(1, 2, activation="relu", recurrent_initializer=identity_initializer(),
    ...                    key=jax.random.key(0))
    >>> cell.weight_hh.tolist()
    [[1.0, 0.0], [0.0, 1.0]]

    ??? cite "Reference"
        ```bibtex
        @article{le2015simple, title={A simple way to initialize recurrent networks of rectified
          linear units}, author={Le, Quoc V. and Jaitly, Navdeep and Hinton, Geoffrey E.},
          journal={arXiv:1504.00941}, year={2015}}
        ```
    """

    def initializer(key: Key, shape: tuple[int, ...], dtype: Any = None) -> Array:
        if len(shape) != 2 or shape[0] != shape[1]:
            raise ValueError(f"identity_initializer needs a square shape; got {tuple(shape)}.")
        return scale * jnp.eye(shape[0], dtype=floating_dtype(dtype))

    return initializer


class VanillaCell(AbstractAffineCell, AbstractHiddenCell):
    r"""The plain recurrent cell $h' = \phi(W_{hh} h + W_{xh} x + b)$.

    The state is one array $h$ of shape `(hidden_size,)`. Initially $W_{hh}$ and $W_{xh}$ are Glorot
    normal (variance $2/(\text{fan in} + \text{fan out})$, so $1/n$ for $W_{hh}$: gain 1) and $b$ is
    0. The derivatives of tanh and sigmoid are accurate in saturation, where those of `jnp.tanh`
    round to 0.

    **Arguments:**

    - `input_size`, `hidden_size`: d and n.
    - `activation`: "tanh" (default), "sigmoid", "relu" (derivative 0 at 0), "identity", or an
      elementwise function of arrays (pass the same function object to avoid recompilation).
    - `recurrent_initializer`, `input_initializer`: `(key, shape, dtype)` functions as in
      `jax.nn.initializers`, called with shape (fan in, fan out).
    - `bias_initializer`: the same, or None for a cell without bias.
    - `dtype`: floating type of the weights; None takes JAX's default.
    - `key`: random key.

    **Raises:** `ValueError` for an unknown activation or a size below 1; when called, for a state
    or input of another shape.

    **Example:**

    >>> import jax, jax.numpy as jnp
    >>> cell = VanillaCell(3, 5, key=jax.random.key(0))
    >>> cell(cell.initial_state(), jnp.ones(3)).shape
    (5,)

    ??? cite "Reference"
        ```bibtex
        @article{elman1990finding, title={Finding structure in time}, author={Elman, Jeffrey L.},
          journal={Cognitive Science}, volume={14}, number={2}, pages={179--211}, year={1990}}
        ```
    """

    weight_hh: Float[Array, "hidden hidden"]
    weight_xh: Float[Array, "hidden input"]
    bias: Float[Array, "hidden"] | None
    activation: Callable[[Array], Array] = eqx.field(static=True)
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    gate_names: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        activation: str | Callable[[Array], Array] = "tanh",
        recurrent_initializer: Initializer = glorot_normal,
        input_initializer: Initializer = glorot_normal,
        bias_initializer: Initializer | None = zeros,
        dtype: Any = None,
        key: Key,
    ):
        check_sizes(input_size=input_size, hidden_size=hidden_size)
        dtype = floating_dtype(dtype)
        key_hh, key_xh, key_bias = jr.split(key, 3)
        d, n = input_size, hidden_size
        self.weight_hh = initialize(recurrent_initializer, 1, n, n, dtype=dtype, key=key_hh)
        self.weight_xh = initialize(input_initializer, 1, n, d, dtype=dtype, key=key_xh)
        self.bias = None if bias_initializer is None else bias_initializer(key_bias, (n,), dtype)
        self.activation = find_activation(activation)
        self.input_size, self.hidden_size = int(d), int(n)

    def __call__(self, state: PyTree, input: PyTree) -> Array:
        """Return the next h."""
        check_vector("VanillaCell", "state", state, self.hidden_size)
        check_vector("VanillaCell", "input", input, self.input_size)
        preactivation = self.weight_hh @ state + self.weight_xh @ input
        if self.bias is not None:
            preactivation = preactivation + self.bias
        return self.advance(state, (preactivation,))

    def affine_maps(self) -> tuple[AffineMap, ...]:
        """Return the one map."""
        return (AffineMap(self.weight_hh, self.weight_xh, self.bias),)

    def advance(self, state: PyTree, preactivations: Sequence[Array]) -> Array:
        """Return the next h."""
        (preactivation,) = preactivations
        return self.activation(preactivation)


def find_activation(activation: str | Callable[[Array], Array]) -> Callable[[Array], Array]:
    """Return the elementwise function that `activation` names, or is."""
    if callable(activation):
        return activation
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"activation must be a function or one of {', '.join(map(repr, ACTIVATIONS))}; "
            f"got {activation!r}."
        )
    return ACTIVATIONS[activation]
