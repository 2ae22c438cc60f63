"""What theory says of a recipe is what it says of the recipe's own cell."""

import jax
import numpy as np
import pytest

import vanishing_jax as vj
from vanishing_jax import theory

N, T = 24, 20


def test_prediction_is_that_of_the_recipes_cell():
    key = jax.random.key(4)
    inputs = np.random.default_rng(0).normal(size=(2, T, 2))
    found = vj.recipes.predict("tanh+leaky+clip", inputs, hidden_size=N, key=key)
    weights, _ = jax.random.split(key)
    cell = vj.recipes.parse("tanh+leaky+clip").cell(2, N, length=T, key=weights)
    expected = theory.predict(cell, inputs)
    assert found.expected_rate == expected.expected_rate
    assert found.top_exponent == expected.top_exponent < 0
    drawn = vj.recipes.predict("tanh", 0.3, hidden_size=N, input_size=2, num_steps=T)
    assert (drawn.num_units, drawn.num_steps) == (N, T)


@pytest.mark.slow
def test_batch_normalization_gets_the_statistics_of_the_inputs():
    prediction = vj.recipes.predict("tanh+batchnorm", 1.0, hidden_size=N, input_size=N, num_steps=T)
    assert prediction.theory is not None and not prediction.failed
    assert prediction.num_draws == 32


def test_recipes_without_a_theory_and_other_shapes():
    irnn = vj.recipes.predict("irnn+clip", 1.0, hidden_size=N, input_size=2)
    assert irnn.theory is None and "identity" in irnn.reason
    with pytest.raises(ValueError, match="got shape"):
        vj.recipes.predict("tanh", np.zeros(3), hidden_size=N)
