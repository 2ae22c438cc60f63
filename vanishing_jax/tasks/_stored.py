"""Tasks whose sequences are held in memory."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Float, Int, Num

from .._types import Array, Key, PyTree
from ._base import AbstractDescribedTask
from ._padded import pack
from ._scores import cross_entropies, hits, label_score, number_score


class AbstractStoredTask(AbstractDescribedTask):
    """Sequences to train on and others that are held out, with labels or numbers as targets."""

    train_inputs: Float[Array, "sequences time input"]
    train_targets: Num[Array, "sequences ..."]
    train_lengths: Int[Array, " sequences"] | None
    test_inputs: Float[Array, "held_out time input"]
    test_targets: Num[Array, "held_out ..."]
    test_lengths: Int[Array, " held_out"] | None
    labels: bool = eqx.field(static=True)

    def _store(self, train: tuple, test: tuple) -> None:
        """Set all arrays, each part being (inputs, targets, lengths or None)."""
        self.labels = np.issubdtype(train[1].dtype, np.integer)
        dtype = jnp.int32 if self.labels else jnp.result_type(float)
        self.train_inputs, self.test_inputs = (jnp.asarray(part[0]) for part in (train, test))
        self.train_targets, self.test_targets = (
            jnp.asarray(part[1].astype(dtype)) for part in (train, test)
        )
        self.train_lengths, self.test_lengths = (
            None if part[2] is None else jnp.asarray(part[2]) for part in (train, test)
        )

    @property
    def test(self) -> tuple[PyTree, PyTree]:
        """The held-out (inputs, targets), which `sample` never draws."""
        return pack(self.test_inputs, self.test_targets, self.test_lengths)

    @eqx.filter_jit
    def sample(self, key: Key, batch_size: int) -> tuple[PyTree, PyTree]:
        """Return (inputs, targets) of training sequences drawn independently, with replacement."""
        index = jr.randint(key, (batch_size,), 0, self.train_inputs.shape[0], jnp.int32)
        lengths = None if self.train_lengths is None else self.train_lengths[index]
        return pack(self.train_inputs[index], self.train_targets[index], lengths)

    def loss(self, outputs: Float[Array, "*batch output"], targets: PyTree) -> Array:
        """Return the mean cross-entropy in nats of labels, the mean squared error of numbers."""
        if self.labels:
            return label_score(cross_entropies, outputs, targets, self.every_step)
        return number_score(jnp.square, outputs, targets, self.every_step)

    def metric(self, outputs: Float[Array, "*batch output"], targets: PyTree) -> Array:
        """Return the accuracy of labels, the mean absolute error of numbers."""
        if self.labels:
            return label_score(hits, outputs, targets, self.every_step)
        return number_score(jnp.abs, outputs, targets, self.every_step)


def conditional_entropy(
    evidence: Int[np.ndarray, " sample"], labels: Int[np.ndarray, " sample"]
) -> float:
    """Return H(label | evidence) of the empirical distribution, in nats."""

    def entropy(symbols: np.ndarray) -> float:
        share = np.unique(symbols, return_counts=True)[1] / len(symbols)
        return float(-np.sum(share * np.log(share)))

    # The chain rule of entropy: H(label | evidence) = H(label, evidence) - H(evidence).
    pairs = evidence.astype(np.int64) * (int(labels.max()) + 1) + labels
    return entropy(pairs) - entropy(evidence)
