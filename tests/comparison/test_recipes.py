from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

from vanishing_jax import cells, mitigations, recipes
from vanishing_jax.tasks import AbstractTask
from vanishing_jax.training import train

N = 4


class FirstSign(AbstractTask):
    """Recall the sign of the first of three inputs."""

    name: str = "first sign"
    metric_name: str = "loss"
    input_size: int = 2
    output_size: int = 1
    length: int = 3
    every_step: bool = False
    baseline: float = 1.0

    def sample(self, key, batch_size):
        inputs = jr.normal(key, (batch_size, 3, 2))
        return inputs, jnp.sign(inputs[:, 0, 0])

    def loss(self, outputs, targets):
        return jnp.mean(jnp.square(outputs[:, 0] - targets))

    metric = loss


TASK = FirstSign()
TRACES = []


@eqx.filter_jit
def gradient_of(params, rest):
    inputs, targets = TASK.sample(jr.key(1), 5)
    loss = lambda p: TASK.loss(jax.vmap(eqx.combine(p, rest))(inputs), targets)
    return jax.grad(loss)(params)


@eqx.filter_jit
def update(optimizer, state, gradient, params):
    TRACES.append(None)
    with jax.numpy_dtype_promotion("standard"):
        change, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, change), state


def build(text, **options) -> Any:
    model, optimizer = recipes.parse(text).build(TASK, N, key=jr.key(0), **options)
    return model, eqx.filter(model, eqx.is_inexact_array), optimizer


@pytest.mark.slow
@pytest.mark.parametrize("text", recipes.names())
def test_every_name_builds_and_makes_a_finite_update(text):
    recipe = recipes.parse(text)
    assert recipes.parse(recipe.name) == recipe
    model, params, optimizer = build(text)
    gradient = gradient_of(params, eqx.filter(model, eqx.is_inexact_array, inverse=True))
    new, _ = update(optimizer, optimizer.init(params), gradient, params)
    for leaf, old in zip(*map(jax.tree.leaves, (new, params)), strict=True):
        assert np.isfinite(leaf).all() and leaf.dtype == old.dtype
    assert not eqx.tree_equal(new, params)


def test_every_part_is_in_some_name():
    used = {name for text in recipes.names() for name, _ in recipes.parse(text).parts}
    assert used | {"lr"} == set(recipes.parts())
    assert all(": " in description for description in recipes.parts().values())


@pytest.mark.parametrize(
    "text, reference",
    [
        ("tanh+sgd", lambda mask: optax.sgd(0.3)),
        ("tanh+momentum", lambda mask: optax.sgd(0.3, momentum=0.9)),
        ("tanh+rmsprop", lambda mask: optax.rmsprop(0.3)),
        ("tanh+adam", lambda mask: optax.adam(0.3)),
        ("tanh+adamw=0.2", lambda mask: optax.adamw(0.3, weight_decay=0.2, mask=mask)),
        ("tanh+clip=0.1", lambda m: optax.chain(optax.clip_by_global_norm(0.1), optax.adam(0.3))),
    ],
)
def test_optimizers_are_those_of_optax(text, reference):
    _, params, optimizer = build(text, learning_rate=0.3)
    mask = lambda tree: jax.tree.map(lambda leaf: leaf.ndim > 1, tree)
    other, found, expected = reference(mask), params, params
    state, other_state = optimizer.init(params), other.init(params)
    for scale in (1.0, -0.2):
        gradient = jax.tree.map(lambda w: scale * jnp.cos(5 * w), params)  # noqa: B023
        found, state = update(optimizer, state, gradient, found)
        with jax.numpy_dtype_promotion("standard"):
            change, other_state = other.update(gradient, other_state, expected)
            expected = optax.apply_updates(expected, change)
    for a, b in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_other_numbers_compile_nothing_anew():
    _, params, _ = build("tanh")
    counts = []
    for text in ("tanh+clip+decay", "lr=0.5+tanh+clip=3+decay=0.2"):
        optimizer = build(text)[2]
        update(optimizer, optimizer.init(params), params, params)
        counts.append(len(TRACES))
    assert counts[0] == counts[1]
    # The training loop, too.
    traces = []

    class Counting(FirstSign):
        def loss(self, outputs, targets):
            traces.append(None)
            return FirstSign.loss(self, outputs, targets)

    for text in ("tanh+sgd+clip=0.1", "tanh+sgd+clip=0.2+lr=0.3"):
        model, optimizer = recipes.parse(text).build(TASK, N, key=jr.key(0))
        settings: dict[str, Any] = dict(
            steps=2, batch_size=4, record_every=2, progress=False, key=jr.key(5)
        )
        train(model, Counting(), optimizer=optimizer, **settings)
    assert len(traces) == 1


def test_parts_do_what_they_say():
    model, _, _ = build("tbptt=2+clip-state+tanh+leaky=0.3+orthogonal=1.5")
    truncated = model.cell
    assert isinstance(truncated, cells.TruncatedCell) and truncated.steps == 2
    clipped = truncated.cell
    assert isinstance(clipped, cells.ClippedGradientCell) and clipped.threshold == 0.01
    leaky = clipped.cell
    assert isinstance(leaky, cells.LeakyCell) and leaky.rate == 0.3
    plain = leaky.cell
    assert isinstance(plain, cells.VanillaCell)
    W = np.asarray(plain.weight_hh)
    np.testing.assert_allclose(W @ W.T, 2.25 * np.eye(N), atol=1e-5)
    irnn = build("irnn")[0].cell
    np.testing.assert_array_equal(irnn.weight_hh, np.eye(N))
    assert irnn.activation is jax.nn.relu
    norm = build("relu+batchnorm-input")[0].cell
    assert isinstance(norm, cells.BatchNormCell) and norm.num_steps == TASK.length
    assert norm.placement == "input"
    assert build("tanh+layernorm-input")[0].cell.placement == "input"
    bias = np.asarray(build("lstm+chrono")[0].cell.bias)
    assert np.all(bias[N : 2 * N] < np.log(2)) and np.all(bias[N : 2 * N] > 0)  # T_max = 3


