"""What must hold for every task of the table."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vanishing_jax import tasks
from vanishing_jax.tasks import AbstractTask, Padded

from .. import tables
from .draws import BATCH, KEYS, draws, quick_jit


@pytest.mark.parametrize("name", tables.TASKS)
def test_samples_are_what_the_task_says(name):
    drawn = draws(name)
    task = drawn.task
    assert isinstance(task, AbstractTask)
    assert drawn.inputs.shape == (2 * BATCH, task.length, task.input_size)
    assert drawn.inputs.dtype == jnp.result_type(float)
    assert np.isfinite(drawn.inputs).all() and len(drawn.targets) == 2 * BATCH
    inputs, targets = drawn.batches
    assert isinstance(inputs, Padded) == isinstance(targets, Padded)
    if isinstance(inputs, Padded):
        np.testing.assert_array_equal(inputs.length, targets.length)
        assert drawn.lengths.min() >= 1 and drawn.lengths.max() == task.length
    assert 0 < task.baseline < np.inf and task.name and task.metric_name
    # Two keys, two batches.
    assert not np.array_equal(drawn.inputs[:BATCH], drawn.inputs[BATCH:])


@pytest.mark.parametrize("name", ["Adding, hochreiter", "CharacterLanguageModeling"])
def test_one_key_gives_one_batch_with_and_without_vmap(name):
    drawn = draws(name)
    alone = quick_jit(lambda key: drawn.task.sample(key, BATCH))(KEYS[1])
    found, expected = (jax.tree.map(np.asarray, x) for x in (alone, drawn.batches))
    assert eqx.tree_equal(found, jax.tree.map(lambda leaf: leaf[1], expected))


@pytest.mark.parametrize(
    "name",
    [
        "Adding",
        "Adding, pascanu",
        "CopyMemory",
        "CopyMemory, gu",
        "TemporalOrder, hochreiter",
        "RandomPermutation, every step",
        "Warping, variable",
        "CharacterLanguageModeling",
        "digits",
        "TimeSeries",
        "TimeSeries, labels",
    ],
)
def test_loss_and_metric_are_means_over_sequences(name):
    task = draws(name).task
    targets = jax.tree.map(
        lambda leaf: jnp.asarray(np.asarray(leaf)[0, :3]), draws(name).batches[1]
    )
    steps = (task.length,) if task.every_step else ()
    normal = np.random.RandomState(0).normal(size=(3, *steps, task.output_size))
    outputs = jnp.asarray(normal, jnp.result_type(float))

    @quick_jit
    def run(outputs, targets):
        together, gradient = jax.value_and_grad(task.loss)(outputs, targets)
        each = jax.vmap(task.loss)(outputs, targets), jax.vmap(task.metric)(outputs, targets)
        return together, task.metric(outputs, targets), each, gradient

    loss, metric, each, gradient = run(outputs, targets)
    assert loss.shape == metric.shape == () and loss.dtype == outputs.dtype
    np.testing.assert_allclose(loss, np.mean(each[0]), rtol=1e-5)
    np.testing.assert_allclose(metric, np.mean(each[1]), rtol=1e-5)
    assert np.isfinite(gradient).all() and np.any(np.asarray(gradient) != 0)


def halves(drawn):
    """Return (present input, target, whether scored) of each scored step, for both batches."""
    task, lengths = drawn.task, drawn.lengths
    inputs, targets = drawn.inputs, drawn.targets
    if not task.every_step:
        inputs = inputs[np.arange(len(inputs)), lengths - 1][:, None]
        targets = targets[:, None]
    return [(inputs[part], targets[part]) for part in (slice(BATCH), slice(BATCH, None))]


def table_loss(train, test, smoothing):
    """Return each test sequence's loss under label frequencies given step and present input."""
    inputs, labels = (np.concatenate([a, b]) for a, b in zip(train, test, strict=True))
    # Different inputs, here symbols or one number, have different weighted sums.
    weighted = inputs @ np.sqrt(1 + np.arange(inputs.shape[-1]))
    symbols = np.unique(weighted, return_inverse=True)[1].reshape(labels.shape)
    steps = np.broadcast_to(np.arange(labels.shape[1]), labels.shape)
    counts = np.full((labels.shape[1], symbols.max() + 1, labels.max() + 1), smoothing)
    known = labels[:BATCH] >= 0
    np.add.at(counts, tuple(a[:BATCH][known] for a in (steps, symbols, labels)), 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = np.log(counts / counts.sum(axis=-1, keepdims=True))
    losses = -logs[steps, symbols, labels][BATCH:]
    scored = labels[BATCH:] >= 0
    return np.where(scored, losses, 0).sum(axis=1) / scored.sum(axis=1)


def regression_loss(train, test, _):
    """Return each test sequence's squared error under least squares on the last input."""

    def features(inputs):
        number, marker = inputs[:, 0].T
        return np.stack([np.ones_like(number), number, marker == 1, number * marker], axis=1)

    fit = np.linalg.lstsq(features(train[0]), train[1][:, 0])[0]
    return np.square(features(test[0]) @ fit - test[1][:, 0])


@pytest.mark.parametrize("name", [n for n in tables.TASKS if "eries" not in n and n != "digits"])
def test_baseline_is_the_loss_of_the_best_memoryless_model(name):
    first, second = halves(draws(name))
    fit = regression_loss if name.split(",")[0] in ("Adding", "Multiplication") else table_loss
    # The best fit to its own data is better than the best model, on other data it is worse.
    seen, unseen = fit(first, first, 0.0), fit(first, second, 0.5)
    error = 4 * seen.std() / np.sqrt(BATCH)
    assert seen.mean() - error < draws(name).task.baseline < unseen.mean() + error
    # And the two do not leave much room.
    assert unseen.mean() - seen.mean() < 0.06 * unseen.mean() + 2 * error


@pytest.mark.parametrize(
    "name",
    ["Adding", "Multiplication", "CopyMemory", "TemporalOrder", "DelayedXor", "RandomPermutation",
     "Warping"],
)  # fmt: skip
def test_unknown_variant_and_too_short_a_length_are_refused(name):
    task = getattr(tasks, name)
    with pytest.raises(ValueError, match="expected `variant` to be one of '.*; got 'nobody'"):
        task(variant="nobody")
    with pytest.raises(ValueError, match="expected `length` of at least .*; got 1"):
        task(1)
