import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from vanishing_jax.cells import VanillaCell
from vanishing_jax.training import SequenceModel
from vanishing_jax.training._scan import scan

WEIGHT = 0.3 * np.random.RandomState(0).normal(size=(16, 16))


def value_and_gradient(length, checkpoint):
    """Return a compiled function of (weight, inputs) that reads every state."""

    def loss(weight, xs):
        def step(h, x):
            h = jnp.tanh(weight @ h + x)
            return h, h[0]

        last, seen = scan(step, jnp.zeros(16, weight.dtype), xs, checkpoint=checkpoint)
        return jnp.sum(last) + jnp.sum(jnp.square(seen))

    dtype = jnp.result_type(float)
    args = jnp.asarray(WEIGHT, dtype), jnp.ones((length, 16), dtype)
    return jax.jit(jax.value_and_grad(loss)).lower(*args).compile(), args


@pytest.mark.parametrize("length", [1, 11])
def test_checkpoints_change_no_gradient(length):
    (plain, args), (saving, _) = (value_and_gradient(length, c) for c in (False, True))
    for a, b in zip(*map(jax.tree.leaves, (plain(*args), saving(*args))), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.as_users
def test_checkpoints_save_memory():
    found = [value_and_gradient(900, c)[0].memory_analysis() for c in (False, True)]
    sizes = [memory.temp_size_in_bytes for memory in found if memory is not None]
    # 900 states against 30 + 30, and what else there is.
    assert sizes[1] < sizes[0] / 5


def test_a_model_runs_in_checkpoints():
    model = SequenceModel(VanillaCell(1, 3, key=jr.key(0)), 2, every_step=True, key=jr.key(1))
    inputs = jr.normal(jr.key(2), (7, 1))
    both = jax.jit(lambda x: (model.run(x, checkpoint=True), model(x)))
    (outputs, state), expected = both(inputs)
    assert outputs.shape == (7, 2) and state.shape == (3,)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)