def test_layers_are_cells_of_their_own():
    stacked = build("orthogonal+batchnorm-input+tanh+layers=3")[0].cell
    assert isinstance(stacked, cells.StackedCell) and not stacked.residual
    layers: Any = stacked.cells
    assert [cell.cell.input_size for cell in layers] == [2, N, N]
    for cell in layers:
        assert isinstance(cell, cells.BatchNormCell) and cell.num_steps == TASK.length
        np.testing.assert_allclose(
            cell.cell.weight_hh @ cell.cell.weight_hh.T, np.eye(N), atol=1e-5
        )
    lower, middle, upper = (np.asarray(cell.cell.weight_hh) for cell in layers)
    assert not np.allclose(lower, middle) and not np.allclose(middle, upper)
    skipping = build("lstm+skip-layers")[0].cell
    assert skipping.residual and len(skipping.cells) == 2
    # One layer is the network without that part, to the bit.
    assert eqx.tree_equal(build("tanh+layers=1")[0], build("tanh")[0])


def test_penalty_and_projection_are_handed_to_the_loop():
    mitigation = recipes.parse("tanh+soft-orthogonal+band+clip").mitigation(TASK)
    assert mitigation.penalty is not None and mitigation.project is not None
    plain = recipes.parse("tanh+clip").mitigation(TASK)
    assert plain.penalty is None and plain.project is None
    assert isinstance(plain, mitigations.Mitigation)


def test_seeds_build_in_one_program():
    models = eqx.filter_vmap(lambda key: recipes.parse("tanh").build(TASK, N, key=key)[0])(
        jr.split(jr.key(0), 3)
    )
    assert models.cell.weight_hh.shape == (3, N, N)
    key = jr.split(jr.key(0), 3)[1]
    one = recipes.parse("tanh").build(TASK, N, key=key)[0]
    cell = recipes.parse("tanh").cell(TASK.input_size, N, length=TASK.length, key=key)
    assert eqx.tree_equal(one.cell, cell)
    np.testing.assert_allclose(models.weight[1], one.weight, rtol=1e-6)


def test_spelling_does_not_matter():
    one, two = recipes.parse("tanh+orthogonal+clip=5"), recipes.parse(" Clip = 5.0+ORTHOGONAL+tanh")
    assert one == two and two.name == "tanh+orthogonal+clip=5"
    assert recipes.parse("tanh+clip=1").name == "tanh+clip"


def test_prints_what_it_chooses():
    text = str(recipes.parse("lstm+chrono+clip=2+decay+lr=0.003"))
    for line in (
        "LSTM, forget bias 1",
        "gate bias:                chrono, up to the task's length steps",
        "recurrent initialization: orthogonal",
        "gradient clipping:        at global norm 2",
        "weight decay:             0.01",
        "optimizer:                Adam",
        "learning rate:            0.003",
    ):
        assert line in text
    assert "gradient clipping:        none" in str(recipes.parse("tanh"))


@pytest.mark.parametrize(
    "text, message",
    [
        ("tanh+layernrom", "unknown part 'layernrom'.*Nearest: 'layernorm'"),
        ("tahn", "unknown part 'tahn'.*Nearest: 'tanh'"),
        ("tanh+", "unknown part ''"),
        ("orthogonal+clip", "names no cell.*'tanh\\+orthogonal\\+clip'"),
        ("tanh+lstm", "'tanh' and 'lstm' .* both choose the cell"),
        ("tanh+sgd+adam", "'sgd' and 'adam' .* both choose the optimizer"),
        ("tanh+state-noise+state-noise=1", "both choose the initial state noise"),
        ("adamw+tanh+decay", "both choose the weight decay"),
        ("irnn+orthogonal", "both choose the recurrent initialization"),
        ("tanh+clip+clip=2", "both choose the gradient clipping"),
        ("lstm+leaky", "'leaky' does not go with 'lstm'.*'tanh'"),
        ("tanh+layers=3+skip-layers", "both choose the layers"),
        ("tanh+chrono", "'chrono' does not go with 'tanh'.*'lstm', 'gru'"),
        ("tanh+lr", "'lr' needs a number"),
        ("tanh+he=2", "'he' takes no number"),
        ("tanh+clip=much", "finite number after '='; got 'clip=much'"),
    ],
)
def test_what_cannot_be_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        recipes.parse(text)


def test_what_cannot_be_built_is_refused():
    words: Any = ["tanh"]
    with pytest.raises(TypeError):
        recipes.parse(words)
    for text, message in [
        ("tanh+clip=-1", "positive maximum"),
        ("tanh+tbptt=2.5", "whole number of steps"),
        ("tanh+leaky=2", "0 < rate <= 1"),
        ("tanh+layers=2.5", "`layers` as a whole number of at least 1; got 2.5"),
        ("tanh+skip-layers=0", "`skip-layers` as a whole number"),
    ]:
        with pytest.raises(ValueError, match=message):
            build(text)
