"""Cells made of Keras 3 layers on the JAX backend. Keras itself is never imported here."""

import sys
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .._tree import describe, same_structure
from .._types import Array, PyTree
from ._foreign import AbstractForeignCell, Known, is_instance_of
from ._weights import check_parts, check_vector, map_blocks

# Keras's order is i f c o and z r h; here the gates alone, as they are evaluated.
_KNOWN = {
    "LSTMCell": Known(("h", "c"), ("input", "forget", "output")),
    "GRUCell": Known(("h",), ("update", "reset")),
    "SimpleRNNCell": Known(("h",), ()),
}


def is_keras(obj: Any) -> bool:
    """Return whether `obj` is a layer or model of Keras 3."""
    return is_instance_of(obj, "keras.src.layers.layer", "Layer")


class KerasCell(AbstractForeignCell):
    """A cell made of a Keras 3 cell, `layer(input, states) -> (output, states)`, on JAX.

    Keras computes with the backend that the environment variable `KERAS_BACKEND` names when it is
    first imported; it must be `jax`. Keras calls are batched; the cell adds and removes an axis of
    one. A step is taken as in inference, `training=False`: dropout is off. The state is the list
    that Keras carries: [h, c] for `LSTMCell`, [h] for `GRUCell` and `SimpleRNNCell`, which are
    known: their shapes are checked, their state and gates named, their recurrent blocks mapped.
    `StackedRNNCells` and other layers with `state_size` work too; of a recurrent layer, such as
    `keras.layers.LSTM`, pass `layer.cell`.

    **Arguments:**

    - `layer`: the cell, built (a snapshot of its variables is taken).

    The parameters are the trainable variables in Keras's order.

    **Raises:** `TypeError` for anything but a Keras layer with a state. `ValueError` for another
    backend, or a layer that is not built yet; when called, for a state in another dtype than the
    layer computes in, or if the layer does not return `(output, states)` with states as given.

    **Validity:** float32: Keras 3.15 evaluates tanh in float32 even in a layer of dtype float64.

    **Example:**

    >>> import os; os.environ["KERAS_BACKEND"] = "jax"  # doctest: +SKIP
    >>> import keras, jax.numpy as jnp  # doctest: +SKIP
    >>> layer = keras.layers.GRUCell(2, recurrent_initializer="zeros")  # doctest: +SKIP
    >>> layer.build((None, 3))  # doctest: +SKIP
    >>> cell = KerasCell(layer)  # doctest: +SKIP
    >>> cell(cell.initial_state(), jnp.ones(3, "float32"))[0].shape  # doctest: +SKIP
    (2,)
    """

    trainable: list[Array]
    frozen: list[Array]  # non-trainable variables, such as the seeds of dropout
    layer: Any = eqx.field(static=True)
    known: Known | None = eqx.field(static=True)

    def __init__(self, layer: Any):
        if not is_keras(layer) or not hasattr(layer, "state_size"):
            inside = " Pass layer.cell." if hasattr(layer, "cell") else ""
            raise TypeError(
                "expected KerasCell(layer) with a Keras 3 cell such as keras.layers.LSTMCell; got "
                f"{type(layer).__name__}.{inside}"
            )
        if is_instance_of(layer, "keras.src.layers.rnn.rnn", "RNN"):
            raise TypeError(
                f"expected a Keras cell, one step; got the layer {type(layer).__name__}, which "
                "runs over a whole sequence. Write KerasCell(layer.cell)."
            )
        backend = sys.modules["keras"].config.backend()
        if backend != "jax":
            raise ValueError(
                f"expected Keras on JAX; it runs on {backend!r}. Set the environment variable "
                "KERAS_BACKEND=jax before the first `import keras`, then load the model again."
            )
        if not layer.built or not layer.variables:
            raise ValueError(
                f"the {type(layer).__name__} has no weights yet. Build it, "
                "layer.build((None, input_size)), or call its model once."
            )
        self.layer = layer
        self.trainable = [jnp.asarray(v.value) for v in layer.trainable_variables]
        self.frozen = [jnp.asarray(v.value) for v in layer.non_trainable_variables]
        own = type(layer).__module__.startswith("keras.src.layers.rnn.")
        self.known = _KNOWN.get(type(layer).__name__) if own else None

    def __call__(self, state: PyTree, input: PyTree) -> PyTree:
        """Return the new states."""
        if self.known is not None:
            self._check_shapes(state, input)
        dtype = self.layer.compute_dtype
        floating = [a for a in jax.tree.leaves(state) if eqx.is_inexact_array(a)]
        if any(a.dtype != dtype for a in floating):
            raise ValueError(
                f"KerasCell expected a state in {dtype}, in which the layer computes; got "
                f"{describe(state)}."
            )
        one, states = jax.tree.map(lambda a: jnp.asarray(a)[None], (self._cast(input), state))
        # Keras relies on both promotions.
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            out, _ = self.layer.stateless_call(
                self.trainable, self.frozen, one, states, training=False
            )
        new = jax.tree.map(lambda a: a[0], out[1]) if _is_pair(out) else None
        if not same_structure(new, state):
            raise ValueError(
                f"KerasCell expected {type(self.layer).__name__}(input, states) -> (output, "
                f"states) with states as given, {describe(state)}; got {describe(out)}. In "
                "Keras a state is a list of arrays."
            )
        return new

    def _cast(self, input: PyTree) -> PyTree:
        """Return the floating leaves in the layer's dtype, as Keras casts what it is given."""
        dtype = self.layer.compute_dtype
        return jax.tree.map(
            lambda a: jnp.asarray(a, dtype) if eqx.is_inexact_array(a) else a, input
        )

    def initial_state(self) -> PyTree:
        """Return what the layer's `get_initial_state` says, zeros in Keras's own cells."""
        state = self.layer.get_initial_state(batch_size=1)
        return jax.tree.map(lambda a: jnp.asarray(a)[0], state)

    def map_recurrent(self, fn: Callable[[Array], Array]) -> "KerasCell | None":
        """Return this cell with `fn` applied to each gate's recurrent block; None if not known.

        Keras multiplies from the right, h @ kernel: `fn` receives the transposed blocks.
        """
        if self.known is None:
            return None
        names = [variable.name for variable in self.layer.trainable_variables]
        if "recurrent_kernel" not in names:  # it may be frozen
            return None
        index = names.index("recurrent_kernel")
        mapped = map_blocks(fn, self.trainable[index].T).T
        return eqx.tree_at(lambda c: c.trainable[index], self, mapped)

    def _check_shapes(self, state: PyTree, input: PyTree) -> None:
        check_vector("KerasCell", "input", input, self.layer.kernel.shape[0])
        names = ", ".join(self.state_names or ())
        what = f"state [{names}], a list of arrays of shape ({self.layer.units},)"
        for leaf in check_parts("KerasCell", what, state, len(self.state_names or ())):
            check_vector("KerasCell", "each part of the state", leaf, self.layer.units)


def _is_pair(out: Any) -> bool:
    return isinstance(out, tuple | list) and len(out) == 2
