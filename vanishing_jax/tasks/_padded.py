"""Sequences of different length in one array."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Bool, Int, Num

from .._types import Array, PyTree


class Padded(eqx.Module):
    """Sequences of different length: an array as long as the longest, and each one's length.

    Where lengths differ a task returns both its inputs and its targets as `Padded`. What `values`
    hold at steps beyond `length` means nothing, and nothing depends on it, NaN included: a
    `SequenceModel` keeps the state of a sequence that has ended, a task's `loss` and `metric` do
    not count those steps, and `readout_loss` reads the state in which each sequence ended, so
    `vj.diagnose(model.cell, inputs.values, loss=readout_loss(model, task, targets))` starts there.

    - `values`: `batch time ...`; of targets with one value per sequence, `batch ...`.
    - `length`: number of steps of each sequence, at least 1, at most `time`.

    Inside `jax.vmap` a `Padded` is one sequence: `time ...` and a scalar.

    **Example:**

    >>> import jax.numpy as jnp
    >>> from vanishing_jax.tasks import Padded
    >>> Padded(jnp.zeros((2, 3, 1)), jnp.array([1, 3], jnp.int32)).mask(3)
    Array([[ True, False, False],
           [ True,  True,  True]], dtype=bool)
    """

    values: Num[Array, "..."]
    length: Int[Array, "*batch"]

    def mask(self, time: int) -> Bool[Array, "*batch {time}"]:
        """Return which of `time` steps belong to each sequence."""
        steps = jnp.arange(time, dtype=self.length.dtype)
        return jnp.expand_dims(steps, tuple(range(self.length.ndim))) < self.length[..., None]


def pack(
    inputs: Num[Array, "..."], targets: Num[Array, "..."], length: Int[Array, "*batch"] | None
) -> tuple[PyTree, PyTree]:
    """Return inputs and targets, with their lengths where these differ."""
    if length is None:
        return inputs, targets
    return Padded(inputs, length), Padded(targets, length)


def values_of(targets: PyTree) -> Array:
    """Return the targets themselves, without lengths."""
    return targets.values if isinstance(targets, Padded) else targets


def zero_beyond(
    values: Num[Array, "*batch time component"], mask: Bool[Array, "*batch time"]
) -> Num[Array, "*batch time component"]:
    """Return `values` with zeros where `mask` is False.

    Done before a value is used: leaving out the result alone would still let a NaN or an infinity
    into the gradient, as 0 * NaN.
    """
    return jnp.where(mask[..., None], values, jnp.zeros((), values.dtype))
