"""What theory says of the network that is diagnosed."""

import numpy as np

from ..theory import Prediction, can_predict, predict


def prediction_of(cell, batch, reach) -> Prediction | None:
    """Return what theory says of the rate of the first sequences, or None if it knows no theory.

    Of sequences of different length, those that are at least as long as the median reach.
    """
    if reach == 0 or not can_predict(cell):
        return None
    inputs, ends = np.asarray(batch.inputs), np.asarray(batch.lengths)
    first = np.arange(0, len(ends), batch.num_probes)
    return predict(
        cell,
        inputs[first[ends[first] >= reach], :reach],
        state0=np.asarray(batch.state0)[0],
        num_sequences=batch.num_sequences,
    )
