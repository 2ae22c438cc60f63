"""Classification of stored sequences."""

import numpy as np
from jaxtyping import Float, Int

from .._types import ArrayLike
from ._stored import AbstractStoredTask


class SequenceClassification(AbstractStoredTask):
    """One label per sequence, from sequences that are held in memory.

    The loss is the cross-entropy of the outputs as logits (natural log), the metric the accuracy.
    The baseline is the entropy of the label given the last input, counted over the training
    sequences: exactly what the best memoryless model reaches on the data that `sample` draws.
    """

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
        inputs, targets = np.asarray(train[0]), np.asarray(train[1])
        self._store((inputs, targets, None), (np.asarray(test[0]), np.asarray(test[1]), None))
        baseline = _conditional_entropy(inputs[:, -1], targets)
        sizes = inputs.shape[2], num_classes
        self._describe(name, inputs.shape[1], sizes=sizes, baseline=baseline)


def standardized(
    train: Float[np.ndarray, "sequences *step"], test: Float[np.ndarray, "held_out *step"]
) -> tuple[Float[np.ndarray, "sequences *step"], Float[np.ndarray, "held_out *step"]]:
    """Return both shifted and scaled by mean and deviation of all numbers in `train`."""
    mean, deviation = train.mean(dtype=np.float64), train.std(dtype=np.float64)
    # Images without any contrast would be divided by zero.
    return (train - mean) / (deviation or 1.0), (test - mean) / (deviation or 1.0)


def _conditional_entropy(evidence: np.ndarray, labels: np.ndarray) -> float:
    """Return H(label | evidence row) of the empirical distribution, in nats."""

    def entropy(rows: np.ndarray) -> float:
        _, counts = np.unique(rows, axis=0, return_counts=True)
        return float(-np.sum(counts / len(rows) * np.log(counts / len(rows))))

    # The chain rule of entropy: H(label | evidence) = H(label, evidence) - H(evidence).
    joint = np.concatenate([evidence, labels[:, None].astype(evidence.dtype)], axis=1)
    return entropy(joint) - entropy(evidence)
