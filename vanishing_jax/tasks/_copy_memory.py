"""The copy memory problem."""

import math

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Float, Int

from .._types import Array, Key
from ._classes import AbstractClasses
from ._draws import check_at_least, check_variant, integer, one_hot, uniform
from ._scores import NOT_SCORED

_CHOICES = ("arjovsky", "gu")


class CopyMemory(AbstractClasses):
    """Copy memory: repeat the symbols seen at the beginning, in order, after a long blank.

    Inputs are one-hot: K symbols, each one of S; then blanks; then a delimiter; outputs are scored
    as logits. With L = `length` steps in all, the symbols stand at the steps 1..K and must be
    repeated at the last K. In papers T counts the blanks, so that L = T + 2 K. Two forms:

    - "arjovsky" (also the TCN, scoRNN and others): the delimiter comes once, one step before the
      output begins, and blanks follow it. Every step is scored; until then the target is a blank.
      The memoryless loss is K ln(S) / L: 0.2971 for T = 50, 0.1733 for 100, 0.0204 for 1000.
    - "gu" (HiPPO, S4): the delimiter comes at each of the last K steps, and only these are scored.
      The memoryless loss is ln(S) = 2.0794.

    The loss is the cross-entropy in nats, averaged over the scored steps; the metric is the
    accuracy of the K repeated symbols, 1/S by chance. Classes are 0 (blank) and the symbols 1..S;
    the delimiter is the last of the S + 2 inputs.

    **Arguments:**

    - `length`: number of steps L.
    - `symbols`: size S of the alphabet.
    - `recalled`: number K of symbols to repeat.
    - `variant`: see above.

    **Raises:** `ValueError` for an unknown variant, and a length that leaves no blank between.

    **Example:**

    >>> import jax
    >>> from vanishing_jax.tasks import CopyMemory
    >>> task = CopyMemory(70)
    >>> inputs, targets = task.sample(jax.random.key(0), 32)
    >>> inputs.shape, targets.shape, task.output_size, round(task.baseline, 4)
    ((32, 70, 10), (32, 70), 9, 0.2971)

    ??? cite "Reference"

        ```bibtex
        @inproceedings{arjovsky2016unitary,
          author    = {Arjovsky, Martin and Shah, Amar and Bengio, Yoshua},
          title     = {Unitary Evolution Recurrent Neural Networks},
          booktitle = {International Conference on Machine Learning},
          year      = {2016},
        }
        ```
    """

    symbols: int = eqx.field(static=True)
    recalled: int = eqx.field(static=True)

    def __init__(
        self,
        length: int = 120,
        *,
        symbols: int = 8,
        recalled: int = 10,
        variant: str = "arjovsky",
    ):
        """See the class."""
        check_variant(variant, _CHOICES)
        check_at_least("symbols", symbols, 2, "else there is nothing to remember")
        check_at_least("recalled", recalled, 1, "else there is nothing to remember")
        least = 2 * recalled + 1
        check_at_least("length", length, least, "which is 2 * recalled and one step between")
        scored = length if variant == "arjovsky" else recalled
        self.symbols, self.variant = symbols, variant
        self.recalled = self.recalled_steps = recalled
        name = "copy memory" if variant == "arjovsky" else f"copy memory {variant}"
        baseline = recalled / scored * math.log(symbols)
        sizes = symbols + 2, symbols + 1
        self._describe(name, length, sizes=sizes, baseline=baseline, every_step=True)

    @eqx.filter_jit
    def sample(
        self, key: Key, batch_size: int
    ) -> tuple[Float[Array, "batch time input"], Int[Array, "batch time"]]:
        """Return (inputs, targets); targets are classes, -1 where nothing is scored."""
        memory = integer(uniform(key, batch_size, self.recalled), 1, self.symbols + 1)
        blanks = jnp.zeros((batch_size, self.length - self.recalled), jnp.int32)
        steps = jnp.arange(self.length, dtype=jnp.int32)
        recall = self.length - self.recalled  # index of the first step that repeats
        if self.variant == "arjovsky":
            is_delimiter, before = steps == recall - 1, blanks
        else:
            is_delimiter, before = steps >= recall, jnp.full_like(blanks, NOT_SCORED)
        shown = jnp.concatenate([memory, blanks], axis=1)
        delimiter = jnp.asarray(self.symbols + 1, jnp.int32)
        shown = jnp.where(is_delimiter[None], delimiter, shown)
        return one_hot(shown, self.input_size), jnp.concatenate([before, memory], axis=1)
