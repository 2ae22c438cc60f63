"""The time warping problem."""

import math

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Float, Int

from .._types import Array, Key
from ._classes import AbstractClasses
from ._draws import check_at_least, check_variant, integer, one_hot, uniform
from ._scores import NOT_SCORED

_CHOICES = ("uniform warping", "variable warping", "uniform padding", "variable padding")


class Warping(AbstractClasses):
    """Time warping: name the symbol before the present one, while time runs slower or unevenly.

    A random sequence of symbols is stretched: each lasts `factor` steps ("uniform"), or a random
    number of steps from 1 to `factor` ("variable"). A "warping" repeats the symbol throughout; a
    "padding" shows it once and then a filler. At every step the class is the symbol before the
    present one; the steps of the first symbol are not scored (target -1). To a recurrence a warping
    is a change of its time constants, which gates can make and a plain network cannot.

    The loss is the cross-entropy in nats, averaged over the scored steps, the metric the accuracy.
    The memoryless loss is the logarithm of the number of symbols: neighbors are independent.

    **Arguments:**

    - `length`: number of steps T.
    - `factor`: how many steps a symbol lasts, at most.
    - `symbols`: size of the alphabet.
    - `variant`: "uniform warping", "variable warping", "uniform padding" or "variable padding".

    **Raises:** `ValueError` for an unknown variant, a factor below 1, less than 2 symbols, and a
    length that could end before the second symbol.

    **Example:**

    >>> import jax
    >>> from vanishing_jax.tasks import Warping
    >>> task = Warping(20, factor=4)
    >>> inputs, targets = task.sample(jax.random.key(0), 32)
    >>> inputs.shape, [int(x) for x in targets[0, :4]], round(task.baseline, 4)
    ((32, 20, 10), [-1, -1, -1, -1], 2.3026)

    ??? cite "Reference"

        ```bibtex
        @inproceedings{tallec2018can,
          author    = {Tallec, Corentin and Ollivier, Yann},
          title     = {Can Recurrent Neural Networks Warp Time?},
          booktitle = {International Conference on Learning Representations},
          year      = {2018},
        }
        ```
    """

    factor: int = eqx.field(static=True)
    symbols: int = eqx.field(static=True)

    def __init__(
        self,
        length: int = 100,
        *,
        factor: int = 10,
        symbols: int = 10,
        variant: str = "uniform warping",
    ):
        """See the class."""
        check_variant(variant, _CHOICES)
        check_at_least("factor", factor, 1, "the steps that a symbol lasts")
        check_at_least("symbols", symbols, 2, "else there is nothing to remember")
        check_at_least("length", length, factor + 1, "so that a second symbol comes")
        self.factor, self.symbols, self.variant = factor, symbols, variant
        self.recalled_steps = None
        sizes = symbols + variant.endswith("padding"), symbols
        self._describe(variant, length, sizes=sizes, baseline=math.log(symbols), every_step=True)

    @eqx.filter_jit
    def sample(
        self, key: Key, batch_size: int
    ) -> tuple[Float[Array, "batch time input"], Int[Array, "batch time"]]:
        """Return (inputs, targets); the filler is the last input, targets are -1 or a symbol."""
        # As many symbols as fit if each lasts one step; one draw gives symbol and duration.
        choice = integer(uniform(key, batch_size, self.length), 0, self.symbols * self.factor)
        symbols, duration = choice % self.symbols, 1 + choice // self.symbols
        if self.variant.startswith("uniform"):
            steps = jnp.arange(self.length, dtype=jnp.int32)[None]
            begins = jnp.broadcast_to(steps % self.factor == 0, choice.shape)
        else:
            ends = jnp.cumsum(duration, axis=1, dtype=jnp.int32)
            row = jnp.arange(batch_size)[:, None]
            begins = jnp.zeros(choice.shape, bool).at[row, ends].set(True, mode="drop")
            begins = begins.at[:, 0].set(True)
        index = jnp.cumsum(begins, axis=1, dtype=jnp.int32) - 1  # how many symbols came before
        shown = jnp.take_along_axis(symbols, index, axis=1)
        if self.variant.endswith("padding"):
            shown = jnp.where(begins, shown, jnp.asarray(self.symbols, jnp.int32))
        before = jnp.take_along_axis(symbols, jnp.maximum(index - 1, 0), axis=1)
        targets = jnp.where(index > 0, before, jnp.asarray(NOT_SCORED, jnp.int32))
        return one_hot(shown, self.input_size), targets
