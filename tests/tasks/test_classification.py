import jax.numpy as jnp
import numpy as np
import pytest

from vanishing_jax.tasks import SequenceClassification


def make(last, labels, num_classes=2):
    """Return a task of two-step sequences that end in `last`."""
    dtype = jnp.zeros(()).dtype
    inputs = np.stack([np.arange(len(last)), last], axis=1)[:, :, None].astype(dtype)
    pair = (inputs, np.asarray(labels))
    return SequenceClassification(pair, pair, num_classes=num_classes, name="toy")


def test_baseline_sees_the_last_input_only():
    # Uninformative, fully informative and half informative last inputs.
    np.testing.assert_allclose(make([5, 5, 5, 5], [0, 1, 0, 1]).baseline, np.log(2))
    np.testing.assert_allclose(make([0, 1, 0, 1], [0, 1, 0, 1]).baseline, 0, atol=1e-15)
    np.testing.assert_allclose(make([0, 0, 1, 1], [0, 1, 1, 1]).baseline, np.log(2) / 2)


def test_sizes_come_from_the_data():
    task = make([1, 2, 3], [0, 1, 2], num_classes=4)
    assert (task.length, task.input_size, task.output_size, task.name) == (2, 1, 4, "toy")
    assert task.train_targets.dtype == jnp.int32


@pytest.mark.parametrize("labels", [[0, 2], [-1, 0]])
def test_labels_out_of_range_are_refused(labels):
    with pytest.raises(ValueError, match="labels from 0 to 1; got"):
        make([0, 0], labels)
