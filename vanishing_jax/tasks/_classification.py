"""Classification of stored sequences."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from jaxtyping import Float, Int

from .._types import Array, ArrayLike, Key
from ._base import AbstractTask


class SequenceClassification(AbstractTask):
    """One label per sequence, from sequences that are held in memory.

    The loss is the cross-entropy of the outputs as logits (natural log), the metric the accuracy.
    The baseline is the entropy of the label given the last input, counted over the training
    sequences: exactly what the best memoryless model reaches on the data that `sample` draws.
    """

    train_inputs: Float[Array, "sequences time input"]
    train_targets: Int[Array, " sequences"]
    test_inputs: Float[Array, "held_out time input"]
    test_targets: Int[Array, " held_out"]
    name: str = eqx.field(static=True)
    metric_name: str = eqx.field(static=True)
    input_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)
    length: int = eqx.field(static=True)
    every_step: bool = eqx.field(static=True)
    baseline: float = eqx.field(static=True)

    def __init__(
        self,
        train: tuple[Float[ArrayLike, "sequences time input"], Int[ArrayLike, " sequences"]],
        test: tuple[Float[ArrayLike, "held_out time input"], Int[ArrayLike, " held_out"]],
        *,
        num_classes: int,
        name: str,
    ):
        """Hold `train` and `test`, each (inputs, labels 0..num_classes-1), under `name`."""
        for _, labels in (train, test):
            if np.min(labels) < 0 or np.max(labels) >= num_classes:
                raise ValueError(
                    f"expected labels from 0 to {num_classes - 1}; "
                    f"got {np.min(labels)} to {np.max(labels)}. Renumber them or set `num_classes`."
                )
        self.train_inputs, self.test_inputs = jnp.asarray(train[0]), jnp.asarray(test[0])
        self.train_targets = jnp.asarray(train[1], jnp.int32)
        self.test_targets = jnp.asarray(test[1], jnp.int32)
        self.name, self.metric_name = name, "accuracy"
        _, self.length, self.input_size = self.train_inputs.shape
        self.output_size, self.every_step = num_classes, False
        self.baseline = _conditional_entropy(np.asarray(train[0])[:, -1], np.asarray(train[1]))

    @property
    def test(self) -> tuple[Float[Array, "held_out time input"], Int[Array, " held_out"]]:
        """The held-out (inputs, targets), which `sample` never draws."""
        return self.test_inputs, self.test_targets

    def sample(
        self, key: Key, batch_size: int
    ) -> tuple[Float[Array, "batch time input"], Int[Array, " batch"]]:
        """Return `batch_size` training sequences drawn independently, with replacement."""
        index = jr.randint(key, (batch_size,), 0, self.train_targets.shape[0], jnp.int32)
        return self.train_inputs[index], self.train_targets[index]

    def loss(self, outputs: Float[Array, "*batch classes"], targets: Int[Array, "*batch"]) -> Array:
        """Return the mean cross-entropy in nats."""
        return optax.softmax_cross_entropy_with_integer_labels(outputs, targets).mean()

    def metric(
        self, outputs: Float[Array, "*batch classes"], targets: Int[Array, "*batch"]
    ) -> Array:
        """Return the share of sequences whose largest output is the label's."""
        right = jnp.argmax(outputs, axis=-1).astype(targets.dtype) == targets
        return right.astype(outputs.dtype).mean()


def _conditional_entropy(evidence: np.ndarray, labels: np.ndarray) -> float:
    """Return H(label | evidence row) of the empirical distribution, in nats."""

    def entropy(rows: np.ndarray) -> float:
        _, counts = np.unique(rows, axis=0, return_counts=True)
        return float(-np.sum(counts / len(rows) * np.log(counts / len(rows))))

    # The chain rule of entropy: H(label | evidence) = H(label, evidence) - H(evidence).
    joint = np.concatenate([evidence, labels[:, None].astype(evidence.dtype)], axis=1)
    return entropy(joint) - entropy(evidence)
