"""A diagnosis of depth: closed forms for its rate, horizon, causes and remedies."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from .. import helpers

DEPTH = 12


class Scale(eqx.Module):
    """x -> x W^T for rows or one vector: a layer whose every number is known."""

    weight: jax.Array

    def __call__(self, x):
        return x @ self.weight


def scales(factor, n=3, depth=DEPTH):
    return [Scale(jnp.asarray(factor * np.eye(n), float))] * depth


def batch(count=5, n=3):
    return jnp.asarray(np.random.default_rng(0).standard_normal((count, n)), float)


def mean_square(y):
    return 0.5 * jnp.mean(y**2)


@pytest.mark.parametrize(("factor", "verdict"), [(0.5, "vanishing"), (2.0, "exploding")])
def test_rate_horizon_and_remedies_in_closed_form(factor, verdict):
    import vanishing_jax as vj

    d = vj.diagnose_layers(scales(factor), batch(), loss=mean_square, batched=True)
    log = np.log(factor)
    assert d.verdict == verdict and d.num_samples == 5 and d.axis == "layer"
    assert d.rate == pytest.approx(log, rel=1e-5) and d.rate_error < 1e-5
    assert d.horizon == (10 if factor < 1 else np.inf)  # 2^-10 is the first below 1e-3
    np.testing.assert_allclose(d.log_growth, log, rtol=1e-4)
    np.testing.assert_allclose(
        d.log_gradient_by_lag, log * np.arange(13) * np.ones((5, 1)), rtol=1e-4
    )
    assert d.profile is not None and d.spectrum is not None and d.influence is not None
    # Of the loss 1/2 mean y^2 over 15 numbers: dL/dx_L = y/15.
    first = np.linalg.norm(batch(), axis=1) * factor**24 / 15
    np.testing.assert_allclose(d.profile.log_norm[:, 0], np.log(first), rtol=1e-5)
    rates = {effect.name: effect.rate for effect in d.effects}
    assert rates["skip around each layer"] == pytest.approx(np.log(1 + factor), rel=1e-4)
    assert rates["weights rescaled"] == pytest.approx(0, abs=1e-5)
    assert set(d.skipped) == {"no saturation"}
    assert d.causes[0].blames == "scale of the weights" and d.recommendations
    kept = 0.0 if factor < 1 else 3.0
    assert d.surviving_directions == {6: 3.0, 10: kept, 12: kept}
    np.testing.assert_allclose(d.spectrum.log_singular_values[-1], 12 * log, rtol=1e-5)
    assert d.spectrum.axis == d.influence.axis == d.profile.axis == "layer"
    text = d.details()
    assert "12 layers, width 3" in text and "nats per layer" in text and "steps" not in text
    assert "nats per layer" in str(d) and len(str(d).splitlines()) <= 11
    assert repr(d).startswith(f"LayerDiagnosis({verdict}: the gradient changes by a factor of")


@pytest.mark.slow
def test_saturated_and_dead_layers():
    """One sigmoid-free cause: relu units that never fire, whose derivative is exactly 0."""
    import vanishing_jax as vj

    class Relu(eqx.Module):
        bias: jax.Array

        def __call__(self, x):
            return jax.nn.relu(x + self.bias)

    alive, dead = (Relu(jnp.full(3, b, float)) for b in (9.0, -99.0))
    layers = [alive] * 5 + [dead] + [alive] * 4
    d = vj.diagnose_layers(layers, batch(), loss=jnp.sum, batched=True)
    assert d.verdict == "vanishing" and d.rate == -np.inf and d.zero_share == 1.0
    assert d.horizon == 5 and d.log_growth[5] == -np.inf
    assert "no saturation" in {cause.name for cause in d.causes}
    assert "exactly 0 at the first layer in 100% of the samples" in d.reason
    assert d.spectrum is not None and np.all(np.isneginf(d.spectrum.log_singular_values[-1]))


@pytest.mark.slow
def test_a_batch_as_one_sample_is_probed():
    import vanishing_jax as vj

    d = vj.diagnose_layers(scales(0.9, depth=16), batch())
    assert d.widths == (15,) * 17 and d.num_samples == 1 and d.profile is None
    assert d.rate == pytest.approx(np.log(0.9)) and d.verdict == "healthy"
    assert d.gradient_source == "random output probe"
    short = vj.diagnose_layers(scales(0.9, depth=8), batch())
    assert short.verdict == "inconclusive" and "at least four samples" in short.reason


@pytest.mark.slow
def test_bottleneck_and_wide_activations(monkeypatch, tmp_path):
    import vanishing_jax as vj
    from vanishing_jax.diagnostics import _diagnose_layers

    rng = np.random.default_rng(2)
    shapes = [(3, 4), (4, 2), (2, 3)]
    layers = [Scale(jnp.asarray(rng.standard_normal(shape))) for shape in shapes]
    monkeypatch.setattr(_diagnose_layers, "_WIDEST", 3)
    d = vj.diagnose_layers(layers, batch(), loss=mean_square, batched=True)
    assert d.widths == (3, 4, 2, 3) and d.spectrum is None and d.influence is None
    assert "the widest activation has 4 components" in d.skipped["spectra"]
    assert "no layer returns what it takes" in d.skipped["skip around each layer"]
    assert d.verdict == "inconclusive" and "travels over 3 layers only" in d.reason
    assert "3 layers, widths 3-4-2-3" in d.details() and "spectra" in d.details()
    folder = d.save(tmp_path / "out")
    saved = json.loads((folder / "diagnosis.json").read_text())
    assert saved["widths"] == [3, 4, 2, 3] and saved["spectrum"] is None
    assert (folder / "diagnosis.txt").read_text() == f"{d.details()}\n"
    assert (folder / "diagnosis.png").stat().st_size > 10_000


def test_neutral_parameters_change_nothing():
    from vanishing_jax.diagnostics import _layer_interventions as module

    def layer(x):
        return jnp.tanh(2 * x) + jax.nn.relu(x)

    x = batch(1)[0]

    def modified(**parameters):
        return eqx.filter_jit(module.modified([layer], **parameters)[0])

    neutral, skip = modified(), modified(skip=1.0)
    np.testing.assert_allclose(neutral(x), layer(x), atol=1e-15)
    np.testing.assert_allclose(skip(x), x + layer(x))
    straight = modified(linear=True)
    np.testing.assert_allclose(straight(x), layer(x), atol=1e-15)
    np.testing.assert_allclose(jax.jacobian(straight)(x), 3 * np.eye(3))
    norm = modified(normalize=True)
    mean, std = np.mean(x), np.sqrt(np.var(x) + 1e-5)
    np.testing.assert_allclose(norm(x), layer((x - mean) / std), rtol=1e-12)


def test_errors():
    import vanishing_jax as vj

    layers, x = scales(0.5), batch()
    broken = [*layers[:3], Scale(layers[0].weight.at[0, 0].set(jnp.nan))]

    def cases():
        yield ValueError, "not zero; it is zero for every sample", {"loss": lambda y: 0 * y.sum()}
        yield ValueError, "loss.* one real number", {"loss": lambda y: y}
        yield ValueError, "leading axis of samples", {"x": jnp.ones(()), "batched": True}
        yield vj.NonFiniteError, "finite weights", {"layers": broken}
        yield TypeError, "a list of layers", {"layers": layers[0]}
        yield TypeError, r"layers\[0\] \(Scale\) failed", {"x": jnp.ones((5, 2))}

    for kind, message, change in cases():
        given = {"layers": layers, "x": x, **change}
        with helpers.as_a_user(), pytest.raises(kind, match=message):
            vj.diagnose_layers(**given)
