"""A diagnosis computes nothing to be printed, compiles little, and nothing again."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vanishing_jax as vj
from vanishing_jax import theory
from vanishing_jax.diagnostics import _diagnosis, _kept, _text

N, D = 3, 2
PARTS = (
    "profile", "spectrum", "lyapunov", "influence", "eigenvalues", "activations", "layers",
    "prediction",
)  # fmt: skip


@contextlib.contextmanager
def compilations():
    """Yield a list that gets an entry for each program that XLA compiles, or finds in a cache."""
    seen, on = [], [True]

    def listen(event, duration_secs, **kwargs):
        if on[0] and event == "/jax/core/compile/backend_compile_duration":
            seen.append(duration_secs)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield seen
    finally:
        on[0] = False  # JAX can only forget all listeners at once, those of others included


def network(seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    weights = scale * rng.standard_normal((N, N)), rng.standard_normal((N, D))
    return vj.FunctionCell(step, jax.device_put(tuple(w.astype(dtype()) for w in weights)))


def step(weights, state, input):
    return jnp.tanh(weights[0] @ state + weights[1] @ input)


def inputs(batch, time, seed=1):
    return np.random.default_rng(seed).standard_normal((batch, time, D)).astype(dtype())


def dtype():
    return jnp.result_type(float)


def zero():
    return np.zeros(N, dtype())


def last(states):
    return jnp.mean(states[:, -1])


def test_the_first_diagnosis_compiles_three_programs_and_the_next_one_that_of_the_loss():
    # A step of its own: nothing of it has been compiled before.
    cell = vj.FunctionCell(lambda w, s, x: step(w, s, x), network().params)
    with compilations() as first:
        d = vj.diagnose(cell, inputs(6, 20), loss=last, state0=zero())
    assert len(d.effects) == 4 and len(first) == 3  # run, loss, carry back
    with compilations() as again:
        vj.diagnose(cell, inputs(6, 20, seed=2), loss=last, state0=zero())
        other = vj.FunctionCell(cell.fn, network(3).params)
        vj.diagnose(other, inputs(6, 20), loss=last, state0=zero())
    assert len(again) == 0
    with compilations() as longer:  # within one bucket
        vj.diagnose(cell, inputs(6, 27), loss=last, state0=zero())
    assert len(longer) == 1  # the loss, which sees another shape
    with compilations() as without:
        for batch, time in ((5, 20), (5, 31), (6, 9)):
            lengths = np.full(batch, time - 1)
            vj.diagnose(cell, inputs(batch, time), state0=zero(), lengths=lengths)
    assert len(without) <= 2  # batches of five have buffers of their own


def test_interventions_on_weights_and_gates_share_the_programs():
    cell = vj.cells.LSTMCell(D, N, key=jax.random.key(0))
    with compilations() as seen:
        d = vj.diagnose(cell, inputs(6, 20), loss=lambda states: jnp.mean(states[0][:, -1]))
    assert len(d.effects) == 13
    assert len(seen) <= 4  # one more for the zeros of the initial state


def test_nothing_is_computed_before_it_is_read(monkeypatch):
    calls = []
    for home, name in (
        (_kept, "linearize"), (_kept, "log_singular_values"), (_kept, "activation_history"),
        (_kept, "_batch_profile"), (_diagnosis, "lyapunov_exponents"), (theory, "predict"),
        (_diagnosis, "influence_map"), (_diagnosis, "step_eigenvalues"),
    ):  # fmt: skip
        original = getattr(home, name)

        def counted(*args, _name=name, _original=original, **kwargs):
            calls.append(_name)
            return _original(*args, **kwargs)

        monkeypatch.setattr(home, name, counted)
    d = vj.diagnose(vj.cells.VanillaCell(D, N, key=jax.random.key(0)), inputs(6, 20), loss=last)
    assert calls == []
    with compilations() as printing:
        text = f"{d}{d!r}{d._repr_html_()}"
    assert calls == [] and len(printing) == 0 and d.verdict.upper() in text
    details = d.details()
    assert sorted(calls) == [
        "activation_history", "linearize", "log_singular_values", "lyapunov_exponents", "predict"
    ]  # fmt: skip
    assert d.details() == details and len(calls) == 5
    for name in PARTS:
        assert getattr(d, name) is getattr(d, name)
    assert len(calls) == 9 and calls.count("linearize") == 1


def test_what_is_printed_is_what_is_read():
    d = vj.diagnose(network(), inputs(6, 20), loss=last, state0=zero())
    spectrum = d.spectrum
    for lag, logs in d.kept.printed.logs.items():
        row = spectrum.log_singular_values[np.asarray(spectrum.lags).tolist().index(lag)]
        np.testing.assert_allclose(logs, row, atol=1e-6)
        assert d.surviving_directions[lag] == np.sum(row > np.log(1e-3))
        assert d.log10_condition[lag] == pytest.approx((row[0] - row[-1]) / np.log(10), abs=1e-6)
    mean, saturated = np.mean(d.activations.mean[0]), np.mean(d.activations.saturated[0])
    assert f"mean {mean:.2f}, {saturated:.0%} saturated" in d.details()


def test_of_a_large_state_the_leading_directions_are_printed(monkeypatch):
    monkeypatch.setattr(_kept, "ALL_VALUES_PRINTED", 2)
    monkeypatch.setattr(_kept, "_LEADING_PRINTED", 1)
    monkeypatch.setattr(_text, "ALL_VALUES_PRINTED", 2)
    d = vj.diagnose(network(scale=2.0), inputs(6, 20), state0=zero())
    top = d.spectrum.log_singular_values[-1, 0]
    assert d.kept.printed.logs[20][0] == pytest.approx(top, abs=0.1)
    text = d.details()
    assert "(of the 1 leading only)" in text and "exponents" not in text
    assert np.isnan(d.kept.printed.log10_condition[20])


def test_sequences_of_one_length_do_not_see_the_padding_of_their_buffers():
    """20 steps in a buffer of 32, five rows in a buffer of five, against six rows one by one."""
    whole = vj.diagnose(network(), inputs(6, 20), loss=last, state0=zero())
    for row in range(6):
        profile = vj.gradient_profile(
            network(), zero(), inputs(6, 20)[row], loss=lambda s: jnp.mean(s[-1])
        )
        norms = np.asarray(profile.log_norm, np.float64)
        expected = norms[::-1] - norms[-1]
        np.testing.assert_allclose(whole.log_gradient_by_lag[row], expected, rtol=1e-5, atol=1e-4)


def tanh_layers(seed):
    rng = np.random.default_rng(seed)
    arrays = [jnp.asarray(rng.standard_normal((N, N)), dtype()) for _ in range(10)]
    return [lambda x, W=W: 1.5 * jnp.tanh(W @ x) for W in arrays]


def test_ten_functions_with_weights_in_their_closures_are_one_layer():
    x = jnp.asarray(np.random.default_rng(5).standard_normal((6, N)), dtype())
    layers, others = tanh_layers(0), tanh_layers(1)
    with compilations() as seen:
        d = vj.diagnose_layers(layers, x, batched=True)
    assert len(seen) <= 3  # forward, beginning, back
    with compilations() as again:
        other = vj.diagnose_layers(others, x, batched=True)
        vj.diagnose_layers(layers[:8], x, batched=True)
    assert len(again) == 0 and other.rate != d.rate
    assert {"profile", "spectrum", "influence"}.isdisjoint(vars(d))
    assert d.spectrum is not None and d.profile is None
    assert d.spectrum.log_singular_values.shape == (10, N)


def test_equal_layers_of_a_network_are_one_layer():
    def network(depth):
        keys = jax.random.split(jax.random.key(0), depth)
        return vj.networks.RecurrentNetwork([vj.cells.GRUCell(N, N, key=k) for k in keys])

    x = np.random.default_rng(5).standard_normal((6, 20, N)).astype(dtype())
    loss = lambda output: jnp.mean(output[:, -1])  # one object: one program
    shallow, deep = network(2), network(5)
    vj.diagnose(shallow, x, loss=loss)
    with compilations() as seen:
        d = vj.diagnose(deep, x, loss=loss)
        vj.diagnose(deep, x[:, :20], loss=loss)
    assert len(d.parts) == 5 and len(seen) == 0
