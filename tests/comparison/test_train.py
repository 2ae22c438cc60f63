from typing import Any

import equinox as eqx
import jax.random as jr
import numpy as np
import optax
import pytest

import vanishing_jax as vj
from vanishing_jax import recipes, training

from ..training.small import FirstSign, small_model

SETTINGS: dict[str, Any] = dict(steps=2, batch_size=4, record_every=2, progress=False)


class Counting(FirstSign):
    """Counts how often its loss is traced."""

    def loss(self, outputs, targets):
        TRACES.append(None)
        return FirstSign.loss(self, outputs, targets)


TRACES: list[None] = []


def test_recipe_is_built_and_its_hooks_act():
    recipe = recipes.parse("tanh+orthogonal+band+soft-orthogonal+clip=0.1+lr=0.1")
    model, history = vj.train(recipe.name, Counting(), hidden_size=4, key=jr.key(0), **SETTINGS)
    traced = len(TRACES)
    np.testing.assert_allclose(np.linalg.svd(model.cell.weight_hh)[1], 1, rtol=1e-5)
    # By hand: the same parts from the recipe, and the loop below.
    key_model, key_data = jr.split(jr.key(0))
    built, optimizer = recipe.build(Counting(), 4, key=key_model)
    hooks = recipe.mitigation(Counting())
    expected = training.train(
        built, Counting(), optimizer=optimizer, penalty=hooks.penalty, project=hooks.project,
        key=key_data, **SETTINGS,
    )  # fmt: skip
    assert eqx.tree_equal(model, expected[0]) and eqx.tree_equal(history, expected[1])
    # Other numbers, other seeds: the same program, and other results.
    other, _ = vj.train(
        recipes.parse("tanh+orthogonal+band=0.5+soft-orthogonal=1+clip=0.3"), Counting(),
        hidden_size=4, learning_rate=0.2, key=jr.key(1), **SETTINGS,
    )  # fmt: skip
    assert len(TRACES) == traced > 0
    assert not eqx.tree_equal(model, other)


def test_model_is_trained_as_by_the_loop():
    settings: dict[str, Any] = dict(key=jr.key(5), **SETTINGS)
    found = vj.train(small_model(), FirstSign(), **settings)
    assert eqx.tree_equal(found, training.train(small_model(), FirstSign(), **settings))


def test_a_recipe_is_read_out_at_every_step_where_the_task_asks_for_it():
    for task in (vj.tasks.named("copy memory", length=22), FirstSign()):
        model, _ = recipes.parse("tanh").build(task, 4, key=jr.key(0))
        assert model.every_step == task.every_step


@pytest.mark.parametrize(
    "what, task, settings, message",
    [
        ("tanh", "digits", {"length": 3}, "'digits' has the length of its data"),
        ("tanh", FirstSign(), {"length": 3}, "`length` goes with the name of a task"),
        ("tanh", FirstSign(), {"optimizer": optax.sgd(0.1)}, "`optimizer` goes with a model"),
        ("model", FirstSign(), {"hidden_size": 3}, "go with a recipe"),
        ("model", FirstSign(), {"learning_rate": 0.1}, "go with a recipe"),
    ],
)
def test_arguments_of_the_other_kind_are_refused(what, task, settings, message):
    what = small_model() if what == "model" else what
    with pytest.raises(TypeError, match=message):
        vj.train(what, task, key=jr.key(0), **SETTINGS, **settings)
