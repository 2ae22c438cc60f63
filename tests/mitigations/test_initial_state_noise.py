from typing import Any

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

from vanishing_jax import cells, mitigations
from vanishing_jax.training import SequenceModel, _train

from ..training.small import run

KEY = jr.key(0)


def noise(scale=0.1) -> Any:
    return mitigations.initial_state_noise(scale).initial_state


def test_is_gaussian_on_hidden_vectors_alone():
    stack = cells.StackedCell([cells.LSTMCell(1, 900, key=KEY), cells.GRUCell(900, 900, key=KEY)])
    (h, c), top = noise(0.3)(stack, stack.initial_state(), key=jr.key(1))
    np.testing.assert_array_equal(c, 0)
    for found in (h, top):
        # Four standard errors of mean and deviation.
        assert abs(np.mean(found)) < 4 * 0.3 / 30 and abs(np.std(found) - 0.3) < 4 * 0.3 / 42
    assert abs(np.corrcoef(h, top)[0, 1]) < 4 / 30
    normalized = cells.BatchNormCell(cells.GRUCell(1, 2, key=KEY), num_steps=3)
    h, step = noise()(normalized, normalized.initial_state(), key=KEY)
    assert step == 0 and np.all(np.asarray(h) != 0)
    unnamed = cells.FunctionCell(lambda p, s, x: s, ())
    found = noise()(unnamed, {"a": jnp.ones(2), "n": jnp.asarray(3)}, key=KEY)
    assert found["n"] == 3 and np.all(np.asarray(found["a"]) != 1)
    with pytest.raises(ValueError, match="at least 0; got -1"):
        mitigations.initial_state_noise(-1.0)


def test_chained_noises_are_independent():
    both: Any = mitigations.chain(*[mitigations.initial_state_noise(0.3)] * 2).initial_state
    cell = cells.VanillaCell(1, 900, key=KEY)
    found = both(cell, cell.initial_state(), key=KEY)
    assert abs(np.std(found) - 0.3 * np.sqrt(2)) < 4 * 0.3 / 30


@pytest.mark.slow
def test_training_sees_it_in_every_sequence_and_evaluation_does_not(monkeypatch):
    # With W = I the variance of W h_0 over the batch is that of the noise.
    inside = cells.VanillaCell(
        1, 4, recurrent_initializer=cells.identity_initializer(), key=jr.key(1)
    )
    model: Any = SequenceModel(cells.BatchNormCell(inside, num_steps=3), 1, key=KEY)
    seen, settled = [], _train.settled

    def spy(model, *rest):
        seen.append(model.cell.statistics.variance["recurrent"][0])
        return settled(model, *rest)

    monkeypatch.setattr(_train, "settled", spy)
    options: dict[str, Any] = dict(steps=1, record_every=1, batch_size=500)
    trained: Any = run(model, initial_state=noise(), optimizer=optax.sgd(0.0), **options)[0]
    of_batch = (seen[0] - 0.9) / 0.1  # moved from 1 by a tenth
    np.testing.assert_allclose(of_batch, 0.01, rtol=4 * np.sqrt(2 / 500))
    np.testing.assert_array_equal(trained.cell.statistics.variance["recurrent"][0], 0)
