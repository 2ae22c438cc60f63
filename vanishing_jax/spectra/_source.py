"""What a walk multiplies by: the Jacobians of one stretch of a chain, stored or pushed through."""

import abc
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from .._chain import Linearization
from .._types import Array, ArrayLike


class Source(eqx.Module):
    """The steps of one stretch, addressed by the lag of the walk.

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
    def push(self, lag, frame: Float[Array, "*batch state state"]):
        """Return J Q (J^T Q backward); `frame` holds the columns of Q as rows."""

    @abc.abstractmethod
    def jacobian(self, lag, dtype) -> Float[Array, "*batch state state"]:
        """Return J (J^T backward)."""


class DenseSource(Source):
    """Stored Jacobians, shape (*batch, step, state, state), of any floating dtype."""

    jacobians: Float[ArrayLike, "*batch step state state"]
    origin: Int[ArrayLike, ""]
    length: Int[ArrayLike, ""]
    backward: bool = eqx.field(static=True)

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
        axis = jacobians.ndim - 3
        return jax.lax.dynamic_index_in_dim(jacobians, self.place(lag), axis, keepdims=False)


class StreamedSource(Source):
    """A cell linearized around a stretch of its trajectory; a batch of trajectories or one.

    The frame goes through one linearization per step, by jvp (by vjp backward), so that no Jacobian
    is formed; where the cell computes in a narrower dtype than the walk, its Jacobian is formed
    there and widened, so that the frame is not rounded.
    """

    linearization: Linearization
    origin: Int[ArrayLike, ""]
    length: Int[ArrayLike, ""]
    backward: bool = eqx.field(static=True)
    batched: bool = eqx.field(static=True)

    def push(self, lag, frame):
        """Return J Q by pushing each column of Q through the linearization."""
        if self.linearization.layout.dtype != frame.dtype:
            J = self.jacobian(lag, frame.dtype)
            return frame @ jnp.swapaxes(J, -1, -2)
        return self._each(self._push_one)(self.linearization, self.place(lag), frame)

    def jacobian(self, lag, dtype):
        """Return the Jacobian, formed."""
        J = self._each(lambda at, t: at.jacobian(t + 1))(self.linearization, self.place(lag))
        J = J.astype(dtype)
        return jnp.swapaxes(J, -1, -2) if self.backward else J

    def _push_one(self, linearization, place, frame):
        state, step = linearization.at(place + 1)
        if self.backward:
            pull = jax.vjp(step, state)[1]
            return jax.vmap(lambda row: pull(row)[0])(frame)
        return jax.vmap(jax.linearize(step, state)[1])(frame)

    def _each(self, function):
        if not self.batched:
            return function
        axes = jax.tree.map(lambda _: None, self.linearization)
        axes = eqx.tree_at(
            lambda at: at.trajectory, axes, jax.tree.map(lambda _: 0, self.linearization.trajectory)
        )
        return lambda at, place, *frame: jax.vmap(
            function, in_axes=(axes, None, *(0 for _ in frame))
        )(at, place, *frame)


Direction = Literal["forward", "backward"]
