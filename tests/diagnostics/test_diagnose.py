import json

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from .. import helpers

# One size for all, so that the programs of the spectra are compiled once.
N, T = 3, 24


@pytest.fixture
def vj():
    import vanishing_jax

    return vanishing_jax


def scaled(vj, factor):
    """Return s' = factor Q s + x with Q orthogonal: the rate is log factor exactly."""
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    return vj.FunctionCell(lambda W, s, x: W @ s + x, jnp.asarray(factor * Q))


def run(vj, cell, inputs=None, **options):
    inputs = 0.1 * jr.normal(jr.key(1), (6, T, 3)) if inputs is None else inputs
    if isinstance(cell, vj.FunctionCell):
        options.setdefault("state0", jnp.zeros(3))
    return vj.diagnose(cell, inputs, **options)


@pytest.mark.parametrize(
    ("factor", "verdict"), [(0.5, "vanishing"), (1.0, "healthy"), (2.0, "exploding")]
)
def test_linear_cell_has_a_known_rate_and_horizon(vj, factor, verdict):
    d = run(vj, scaled(vj, factor))
    assert d.verdict == verdict
    assert d.rate == pytest.approx(np.log(factor), abs=1e-5)
    assert d.rate_error < 1e-5
    np.testing.assert_allclose(
        d.log_gradient_by_lag, np.log(factor) * np.tile(d.lags, (6, 1)), atol=1e-4
    )
    assert d.horizon == (np.ceil(np.log(1e-3) / np.log(0.5)) if factor < 1 else np.inf)
    np.testing.assert_allclose(d.lyapunov.exponents, np.log(factor), atol=1e-6)
    assert d.surviving_directions[T] == (0 if factor < 1 else 3)
    assert d.num_sequences == 6 and d.num_steps == T and d.gradient_source.startswith("random")


def test_horizon_beyond_the_sequence_is_extrapolated(vj):
    d = run(vj, scaled(vj, 0.9))
    assert d.verdict == "healthy" and d.horizon_is_extrapolated
    assert d.horizon == pytest.approx(np.log(1e-3) / np.log(0.9), rel=1e-4)


def test_interval_that_crosses_the_threshold_is_inconclusive(vj):
    # Decay by a random factor per sequence, around e^-6.9 in all.
    cell = vj.FunctionCell(lambda p, s, x: s * jnp.exp(x[0]) + 0 * x, None)
    rates = jnp.linspace(-0.5, -0.08, 6)
    inputs = jnp.broadcast_to(rates[:, None, None], (6, T, 3))
    d = run(vj, cell, inputs, state0=jnp.ones(3))
    assert d.verdict == "inconclusive" and "crosses" in d.reason
    assert d.rate == pytest.approx(float(jnp.mean(rates)), abs=1e-5)
    spread = np.std(np.asarray(rates), ddof=1) / np.sqrt(6)
    assert d.rate_error == pytest.approx(2.5706 * spread, rel=1e-3)  # Student's t, 5 d.o.f.


def test_loss_gradient_is_carried_from_the_last_step_that_has_one(vj):
    cell = scaled(vj, 0.5)
    d = run(vj, cell, loss=lambda states: jnp.sum(states[:, 10] + 0.1 * states[:, 4]))
    assert d.gradient_source == "loss gradient"
    assert (
        np.isnan(d.log_gradient_by_lag[:, 11:]).all()
        and np.isfinite(d.log_gradient_by_lag[:, :11]).all()
    )
    assert d.rate == pytest.approx(np.log(0.5), abs=1e-5)
    assert d.profile is not None and d.profile.log_norm.shape == (6, T + 1)


def test_one_sequence_and_a_single_loss(vj):
    cell, inputs = scaled(vj, 0.5), 0.1 * jr.normal(jr.key(1), (T, 3))
    d = run(vj, cell, inputs, loss=lambda states: jnp.sum(states[-1]), batched=False)
    assert d.num_sequences == 1 and d.verdict == "vanishing"
    assert run(vj, cell, inputs, batched=False).num_sequences == 1


