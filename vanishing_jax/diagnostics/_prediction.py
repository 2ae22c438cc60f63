"""What theory says of the network that is diagnosed."""

import jax
import numpy as np

from ..theory import Prediction


def prediction_of(cell, batch, reach) -> Prediction | None:
    """Return what theory says of the rate of the first sequences, or None if it has no word on it.

    Of sequences of different length, those that are at least as long as the median reach. Of an
    LSTM or GRU it says that there is no prediction, and what there is for one step.
    """
    from ..theory import can_predict, predict  # with them comes most of the theory
    from ..theory._predict import one_step_function

    if reach == 0 or not (can_predict(cell) or one_step_function(cell)):
        return None
    inputs, ends = np.asarray(batch.inputs), np.asarray(batch.lengths)
    first = np.arange(0, len(ends), batch.num_probes)
    return predict(
        cell,
        inputs[first[ends[first] >= reach], :reach],
        state0=jax.tree.map(lambda leaf: np.asarray(leaf)[0], batch.state0),
        num_sequences=batch.num_sequences,
    )
