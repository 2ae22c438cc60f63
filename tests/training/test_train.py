import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

from vanishing_jax.cells import LSTMCell, VanillaCell
from vanishing_jax.training import _train as train_module

from .small import FirstSign, run, small_model


class Constant(eqx.Module):
    """A model of one weight, whose outputs ignore the inputs; `tag` is not trained."""

    weight: jax.Array
    tag: jax.Array = eqx.field(default_factory=lambda: jnp.arange(2))

    def __call__(self, inputs):
        return self.weight


class Steep(FirstSign):
    """The loss is the mean output to the power 1.5: not a number below 0, gradient 1.5 sqrt(w)."""

    def loss(self, outputs, targets):
        return jnp.mean(outputs) ** 1.5


STEEP = optax.sgd(0.6)


@pytest.mark.as_users
@pytest.mark.parametrize("cell_class", [VanillaCell, LSTMCell])
def test_learns_what_a_memoryless_model_cannot(cell_class):
    _, history = run(
        small_model(cell_class),
        steps=150,
        batch_size=32,
        record_every=10,
        optimizer=optax.chain(optax.clip_by_global_norm(1.0), optax.adam(3e-2)),
    )
    np.testing.assert_array_equal(history.step, np.arange(10, 160, 10))
    assert history.loss[-1] < 0.5 * FirstSign().baseline < history.loss[0]
    assert history.metric[-1] > 0.9
    assert history.nonfinite_step is None and not history.interrupted


@pytest.mark.as_users
def test_same_key_same_run_bit_for_bit():
    results = [run(small_model()) for _ in range(2)]
    assert eqx.tree_equal(*results)
    other, _ = run(small_model(), key=jr.key(6))
    assert not eqx.tree_equal(results[0][0], other)


def test_agrees_with_updates_written_out():
    model, task, optimizer = small_model(), FirstSign(), optax.sgd(0.1)
    trained, history = run(model, optimizer=optimizer, steps=3, record_every=2)

    def loss(params, batch):
        return task.loss(jax.vmap(params)(batch[0]), batch[1])

    losses, norms = [], []
    for step in (1, 2, 3):
        batch = task.sample(jr.fold_in(jr.key(5), step), 4)
        value, gradient = jax.value_and_grad(loss)(model, batch)
        model = jax.tree.map(lambda w, g: w - 0.1 * g, model, gradient)
        losses.append(float(value))
        norms.append(np.sqrt(sum(np.sum(np.square(g)) for g in jax.tree.leaves(gradient))))
    np.testing.assert_array_equal(history.step, [2, 3])
    np.testing.assert_allclose(history.loss, [np.mean(losses[:2]), losses[2]], rtol=1e-5)
    np.testing.assert_allclose(history.gradient_norm, [np.mean(norms[:2]), norms[2]], rtol=1e-5)
    for a, b in zip(jax.tree.leaves(trained), jax.tree.leaves(model), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_last_chunk_stops_at_the_requested_update():
    whole, _ = run(small_model(), steps=4)
    parts, history = run(small_model(), steps=4, record_every=3)
    np.testing.assert_array_equal(history.step, [3, 4])
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(parts), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_only_floating_arrays_are_trained():
    model, _ = run(Constant(jnp.ones(1)))
    assert float(model.weight[0]) != 1
    np.testing.assert_array_equal(model.tag, [0, 1])


def test_more_updates_do_not_recompile():
    traces = []

    class Counting(FirstSign):
        def loss(self, outputs, targets):
            traces.append(None)
            return FirstSign.loss(self, outputs, targets)

    for steps in (2, 5, 6):
        run(small_model(), Counting(), steps=steps)
    assert len(traces) == 1


@pytest.mark.as_users
def test_gradient_norm_is_before_clipping_and_out_of_reach_of_overflow():
    class Huge(FirstSign):
        def loss(self, outputs, targets):
            return 1e30 * jnp.mean(outputs)

    _, history = run(Constant(jnp.ones(1)), Huge(), steps=1)
    np.testing.assert_allclose(history.gradient_norm, [1e30], rtol=1e-6)


@pytest.mark.as_users
def test_stops_before_the_first_nonfinite_update():
    # w = 1 - 0.6 * 1.5 = 0.1; then 0.1 - 0.9 sqrt(0.1) < 0; the third loss is not a number.
    model, history = run(Constant(jnp.ones(1)), Steep(), optimizer=STEEP, steps=40, record_every=4)
    assert history.nonfinite_step == 3
    assert history.nonfinite_leaf == "gradient of weight"
    np.testing.assert_array_equal(history.step, [3])
    assert np.isnan(history.loss[0])
    np.testing.assert_allclose(model.weight, [0.1 - 0.9 * np.sqrt(0.1)], rtol=1e-5)
    assert "stopped at update 3, not finite: gradient of weight" in str(history)


@pytest.mark.parametrize(
    "model, rate, leaf",
    [
        (Constant(jnp.array([jnp.nan])), 0.1, "weight"),
        (Constant(jnp.ones(1)), float("inf"), "weight after its update"),
    ],
)
def test_names_the_first_nonfinite_leaf(model, rate, leaf):
    trained, history = run(model, Steep(), optimizer=optax.sgd(rate))
    assert (history.nonfinite_step, history.nonfinite_leaf) == (1, leaf)
    np.testing.assert_array_equal(trained.weight, model.weight)


def test_infinite_loss_with_finite_gradient_is_named():
    class Infinite(FirstSign):
        def loss(self, outputs, targets):
            return jnp.mean(outputs) + jnp.inf

    assert run(Constant(jnp.ones(1)), Infinite())[1].nonfinite_leaf == "loss"


@pytest.mark.parametrize("finished", [0, 2])
def test_interrupt_returns_what_was_trained_so_far(monkeypatch, finished):
    run_chunk, calls = train_module.run_chunk, []

    def interrupted(*args, **kwargs):
        if len(calls) == finished:
            raise KeyboardInterrupt
        calls.append(None)
        return run_chunk(*args, **kwargs)

    monkeypatch.setattr(train_module, "run_chunk", interrupted)
    model, history = run(small_model())
    monkeypatch.undo()
    assert history.interrupted and str(history).endswith("interrupted")
    np.testing.assert_array_equal(history.step, [2, 4][:finished])
    expected = run(small_model(), steps=4)[0] if finished else small_model()
    assert eqx.tree_equal(model, expected)


def test_bar_shows_loss_metric_and_gradient_and_can_be_silent(capfd):
    run(small_model())
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
    run(small_model(), progress=True)
    bar = capfd.readouterr().err
    for part in ("first sign", "6/6", "loss=", "accuracy=", "gradient="):
        assert part in bar


@pytest.mark.parametrize("name", ["steps", "num_updates", "batch_size", "record_every"])
def test_counts_below_one_are_refused(name):
    changes = {"steps": None, "num_updates": 3, name: 0}
    if name == "steps":
        del changes["num_updates"]
    with pytest.raises(ValueError, match=f"`{name}` of at least 1; got 0"):
        run(small_model(), **changes)


def test_model_without_floating_arrays_is_refused():
    with pytest.raises(ValueError, match="floating arrays to train; it has none"):
        run(Constant(jnp.arange(2)))