def test_exactly_zero_gradient(vj):
    cell = vj.FunctionCell(lambda p, s, x: jax.nn.relu(s - 0.4) + 0 * x, None)
    d = run(vj, cell, state0=jnp.ones(3))
    assert d.verdict == "vanishing" and d.rate == -np.inf and d.horizon == 1
    assert d.zero_share == 1 and "exactly 0" in d.reason and "exactly 0" in str(d)


@pytest.mark.parametrize(
    ("dead", "verdict"), [(2, "inconclusive"), (3, "inconclusive"), (4, "vanishing")]
)
def test_sequences_without_gradient_are_not_forgotten(vj, dead, verdict):
    cell = vj.FunctionCell(lambda p, s, x: s * x, None)
    inputs = jnp.ones((6, T, 3)).at[:dead, 12].set(0)
    d = run(vj, cell, inputs, state0=jnp.ones(3))
    assert d.zero_share == pytest.approx(dead / 6) and d.verdict == verdict
    assert f"{dead / 6:.0%} of the sequences" in d.reason
    assert d.horizon == (12 if dead > 3 else np.inf)


def test_few_sequences_without_gradient_are_mentioned(vj):
    cell = vj.FunctionCell(lambda p, s, x: s * x, None)
    inputs = jnp.ones((40, T, 3)).at[0, 12].set(0)
    d = run(vj, cell, inputs, state0=jnp.ones(3))
    assert d.verdict == "healthy" and "2% of the sequences" in d.reason


