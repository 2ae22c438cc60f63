"""Delayed exclusive or."""

import math

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Float, Int

from .._types import Array, Key
from ._classes import AbstractClasses
from ._draws import check_at_least, check_variant, integer, uniform
from ._scores import NOT_SCORED

_CHOICES = ("xor", "copy")


class DelayedXor(AbstractClasses):
    """Delayed XOR: at every step, whether the bits seen d and 2 d steps ago differ.

    Inputs are random bits s_t, 0 or 1; the class at step t is |s_(t-d) - s_(t-2d)|. With
    `variant="copy"` it is s_(t-d), which needs memory but no computation. Steps before anything is
    known (the first 2 d, or d) are not scored: their target is -1. The loss is the cross-entropy of
    two logits in nats, averaged over the scored steps, the metric the accuracy. The memoryless
    loss is ln 2. Gradient flossing was tried on it with d = 10 and 300 steps.

    **Arguments:**

    - `length`: number of steps T.
    - `delay`: d.
    - `variant`: "xor" or "copy".

    **Raises:** `ValueError` for an unknown variant, a delay below 1, and a length without any step
    to score.

    **Example:**

    >>> import jax
    >>> from vanishing_jax.tasks import DelayedXor
    >>> task = DelayedXor(5, delay=1)
    >>> inputs, targets = task.sample(jax.random.key(0), 32)
    >>> inputs.shape, [int(x) for x in targets[0, :2]], round(task.baseline, 4)
    ((32, 5, 1), [-1, -1], 0.6931)

    ??? cite "Reference"

        ```bibtex
        @inproceedings{engelken2023gradient,
          author    = {Engelken, Rainer},
          title     = {Gradient Flossing: Improving Gradient Descent through Dynamic Control of
                       Jacobians},
          booktitle = {Advances in Neural Information Processing Systems},
          year      = {2023},
        }
        ```
    """

    delay: int = eqx.field(static=True)

    def __init__(self, length: int = 100, *, delay: int = 10, variant: str = "xor"):
        """See the class."""
        check_variant(variant, _CHOICES)
        check_at_least("delay", delay, 1, "else no memory is needed")
        least = delay * (2 if variant == "xor" else 1) + 1
        check_at_least("length", length, least, "one step more than the past it needs")
        self.delay, self.variant, self.recalled_steps = delay, variant, None
        name = f"delayed {variant}"
        self._describe(name, length, sizes=(1, 2), baseline=math.log(2), every_step=True)

    @eqx.filter_jit
    def sample(
        self, key: Key, batch_size: int
    ) -> tuple[Float[Array, "batch time 1"], Int[Array, "batch time"]]:
        """Return (inputs, targets); targets are 0 or 1, and -1 where nothing is scored."""
        bits = integer(uniform(key, batch_size, self.length), 0, 2)
        known = bits[:, : -self.delay]
        if self.variant == "xor":
            known = known[:, self.delay :] ^ known[:, : -self.delay]
        unknown = jnp.full((batch_size, self.length - known.shape[1]), NOT_SCORED, jnp.int32)
        inputs = bits[:, :, None].astype(jnp.result_type(float))
        return inputs, jnp.concatenate([unknown, known], axis=1)
