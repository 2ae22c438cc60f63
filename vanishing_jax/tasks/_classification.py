"""Classification of stored sequences."""

import numpy as np
from jaxtyping import Float, Int

from .._types import ArrayLike
from ._stored import AbstractStoredTask, conditional_entropy


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
        evidence = np.unique(inputs[:, -1], axis=0, return_inverse=True)[1].ravel()
        baseline = conditional_entropy(evidence, targets)
        sizes = inputs.shape[2], num_classes
        self._describe(name, inputs.shape[1], sizes=sizes, baseline=baseline)


def standardized(
    train: Float[np.ndarray, "sequences *step"], test: Float[np.ndarray, "held_out *step"]
) -> tuple[Float[np.ndarray, "sequences *step"], Float[np.ndarray, "held_out *step"]]:
    """Return both shifted and scaled by mean and deviation of all numbers in `train`."""
    mean, deviation = train.mean(dtype=np.float64), train.std(dtype=np.float64)
    # Images without any contrast would be divided by zero.
    return (train - mean) / (deviation or 1.0), (test - mean) / (deviation or 1.0)