def test_dip_and_recovery_is_not_healthy(vj):
    cell = vj.FunctionCell(lambda p, s, x: s * x, None)
    noise = jnp.exp(0.01 * jr.normal(jr.key(0), (6, T, 1)))
    inputs = (
        noise * jnp.where(jnp.arange(T) < T // 2, 4.0, 0.25)[None, :, None] * jnp.ones((1, 1, 3))
    )
    d = run(vj, cell, inputs, state0=jnp.ones(3))
    assert d.verdict == "inconclusive" and "dips" in d.reason


def test_probes_of_one_sequence_are_no_independent_samples(vj):
    cell = vj.cells.VanillaCell(3, N, key=jr.key(3))
    sequences = jr.normal(jr.key(5), (6, T, 3))
    many = vj.diagnose(cell, sequences)
    single = vj.diagnose(cell, sequences[0])
    assert single.num_sequences == 1 and single.log_gradient_by_lag.shape == (1, T + 1)
    assert single.rate_error > many.rate_error
    assert abs(single.rate - many.rate) < 3 * single.rate_error


def test_half_precision_is_measured_as_float32(vj):
    rates = []
    for dtype in (jnp.float16, jnp.float32):
        cell = vj.FunctionCell(lambda w, s, x: jnp.tanh(w * s + x), jnp.full(N, 0.7, dtype))
        d = vj.diagnose(cell, jnp.zeros((6, T, N), dtype), state0=jnp.zeros(N, dtype))
        rates.append(d.rate)
        assert d.dtype == jnp.dtype(dtype).name
    assert rates[0] == pytest.approx(np.log(0.7), abs=2e-3) == rates[1]


def test_exploding_network_is_not_cured_by_vanishing(vj):
    # Chaotic for any small input: few maps of three units are.
    W = np.array([[-1.8, -3.6, -4.3], [-2.2, -0.7, 0.2], [4.2, 0.4, -0.9]])
    cell = vj.cells.VanillaCell(3, N, key=jr.key(0))
    cell = cell.map_recurrent(lambda w: jnp.asarray(W.astype(w.dtype)))
    d = vj.diagnose(cell, 0.1 * jr.normal(jr.key(1), (6, 60, 3)))
    assert d.verdict == "exploding" and d.causes
    for effect in [*d.causes, *d.recommendations]:
        assert abs(effect.rate) < d.rate
    assert all(e.rate * 60 > np.log(1e-3) for e in d.recommendations)


def test_short_sequences_are_inconclusive(vj):
    from vanishing_jax.diagnostics import _gradient_rate, _judgement

    halve = vj.FunctionCell(lambda p, s, x: 0.5 * s + x, None)
    d = vj.diagnose(halve, jnp.zeros((6, 1, 1)), state0=jnp.zeros(1))
    assert d.verdict == "inconclusive" and "one step only" in d.reason and d.notes == []
    assert d.spectrum.log_singular_values[-1] == pytest.approx(np.log(0.5), abs=1e-6)
    measured = _gradient_rate.GradientRate(-2.0, 0.1, 4.0, False, 0.0)
    found, reason = _judgement.verdict(measured, 5)
    assert found == "inconclusive" and "5 steps" in reason


def test_causes_of_a_saturated_network(vj):
    cell = vj.cells.VanillaCell(3, N, key=jr.key(0))
    cell = eqx.tree_at(lambda c: c.bias, cell, jnp.full(N, 3.0).at[::2].set(-3.0))
    d = vj.diagnose(cell, 0.1 * jr.normal(jr.key(1), (6, T, 3)))
    assert d.verdict == "vanishing"
    names = [effect.name for effect in d.causes]
    assert names[0] == "activation linearized"
    assert "input removed" not in names
    linear = next(e for e in d.effects if e.name == "activation linearized")
    W = np.asarray(cell.weight_hh, np.float64)
    chain = vj.JacobianChain(np.stack([W] * T))
    bound = vj.log_singular_values(chain).log_singular_values[0] / T
    assert d.rate < linear.rate <= bound + 1e-6
    assert d.recommendations and all(e.kind == "remedy" for e in d.recommendations)
    horizons = [e.horizon for e in d.recommendations]
    assert horizons == sorted(horizons, reverse=True) and min(horizons) > d.horizon


def test_orthogonal_intervention_is_what_it_says(vj):
    cell = vj.cells.VanillaCell(3, N, activation="identity", key=jr.key(0))
    d = vj.diagnose(cell, 0.1 * jr.normal(jr.key(1), (6, T, 3)))
    effect = next(e for e in d.effects if e.name == "orthogonal recurrent weights")
    assert effect.rate == pytest.approx(0, abs=1e-5)
    assert d.skipped["activation linearized"].startswith("no activation")


def test_forget_gate_of_an_lstm_is_blamed_and_raised(vj):
    cell = vj.cells.LSTMCell(3, N, forget_bias=-2.0, key=jr.key(0))
    d = vj.diagnose(cell, 0.1 * jr.normal(jr.key(1), (6, T, 3)))
    assert d.verdict == "vanishing"
    assert "forget gate too closed" in [effect.blames for effect in d.causes]
    raised = vj.cells.LSTMCell(3, N, forget_bias=0.0, key=jr.key(0))
    expected = vj.diagnose(raised, 0.1 * jr.normal(jr.key(1), (6, T, 3))).rate
    effect = next(e for e in d.effects if e.name == "forget gate bias +2")
    assert effect.rate == pytest.approx(expected, rel=1e-4)


def test_any_framework_and_function(vj):
    inputs = 0.1 * jr.normal(jr.key(1), (4, T, 3))
    module = eqx.nn.GRUCell(3, N, key=jr.key(0))
    d = vj.diagnose(module, inputs)
    assert {"reset gate bias +2", "update gate bias -2"} <= {e.name for e in d.effects}
    assert d.state_size == N
    state0 = {"h": jnp.zeros(3), "count": jnp.asarray(0)}
    step = lambda w, s, x: {"h": jnp.tanh(w * s["h"] + x), "count": s["count"] + 1}
    d = vj.diagnose(vj.FunctionCell(step, jnp.asarray(0.3)), inputs, state0=state0)
    assert d.verdict == "vanishing" and "recurrent" in d.skipped["orthogonal recurrent weights"]


def test_prints_converts_plots_and_saves(vj, tmp_path):
    d = vj.diagnose(vj.cells.VanillaCell(1, N, key=jr.key(0)), jr.normal(jr.key(1), (5, T, 1)))
    text, details = str(d), d.details()
    for word in (d.verdict.upper(), "rate", "horizon", "causes", "try", ".details()"):
        assert word in text
    assert len(text.splitlines()) <= 11 and "lag 10" not in text
    assert "tanh" in details and "lag 10" in details
    assert max(map(len, f"{text}\n{details}".splitlines())) < 130
    loaded = json.loads(json.dumps(d.to_dict(), allow_nan=False))
    assert loaded["verdict"] == d.verdict and len(loaded["lags"]) == T + 1
    assert len(d.plot().axes) >= 4
    folder = d.save(tmp_path / "run")
    assert json.loads((folder / "diagnosis.json").read_text()) == loaded
    assert (folder / "report.html").stat().st_size > 10_000 and list(folder.glob("*.png"))
    assert not list(folder.glob(".*"))


class TestBadInput:
    def test_overflowing_states(self, vj):
        cell = vj.FunctionCell(lambda p, s, x: 1e30 * s**3 + x, None)
        with pytest.raises(vj.NonFiniteError, match="states.*first at step.*states themselves"):
            run(vj, cell, state0=jnp.ones(3))

    def test_nan_gradient(self, vj):
        with pytest.raises(vj.NonFiniteError, match="sequence . has a NaN"):
            run(vj, scaled(vj, 0.5), loss=lambda s: jnp.sqrt(-jnp.sum(s[:, -1] ** 2)))

    @pytest.mark.parametrize(
        "loss", [lambda s: s[:, -1], lambda s: (jnp.sum(s), 0), lambda s: jnp.argmax(s), 3.0]
    )
    def test_loss_that_is_no_number(self, vj, loss):
        with helpers.as_a_user(), pytest.raises((TypeError, ValueError), match="expected loss"):
            run(vj, scaled(vj, 0.5), loss=loss)

    def test_error_that_has_nothing_to_do_with_the_inputs_comes_once(self, vj):
        cell = vj.FunctionCell(lambda p, s, x: 1 / 0, None)
        with pytest.raises(TypeError, match="division by zero"):
            run(vj, cell, batched=True)
        with pytest.raises(ValueError, match="length 0|no step"):
            run(vj, scaled(vj, 0.5), jnp.zeros((4, 0, 3)))

    def test_shapes_that_fit_neither_reading(self, vj):
        cell = vj.cells.VanillaCell(2, 4, key=jr.key(0))
        with pytest.raises(ValueError, match="As one sequence"):
            vj.diagnose(cell, jnp.zeros((4, T, 3)))
        with pytest.raises(ValueError, match="2"):
            vj.diagnose(cell, jnp.zeros((4, T, 3)), batched=True)

    def test_shapes_that_fit_both_readings(self, vj):
        cell = vj.FunctionCell(lambda p, s, x: 0.5 * s + jnp.sum(x), None)
        inputs = jnp.zeros((4, T, 3))
        with pytest.raises(ValueError, match="batched=False"):
            run(vj, cell, inputs)
        assert run(vj, cell, inputs, batched=True).num_steps == T

    def test_loss_without_gradient(self, vj):
        with pytest.raises(ValueError, match="gradient .* is not zero"):
            run(vj, scaled(vj, 0.5), loss=lambda states: jnp.sum(0.0 * states))


def test_theory_stands_beside_the_rate(vj):
    cell = vj.cells.VanillaCell(3, N, key=jr.key(3))
    inputs = jr.normal(jr.key(5), (6, T, 3))
    d = vj.diagnose(cell, inputs)
    expected = vj.theory.predict(cell, inputs)
    assert d.prediction.top_exponent == expected.top_exponent
    assert d.prediction.standard_deviation < expected.standard_deviation  # 6 sequences, not 4
    z = d.prediction.z_score(d.rate)
    assert abs(z) < 4 and f"z = {z:+.1f}; fails: the network is wide (n = 3)" in d.details()
    json.dumps(d.to_dict())
    trained = cell.map_recurrent(lambda w: jnp.eye(N, dtype=w.dtype))
    assert (
        "no prediction: the recurrent weights do not look random"
        in vj.diagnose(trained, inputs).details()
    )
    assert "theory" not in run(vj, scaled(vj, 0.5)).details()
