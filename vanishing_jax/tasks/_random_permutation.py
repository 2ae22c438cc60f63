"""The random permutation problem."""

import math

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Float, Int

from .._types import Array, Key
from ._classes import AbstractClasses
from ._draws import check_at_least, check_variant, integer, one_hot, uniform

_CHOICES = ("last", "every step")


class RandomPermutation(AbstractClasses):
    """Random permutation: predict the symbol that follows a long noise, the one before the noise.

    A sequence s_0..s_T over 100 symbols: s_0 = s_T is one of two, all between are drawn
    independently from the other 98. Inputs are s_0..s_(T-1), one-hot. (In earlier papers the
    symbols between are a permutation, hence the name; this is the form of Pascanu et al.)

    - "last": after the last step s_T must be named. The memoryless loss is ln 2.
    - "every step": at each step the next symbol must be named, of which only the last can be; the
      loss is the average over all T. The memoryless loss is ((T - 1) ln 98 + ln 2) / T, so that the
      whole gain from solving the problem is ln(2) / T: the gradient is mostly noise.

    The loss is the cross-entropy in nats, the metric the accuracy of the last symbol.

    **Arguments:**

    - `length`: number of steps T.
    - `symbols`: size of the alphabet.
    - `variant`: see above.

    **Raises:** `ValueError` for an unknown variant, less than 2 steps, or less than 3 symbols.

    **Example:**

    >>> import jax
    >>> from vanishing_jax.tasks import RandomPermutation
    >>> task = RandomPermutation(20)
    >>> inputs, targets = task.sample(jax.random.key(0), 32)
    >>> inputs.shape, targets.shape, round(task.baseline, 4)
    ((32, 20, 100), (32,), 0.6931)

    The reference is that of `TemporalOrder`.
    """

    symbols: int = eqx.field(static=True)

    def __init__(self, length: int = 100, *, symbols: int = 100, variant: str = "last"):
        """See the class."""
        check_variant(variant, _CHOICES)
        check_at_least("length", length, 2, "the symbol to remember and one of noise")
        check_at_least("symbols", symbols, 3, "two to remember and one of noise")
        every_step = variant == "every step"
        noise = (length - 1) * math.log(symbols - 2) if every_step else 0.0
        self.symbols, self.variant = symbols, variant
        self.recalled_steps = 1 if every_step else None
        name = "random permutation" if variant == "last" else f"random permutation {variant}"
        baseline = (noise + math.log(2)) / (length if every_step else 1)
        sizes = symbols, symbols
        self._describe(name, length, sizes=sizes, baseline=baseline, every_step=every_step)

    @eqx.filter_jit
    def sample(
        self, key: Key, batch_size: int
    ) -> tuple[Float[Array, "batch time input"], Int[Array, "batch *time"]]:
        """Return (inputs, targets); symbols 0 and 1 are those that come back."""
        u = uniform(key, batch_size, self.length)
        first, noise = integer(u[:, :1], 0, 2), integer(u[:, 1:], 2, self.symbols)
        inputs = one_hot(jnp.concatenate([first, noise], axis=1), self.symbols)
        return inputs, jnp.concatenate([noise, first], axis=1) if self.every_step else first[:, 0]
