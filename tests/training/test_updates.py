"""The compiled chunk as a building block: over seeds, and without compiling anew."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from vanishing_jax import recipes
from vanishing_jax.training._objective import Hooks
from vanishing_jax.training._settings import Chunk
from vanishing_jax.training._updates import Training, begin, run_chunk

from .small import FirstSign

TASK, RECIPE = FirstSign(), recipes.parse("tanh+batchnorm+soft-orthogonal+sgd+clip=0.5")
CHUNK = Chunk(batch_size=4, length=3, record=("update_ratio",))

KEYS = jr.split(jr.key(3), 2)


def build(key):
    return RECIPE.build(TASK, 4, key=key)


def updates_of(arrays, key):
    """Return what two updates of one model report, and what they leave."""
    mitigation = RECIPE.mitigation(TASK)
    hooks = Hooks(penalty=mitigation.penalty, project=mitigation.project)
    model, optimizer = eqx.combine(arrays, STATIC)
    carry, context = begin(Training(model, optimizer, hooks, TASK, key))
    start, steps = jnp.zeros((), jnp.int32), jnp.asarray(2, jnp.int32)
    carry, *reports = run_chunk(carry, start, context, steps, CHUNK)
    return carry[:2], reports


STATIC = eqx.filter(build(KEYS[0]), eqx.is_array, inverse=True)


@pytest.fixture(scope="module")
def seeds():
    """Return what distinguishes two seeds, and what each gives alone."""
    arrays = [eqx.filter(build(key), eqx.is_array) for key in KEYS]
    return arrays, [updates_of(*seed) for seed in zip(arrays, KEYS, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize("over", ["vmap", "map"])
def test_seeds_in_one_program_give_the_numbers_of_each_alone(over, seeds):
    arrays, alone = seeds
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *arrays), KEYS
    if over == "vmap":
        together = jax.jit(jax.vmap(updates_of))(*stacked)
    else:
        together = jax.jit(lambda *seeds: jax.lax.map(lambda s: updates_of(*s), seeds))(*stacked)
    for seed in (0, 1):
        for a, b in zip(*map(jax.tree.leaves, (together, alone[seed])), strict=True):
            np.testing.assert_allclose(a[seed], b, rtol=1e-3, atol=1e-5)
    losses, finite = together[1][0].loss, together[1][0].finite
    assert np.all(finite) and not np.allclose(losses[0], losses[1])
