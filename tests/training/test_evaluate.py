import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from vanishing_jax.tasks import TimeSeries
from vanishing_jax.training import evaluate

from .small import FirstSign


def total(inputs):
    return jnp.sum(inputs, axis=0)


def test_scores_all_held_out_sequences_whatever_the_batch():
    rng = np.random.RandomState(0)
    x, y = rng.normal(size=(9, 3, 1)), rng.normal(size=(9, 1))
    task = TimeSeries(x, y, num_test=5)
    error = x[4:].sum(axis=1) - y[4:]
    for batch_size in (2, 5, 100):
        found = evaluate(total, task, batch_size=batch_size, key=jr.key(0))
        assert (found.num_sequences, found.held_out) == (5, True)
        np.testing.assert_allclose(found.loss, np.mean(error**2), rtol=1e-5)
        np.testing.assert_allclose(found.metric, np.mean(np.abs(error)), rtol=1e-5)
    assert str(found).endswith("on 5 held-out sequences")


def test_draws_fresh_sequences_in_whole_batches():
    task = FirstSign()
    found = evaluate(total, task, num_sequences=7, batch_size=3, key=jr.key(1))
    assert (found.num_sequences, found.held_out) == (9, False)
    assert "9 fresh sequences" in str(found)
    batches = [task.sample(key, 3) for key in jr.split(jr.key(1), 3)]
    outputs = [jax.vmap(total)(inputs) for inputs, _ in batches]
    losses = [task.loss(o, targets) for o, (_, targets) in zip(outputs, batches, strict=True)]
    np.testing.assert_allclose(found.loss, np.mean(losses), rtol=1e-5)


@pytest.mark.parametrize("name", ["num_sequences", "batch_size"])
def test_counts_below_one_are_refused(name):
    with pytest.raises(ValueError, match=f"`{name}` of at least 1; got 0"):
        evaluate(total, FirstSign(), **{name: 0}, key=jr.key(0))
