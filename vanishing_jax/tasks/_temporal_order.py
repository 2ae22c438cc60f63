"""The temporal order problem."""

import math

import equinox as eqx
import jax.numpy as jnp

from .._types import Key, PyTree
from ._classes import AbstractClasses
from ._draws import check_at_least, check_variant, integer, one_hot, shortest_length, uniform
from ._padded import pack

# Percent of the length between which each event lies: "pascanu" leaves the end out, "hochreiter"
# includes it.
_INTERVALS = {
    ("pascanu", 2): ((10, 20), (50, 60)),
    ("pascanu", 3): ((10, 20), (30, 40), (60, 70)),
    ("hochreiter", 2): ((10, 20), (50, 60)),
    ("hochreiter", 3): ((10, 20), (33, 43), (66, 76)),
}
_CHOICES = ("pascanu", "hochreiter")


class TemporalOrder(AbstractClasses):
    """Temporal order: say which of X and Y came first, second (and third) among distractors.

    Inputs are one-hot symbols: X or Y, equally likely, at two or three random moments, and one of
    four distractors everywhere else. After the last step the sequence must be named as one of the
    2^events classes. The loss is the cross-entropy in nats, the metric the accuracy. Two forms:

    - "pascanu": six symbols; the moments are uniform in [0.1 T, 0.2 T) and [0.5 T, 0.6 T); with
      three events in [0.1 T, 0.2 T), [0.3 T, 0.4 T) and [0.6 T, 0.7 T) (the "3-bit" problem).
    - "hochreiter" (1997, tasks 6a and 6b): eight symbols, for a start symbol comes first and an end
      symbol last; lengths are uniform from T' = T - floor(T / 11) to T (100 to 110 in the paper),
      as `Padded`; the moments are uniform in 0.1 T'..0.2 T' and 0.5 T'..0.6 T', or 0.1..0.2,
      0.33..0.43 and 0.66..0.76 of T', ends included, counting the start symbol as moment 0.

    The memoryless loss is events * ln 2 (1.3863 or 2.0794), since the last input is never an event.

    **Arguments:**

    - `length`: number of steps T.
    - `events`: 2 or 3.
    - `variant`: see above.

    **Raises:** `ValueError` for an unknown variant, another number of events, or a `length`
    below 10.

    **Example:**

    >>> import jax
    >>> from vanishing_jax.tasks import TemporalOrder
    >>> task = TemporalOrder(50)
    >>> inputs, targets = task.sample(jax.random.key(0), 32)
    >>> inputs.shape, targets.shape, round(task.baseline, 4)
    ((32, 50, 6), (32,), 1.3863)

    ??? cite "Reference"

        ```bibtex
        @inproceedings{pascanu2013difficulty,
          author    = {Pascanu, Razvan and Mikolov, Tomas and Bengio, Yoshua},
          title     = {On the Difficulty of Training Recurrent Neural Networks},
          booktitle = {International Conference on Machine Learning},
          year      = {2013},
        }
        ```
    """

    events: int = eqx.field(static=True)

    def __init__(self, length: int = 100, *, events: int = 2, variant: str = "pascanu"):
        """See the class."""
        check_variant(variant, _CHOICES)
        if events not in (2, 3):
            raise ValueError(f"expected `events` to be 2 or 3; got {events}.")
        check_at_least("length", length, 10, "for the intervals in which events lie")
        bits = "" if events == 2 else "3-bit "
        self.events, self.variant, self.recalled_steps = events, variant, None
        name = f"{bits}temporal order" + ("" if variant == "pascanu" else f" {variant}")
        sizes = 6 if variant == "pascanu" else 8, 2**events
        self._describe(name, length, sizes=sizes, baseline=events * math.log(2))

    @eqx.filter_jit
    def sample(self, key: Key, batch_size: int) -> tuple[PyTree, PyTree]:
        """Return (inputs, targets): `batch time input` and classes, or both `Padded`.

        Symbols are X, Y, four distractors, start, end. The first event is the class's highest bit.
        """
        u = uniform(key, batch_size, self.length + 2 * self.events + 1)
        symbols, spare = integer(u[:, : self.length], 2, 6), u[:, self.length :]
        steps = jnp.arange(self.length, dtype=jnp.int32)[None]
        label = jnp.zeros(batch_size, jnp.int32)
        for event, (start, stop) in enumerate(self._moments()):
            moment = integer(spare[:, 2 * event], start, stop)
            bit = integer(spare[:, 2 * event + 1], 0, 2)
            symbols = jnp.where(steps == moment[:, None], bit[:, None], symbols)
            label = 2 * label + bit
        if self.variant == "pascanu":
            return one_hot(symbols, 6), label
        ends = integer(spare[:, -1], shortest_length(self.length), self.length + 1)
        symbols = jnp.where(steps == 0, jnp.asarray(6, jnp.int32), symbols)
        symbols = jnp.where(steps == ends[:, None] - 1, jnp.asarray(7, jnp.int32), symbols)
        symbols = jnp.where(steps < ends[:, None], symbols, jnp.asarray(8, jnp.int32))  # all zeros
        return pack(one_hot(symbols, 8), label, ends)

    def _moments(self) -> list[tuple[int, int]]:
        """Return for each event its first index and the one after its last."""
        closed = self.variant == "hochreiter"
        unit = shortest_length(self.length) if closed else self.length
        return [
            (unit * start // 100, unit * stop // 100 + closed)
            for start, stop in _INTERVALS[self.variant, self.events]
        ]
