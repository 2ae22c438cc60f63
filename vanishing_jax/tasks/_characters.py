"""Character-level language modeling."""

import math
import pathlib

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Float, Int

from .._types import Array, Key
from ._base import AbstractDescribedTask
from ._draws import check_at_least, one_hot
from ._scores import cross_entropies, label_score
from ._stored import conditional_entropy


class CharacterLanguageModeling(AbstractDescribedTask):
    """Character-level language modeling: at every step predict the next character of a text.

    Inputs are one-hot characters of a window of the text, the class at each step is the character
    that follows. Windows begin anywhere, equally likely; the training text is read as a ring, its
    end followed by its beginning, so that every step of a window sees the same statistics. The loss
    is the cross-entropy in nats per character, the metric the same in bits.

    The baseline is exact for the training text: the entropy of a character given the one before it.

    **Arguments:**

    - `length`: number of steps T of a window.
    - `text`: a string, or the `pathlib.Path` of a UTF-8 file; by default the reference
      documentation that comes with Python (`pydoc_data.topics`), about half a million characters of
      English, which differs a little between versions of Python.
    - `test_share`: share of the text, at its end, that is held out in `.test`.

    **Raises:** `TypeError` when `text` is neither; `ValueError` when a part is shorter than a
    window and one character; `UnicodeDecodeError` for a file in another encoding.

    **Cost:** a batch takes `batch_size * T * alphabet` numbers, since characters are one-hot.

    **Example:**

    >>> import jax
    >>> from vanishing_jax.tasks import CharacterLanguageModeling
    >>> task = CharacterLanguageModeling(4, text=30 * "abracadabra ")
    >>> inputs, targets = task.sample(jax.random.key(0), 2)
    >>> inputs.shape, targets.shape, "".join(task.alphabet)
    ((2, 4, 6), (2, 4), ' abcdr')
    """

    train_text: Int[Array, " characters"]
    test_text: Int[Array, " held_out"]
    alphabet: tuple[str, ...] = eqx.field(static=True)

    def __init__(
        self,
        length: int = 100,
        *,
        text: str | pathlib.Path | None = None,
        test_share: float = 0.1,
    ):
        """See the class."""
        check_at_least("length", length, 1, "the steps of a window")
        if not 0 < test_share < 1:
            raise ValueError(f"expected `test_share` between 0 and 1; got {test_share}.")
        text = _read(text)
        num_test = round(test_share * len(text))
        shorter = min(num_test, len(text) - num_test)
        if shorter <= length:
            raise ValueError(
                f"expected a text whose training and test parts exceed `length`, {length}; the "
                f"shorter part has {shorter} characters. Give more text or a smaller length."
            )
        # Unicode code points, sorted: the alphabet of the whole text, held-out part included.
        points, codes = np.unique([ord(character) for character in text], return_inverse=True)
        codes = codes.astype(np.int32)
        self.alphabet = tuple(chr(point) for point in points)
        train, test = codes[: len(codes) - num_test], codes[len(codes) - num_test :]
        self.train_text, self.test_text = jnp.asarray(train), jnp.asarray(test)
        self._describe(
            "character language modeling",
            length,
            sizes=(len(points), len(points)),
            baseline=conditional_entropy(train, np.roll(train, -1)),
            every_step=True,
            metric_name="bits per character",
        )

    @property
    def test(self) -> tuple[Float[Array, "held_out time input"], Int[Array, "held_out time"]]:
        """The held-out text as windows side by side, (inputs, targets)."""
        num_windows = (len(self.test_text) - 1) // self.length
        used = num_windows * self.length
        shape = (num_windows, self.length)
        inputs = one_hot(self.test_text[:used].reshape(shape), self.input_size)
        return inputs, self.test_text[1 : used + 1].reshape(shape)

    @eqx.filter_jit
    def sample(
        self, key: Key, batch_size: int
    ) -> tuple[Float[Array, "batch time input"], Int[Array, "batch time"]]:
        """Return (inputs, targets) of windows drawn independently, with replacement."""
        start = jr.randint(key, (batch_size, 1), 0, len(self.train_text), jnp.int32)
        index = start + jnp.arange(self.length + 1, dtype=jnp.int32)[None]
        window = self.train_text[index % len(self.train_text)]
        return one_hot(window[:, :-1], self.input_size), window[:, 1:]

    def loss(
        self, outputs: Float[Array, "*batch time classes"], targets: Int[Array, "*batch time"]
    ) -> Array:
        """Return the mean cross-entropy in nats per character."""
        return label_score(cross_entropies, outputs, targets, self.every_step)

    def metric(
        self, outputs: Float[Array, "*batch time classes"], targets: Int[Array, "*batch time"]
    ) -> Array:
        """Return the mean cross-entropy in bits per character."""
        return self.loss(outputs, targets) / math.log(2)


def _read(text: str | pathlib.Path | None) -> str:
    if text is None:
        from pydoc_data.topics import topics

        return "\n".join(topics[topic] for topic in sorted(topics))
    if isinstance(text, pathlib.Path):
        return text.read_text(encoding="utf-8")
    return text
