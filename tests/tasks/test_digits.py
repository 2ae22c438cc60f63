import builtins

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from sklearn.datasets import load_digits

from vanishing_jax.tasks import AbstractTask, digits


@pytest.fixture(scope="module")
def task():
    return digits()


def test_describes_itself(task):
    assert isinstance(task, AbstractTask)
    assert (task.name, task.metric_name) == ("digits", "accuracy")
    assert (task.input_size, task.output_size, task.length) == (1, 10, 64)


def test_split_is_a_partition_of_the_images(task):
    raw = digits(standardize=False)
    rows = np.concatenate([raw.train_inputs, raw.test_inputs])[:, :, 0] * 16
    labels = np.concatenate([raw.train_targets, raw.test_targets])
    assert raw.train_inputs.shape == (1497, 64, 1) and raw.test_inputs.shape == (300, 64, 1)
    pixels, digit = load_digits(return_X_y=True)
    expected = np.column_stack([np.asarray(pixels), np.asarray(digit)])
    found = np.column_stack([rows, labels])
    np.testing.assert_array_equal(found[np.lexsort(found.T)], expected[np.lexsort(expected.T)])


def test_split_is_the_same_each_time_and_for_both_pixel_orders(task):
    again, permuted = digits(), digits(permuted=True)
    np.testing.assert_array_equal(task.test[0], again.test[0])
    np.testing.assert_array_equal(task.test[1], permuted.test[1])


def test_permutation_is_one_shuffle_of_the_steps(task):
    permuted = digits(permuted=True)
    assert permuted.name == "permuted digits"
    plain = np.asarray(task.train_inputs)[:, :, 0]
    shuffled = np.asarray(permuted.train_inputs)[:, :, 0]
    assert not np.array_equal(plain, shuffled)
    # Steps as columns, compared as a set of columns: the same shuffle for every image.
    np.testing.assert_array_equal(plain[:, np.lexsort(plain)], shuffled[:, np.lexsort(shuffled)])


def test_standardized_over_the_training_pixels(task):
    assert task.train_inputs.dtype == jnp.zeros(()).dtype
    pixels = np.asarray(task.train_inputs, np.float64)
    np.testing.assert_allclose([pixels.mean(), pixels.std()], [0, 1], atol=1e-6)
    raw = np.asarray(digits(standardize=False).train_inputs)
    assert raw.min() == 0 and raw.max() == 1
    np.testing.assert_allclose(pixels, (raw - raw.mean()) / raw.std(), atol=1e-5)


def test_samples_are_training_sequences_with_their_labels(task, getkey):
    key = getkey()
    inputs, targets = eqx.filter_jit(task.sample)(key, 5)
    assert inputs.shape == (5, 64, 1) and targets.shape == (5,)
    train = np.asarray(task.train_inputs)
    for image, label in zip(np.asarray(inputs), np.asarray(targets), strict=True):
        match = (train == image).all(axis=(1, 2))
        assert match.any() and label in np.asarray(task.train_targets)[match]
    np.testing.assert_array_equal(inputs, task.sample(key, 5)[0])
    assert not np.array_equal(inputs, task.sample(getkey(), 5)[0])


def test_loss_and_metric_on_known_outputs(task):
    targets = jnp.array([3, 7, 7], jnp.int32)
    np.testing.assert_allclose(task.loss(jnp.zeros((3, 10)), targets), np.log(10), rtol=1e-6)
    right_twice = 100 * jax.nn.one_hot(jnp.array([3, 7, 1]), 10)
    np.testing.assert_allclose(task.loss(right_twice, targets), 100 / 3, rtol=1e-6)
    np.testing.assert_allclose(task.metric(right_twice, targets), 2 / 3, rtol=1e-6)


@pytest.mark.parametrize("permuted", [False, True])
def test_baseline_is_the_best_table_of_the_last_pixel(permuted):
    task = digits(permuted=permuted)
    # Brute force: the optimal memoryless model is a table, last pixel -> label frequencies.
    last, labels = np.asarray(task.train_inputs)[:, -1, 0], np.asarray(task.train_targets)
    losses = np.zeros(len(labels))
    for pixel in np.unique(last):
        here = labels[last == pixel]
        frequency = np.bincount(here, minlength=10) / len(here)
        losses[last == pixel] = -np.log(frequency[here])
    np.testing.assert_allclose(task.baseline, losses.mean(), rtol=1e-12)
    # It carries over to images that were not counted, and beats the constant predictor's log 10.
    assert task.baseline < np.log(10)


def test_baseline_by_monte_carlo_through_sample_and_loss(task):
    last, labels = np.asarray(task.train_inputs)[:, -1, 0], np.asarray(task.train_targets)
    pixels, index = np.unique(last, return_inverse=True)
    table = np.full((len(pixels), 10), 1e-9)
    np.add.at(table, (index, labels), 1.0)
    inputs, targets = task.sample(jr.key(0), 20_000)
    drawn = np.searchsorted(pixels, np.asarray(inputs)[:, -1, 0])
    logits = jnp.asarray(np.log(table / table.sum(axis=1, keepdims=True))[drawn])
    # The standard deviation of one loss is about 0.4: five standard errors.
    assert abs(float(task.loss(logits, targets)) - task.baseline) < 5 * 0.4 / np.sqrt(20_000)


def test_wrong_sizes_and_labels_are_named():
    with pytest.raises(ValueError, match="0 < num_test < 1797; got 1797"):
        digits(num_test=1797)


def test_missing_scikit_learn_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without_sklearn(name, *args, **kwargs):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_sklearn)
    with pytest.raises(ImportError, match=r'pip install "vanishing_jax\[data\]"'):
        digits()
