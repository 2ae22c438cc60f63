"""What a walk multiplies by: the Jacobians of one stretch of a chain, stored or pushed through."""

import abc
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from .._chain import Linearization
from .._types import Array, ArrayLike


class Source(eqx.Module):
    """The steps of one stretch, addressed by the lag of the walk; of a batch until it is `split`.

    `origin` is the lag at which the stretch's first Jacobian is due, or, backward, its last one;
    `length` Jacobians are there (the arrays may be padded beyond).
    """

    origin: eqx.AbstractVar[Int[ArrayLike, ""]]
    length: eqx.AbstractVar[Int[ArrayLike, ""]]
    backward: eqx.AbstractVar[bool]

    def place(self, lag):
        """Return the index of the Jacobian that takes the walk from `lag` to `lag` + 1."""
        passed = lag - self.origin
        return self.length - 1 - passed if self.backward else passed

    @abc.abstractmethod
    def _own(self) -> tuple:
        """Return the parts that each sequence of a batch has for itself."""

    def split(self) -> tuple["Source", "Source"]:
        """Return the source of a batch in two: what has a batch axis, what all sequences share."""
        mine = eqx.tree_at(
            lambda source: jax.tree.leaves(source._own()),
            jax.tree.map(lambda _: False, self),
            replace_fn=lambda _: True,
        )
        mine = jax.tree.map(lambda leaf, its: its and is_array(leaf), self, mine)
        return eqx.partition(self, mine)

    def take(self, sequences: slice) -> "Source":
        """Return the source of some sequences of a batch."""
        own, common = self.split()
        return eqx.combine(jax.tree.map(lambda leaf: _host(leaf)[sequences], own), common)

    @abc.abstractmethod
    def push(self, lag, frame: Float[Array, "state state"]):
        """Return J Q (J^T Q backward); `frame` holds the columns of Q as rows."""

    @abc.abstractmethod
    def jacobian(self, lag, dtype) -> Float[Array, "state state"]:
        """Return J (J^T backward)."""


class DenseSource(Source):
    """Stored Jacobians, shape (step, state, state), of any floating dtype."""

    jacobians: Float[ArrayLike, "*batch step state state"]
    origin: Int[ArrayLike, ""]
    length: Int[ArrayLike, ""]
    backward: bool = eqx.field(static=True)

    def _own(self):
        return (self.jacobians,)

    def push(self, lag, frame):
        """Return J Q by a matrix product."""
        J = self._at(lag).astype(frame.dtype)
        return frame @ (J if self.backward else jnp.swapaxes(J, -1, -2))

    def jacobian(self, lag, dtype):
        """Return the stored Jacobian."""
        J = self._at(lag).astype(dtype)
        return jnp.swapaxes(J, -1, -2) if self.backward else J

    def _at(self, lag):
        jacobians = jnp.asarray(self.jacobians)
        return jax.lax.dynamic_index_in_dim(jacobians, self.place(lag), keepdims=False)


class StreamedSource(Source):
    """A cell linearized around a stretch of its trajectory.

    The frame goes through one linearization per step, by jvp (by vjp backward), so that no Jacobian
    is formed; where the cell computes in a narrower dtype than the walk, its Jacobian is formed
    there and widened, so that the frame is not rounded. It is formed, too, where it has to be
    pushed and is known in reverse mode only.
    """

    linearization: Linearization
    origin: Int[ArrayLike, ""]
    length: Int[ArrayLike, ""]
    backward: bool = eqx.field(static=True)

    def _own(self):
        # The cell too: eqx.filter_vmap gives each sequence its copy, and an ensemble differs.
        return self.linearization.trajectory, self.linearization.cell

    def push(self, lag, frame):
        """Return J Q by pushing each column of Q through the linearization."""
        no_jvp = self.linearization.mode == "rev" and not self.backward
        if no_jvp or self.linearization.layout.dtype != frame.dtype:
            J = self.jacobian(lag, frame.dtype)
            return frame @ jnp.swapaxes(J, -1, -2)
        state, step = self.linearization.at(self.place(lag) + 1)
        if self.backward:
            pull = jax.vjp(step, state)[1]
            return jax.vmap(lambda row: pull(row)[0])(frame)
        return jax.vmap(jax.linearize(step, state)[1])(frame)

    def jacobian(self, lag, dtype):
        """Return the Jacobian, formed."""
        J = self.linearization.jacobian(self.place(lag) + 1).astype(dtype)
        return jnp.swapaxes(J, -1, -2) if self.backward else J


def is_array(leaf) -> bool:
    """Return whether a leaf is a JAX or NumPy array."""
    return isinstance(leaf, jax.Array | np.ndarray)


def _host(leaf):
    # Slices of NumPy arrays are views; JAX would compile for each. Keys have no NumPy form.
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return leaf if is_key else np.asarray(leaf)


Direction = Literal["forward", "backward"]
