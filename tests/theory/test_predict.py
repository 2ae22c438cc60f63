import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vanishing_jax as vj
from vanishing_jax import theory
from vanishing_jax.theory._slopes import host_activation
from vanishing_jax.theory.mean_field._driven import driven_mean_field
from vanishing_jax.theory.prediction import _predict, _redrawn

from .. import tables

N, T, D = 24, 20, 4


def plain(W, U, activation="tanh") -> Any:
    """Return a plain cell with these weights, drawn by nothing."""

    def fixed(matrix):
        return lambda key, shape, dtype: jnp.asarray(matrix.T, dtype)

    return vj.cells.VanillaCell(
        U.shape[1], len(W), activation=activation, recurrent_initializer=fixed(W),
        input_initializer=fixed(U), key=jax.random.key(0),
    )  # fmt: skip


def draw(rng, gain, orthogonal=False, n=N):
    W = rng.normal(size=(n, n)) / np.sqrt(n)
    if orthogonal:
        Q, R = np.linalg.qr(W)
        W = Q * np.sign(np.diagonal(R))
    return gain * W, rng.normal(size=(n, D)) / np.sqrt(D)


def normalized(a, cell):
    """Return LN(a) and its Jacobian, of gain 1, by the textbook formula."""
    n, sigma = len(a), np.sqrt(a.var() + cell.epsilon)
    x = (a - a.mean()) / sigma
    return x, (np.eye(n) - np.ones((n, n)) / n - np.outer(x, x) / n) / sigma


def measured(cell, inputs):
    """Return the mean rate of random gradients, step by step with explicit Jacobians."""
    found: Any = _predict._plain(cell)
    plain_cell, keep, scale = found
    W, U = np.asarray(plain_cell.weight_hh, float), np.asarray(plain_cell.weight_xh, float)
    rng, rates = np.random.default_rng(9), []
    for sequence in inputs:
        h, product = np.zeros(len(W)), np.eye(len(W))
        for x in sequence:
            a, through = W @ h + U @ x, np.eye(len(W))
            if isinstance(cell, vj.cells.LayerNormCell):
                a, through = normalized(a, cell) if cell.placement == "joint" else (
                    normalized(W @ h, cell)[0] + normalized(U @ x, cell)[0],
                    normalized(W @ h, cell)[1],
                )  # fmt: skip
            slope = 1 - np.tanh(a) ** 2
            h = keep * h + scale * np.tanh(a)
            product = (keep * np.eye(len(W)) + scale * slope[:, None] * (through @ W)) @ product
        v = rng.normal(size=len(W))
        rates.append(np.log(np.linalg.norm(v @ product) / np.linalg.norm(v)) / len(sequence))
    return np.mean(rates)


WRAPPERS = {
    "plain": lambda cell: cell,
    "leaky": lambda cell: vj.cells.LeakyCell(cell, 0.3),
    "residual": lambda cell: vj.cells.ResidualCell(cell, 0.1),
    "joint": lambda cell: vj.cells.LayerNormCell(cell),
    "separate": lambda cell: vj.cells.LayerNormCell(cell, placement="separate"),
}


@pytest.mark.parametrize(
    "kind, gain, orthogonal",
    [
        ("plain", 1.0, False),
        ("plain", 1.5, True),
        ("leaky", 1.5, False),
        ("residual", 1.0, False),
        ("joint", 1.0, False),
        ("separate", 1.0, False),
    ],
)
def test_scores_of_random_networks_are_standard_normal(kind, gain, orthogonal):
    rng, scores, gaps = np.random.default_rng(0), [], []
    for _ in range(16):
        cell = WRAPPERS[kind](plain(*draw(rng, gain, orthogonal)))
        inputs = rng.normal(size=(2, T, D))
        prediction: Any = theory.predict(cell, inputs)
        assert prediction.num_draws == 32 and prediction.theory is not None
        assert prediction.weights.name == ("orthogonal" if orthogonal else "gaussian")
        scores.append(prediction.z_score(measured(cell, inputs)))
        gaps.append(prediction.expected_rate - prediction.top_exponent)
    assert abs(np.mean(scores)) < 0.8 and 0.5 < np.std(scores) < 1.6
    # From n -> infinity to n = 24. At h = 0 a separate norm has slope epsilon^-1/2, in one step.
    first = np.log(1e-5) / 2 / T if kind == "separate" else 0.0
    assert abs(np.mean(gaps) + first) < 0.1


def batch_normalized(W, U, inputs, gain, bias=None):
    """Return a cell with the population statistics of these inputs, and its measured rate."""
    batch, steps, n = *inputs.shape[:2], len(W)
    cell = vj.cells.BatchNormCell(plain(W, U), num_steps=steps, gain=gain)
    tables = {site: np.zeros((2, steps, n)) for site in ("recurrent", "input")}
    epsilon, h = cell.epsilon, np.zeros((batch, n))
    product = np.broadcast_to(np.eye(n), (batch, n, n))
    for t in range(steps):
        parts = {"recurrent": h @ W.T, "input": inputs[:, t] @ U.T}
        for site, values in parts.items():
            tables[site][:, t] = values.mean(axis=0), values.var(axis=0)
        scaled = {
            site: gain * (values - values.mean(axis=0)) / np.sqrt(values.var(axis=0) + epsilon)
            for site, values in parts.items()
        }
        h = np.tanh(scaled["recurrent"] + scaled["input"])
        through = gain / np.sqrt(parts["recurrent"].var(axis=0) + epsilon)
        product = ((1 - h**2) * through)[:, :, None] * (W @ product)
    v = np.random.default_rng(9).normal(size=(batch, n))
    pulled = np.einsum("bi,bij->bj", v, product)
    logs = np.log(np.linalg.norm(pulled, axis=1) / np.linalg.norm(v, axis=1))
    cell = eqx.tree_at(
        lambda c: (c.statistics.mean, c.statistics.variance), cell,
        tuple({k: jnp.asarray(x[i], jnp.float32) for k, x in tables.items()} for i in (0, 1)),
    )  # fmt: skip
    return cell, float(np.mean(logs) / steps)


def test_scores_of_batch_normalized_networks_are_standard_normal():
    rng, scores = np.random.default_rng(5), []
    for _ in range(10):
        W, U = draw(rng, 1.0)[0], rng.normal(size=(N, N)) / np.sqrt(N)
        inputs = rng.normal(size=(32, T, N))
        cell, found = batch_normalized(W, U, inputs, 0.5)
        prediction: Any = theory.predict(cell, inputs)
        assert not prediction.failed and prediction.num_draws == 32
        scores.append(prediction.z_score(found))
    exponent: Any = theory.batch_norm_exponent(gain=0.5)
    assert prediction.top_exponent == pytest.approx(exponent, abs=0.01)
    assert abs(np.mean(scores)) < 0.9 and 0.4 < np.std(scores) < 1.7
    assert theory.predict(cell, inputs[:8]).num_draws == 0  # too few to normalize over


def test_batch_statistics_of_other_inputs_get_no_prediction():
    rng = np.random.default_rng(5)
    W, U = draw(rng, 1.0)
    inputs = rng.normal(size=(16, T, D))
    fresh = vj.cells.BatchNormCell(plain(W, U), num_steps=T)
    prediction = theory.predict(fresh, inputs)
    assert prediction.theory is None and "estimate_statistics" in prediction.reason
    assert prediction.weights is not None and prediction.weights.name == "gaussian"
    # One component of input: units that hear little of it vary less, which the theory excludes.
    cell, _ = batch_normalized(W, U[:, :1] * np.logspace(-3, 0, N)[:, None], inputs[..., :1], 0.1)
    (failed,) = theory.predict(cell, inputs[..., :1]).failed
    assert failed.name == "W h varies alike in all units"


def test_batch_statistics_are_those_of_the_step_that_a_state_has_reached():
    rng = np.random.default_rng(5)
    W, U = draw(rng, 1.0)
    inputs = rng.normal(size=(16, T, D))
    cell, _ = batch_normalized(W, U, inputs, 0.5)
    mean, variance = (x["recurrent"] for x in (cell.statistics.mean, cell.statistics.variance))
    last = variance[1:].mean(axis=0)  # over time, as steps beyond the last share its statistics
    cell = eqx.tree_at(
        lambda c: (c.statistics.mean["recurrent"], c.statistics.variance["recurrent"]), cell,
        (0 * mean, jnp.full_like(variance, 100.0).at[-1].set(last)),
    )  # fmt: skip
    assert theory.predict(cell, inputs).theory is None
    late = (np.zeros(N), np.int32(T))  # steps beyond use the last row
    assert theory.predict(cell, inputs, state0=late).theory is not None


def test_normalized_inputs_leave_an_ordinary_network():
    rng = np.random.default_rng(5)
    W, U = draw(rng, 1.0)
    inputs = rng.normal(size=(2, T, D))
    cell = vj.cells.BatchNormCell(plain(W, U), num_steps=T, placement="input", gain=0.7)
    mean, variance = rng.normal(size=(T, N)), rng.uniform(0.5, 2.0, size=(T, N))
    cell = eqx.tree_at(
        lambda c: (c.statistics.mean["input"], c.statistics.variance["input"]), cell,
        (jnp.asarray(mean), jnp.asarray(variance)),
    )  # fmt: skip
    drives = 0.7 * (inputs @ U.T - mean) / np.sqrt(variance + cell.epsilon)
    gain = theory.weight_law(W).gain
    paths = [driven_mean_field(d, activation="tanh", gain=gain) for d in drives]
    expected = np.mean([path.log_growth for path in paths])
    assert theory.predict(cell, inputs).top_exponent == pytest.approx(expected, abs=1e-5)


def test_gated_cells_name_what_is_known_of_one_step():
    def reason(kind):  # of a cell whose weights nobody draws
        return theory.predict(eqx.filter_eval_shape(kind, 2, 3, key=jax.random.key(0)), 1.0).reason

    for kind, function in (
        (vj.cells.LSTMCell, "lstm_one_step_moments"),
        (eqx.nn.GRUCell, "gru_one_step_moment"),
    ):
        assert reason(kind).endswith(f"{kind.__name__}; one step: vj.theory.{function}")
        assert callable(getattr(theory, function))
    assert "one step" not in reason(vj.cells.MinGRUCell)


def test_layer_norm_of_the_input_is_a_plain_cell_of_normalized_inputs():
    rng = np.random.default_rng(3)
    W, U = draw(rng, 1.0)
    x = rng.normal(size=(2, T, D)) * 10
    normed = x @ np.asarray(U).T
    normed = normed - normed.mean(-1, keepdims=True)
    normed = normed / np.sqrt(np.mean(normed**2, -1, keepdims=True) + 1e-5)
    found = theory.predict(vj.cells.LayerNormCell(plain(W, U), placement="input"), x)
    expected = theory.predict(plain(W, np.eye(len(W))), normed)
    np.testing.assert_allclose(found.top_exponent, expected.top_exponent, rtol=1e-5)
    np.testing.assert_allclose(found.expected_rate, expected.expected_rate, rtol=1e-5)
    assert found.theory is not None and "along the inputs" in found.theory


def test_a_wide_leaky_network_has_the_predicted_exponent():
    rng = np.random.default_rng(3)
    inside = plain(*draw(rng, 1.5, n=150))
    cell = vj.cells.LeakyCell(inside, 0.2)
    inputs = np.sqrt(0.3) * rng.normal(size=(2, 100, D))
    network = _predict._network(inside, inputs, None, 0.8, 0.2)
    gain = theory.weight_law(inside.weight_hh).gain
    W = _redrawn.draw_weights("gaussian", gain, 150, 6, rng)
    found = _redrawn.backward_rates(network, W, rng).mean()
    assert theory.predict(cell, inputs).top_exponent == pytest.approx(found, abs=0.03)


def test_redrawn_rates_of_the_own_weights_are_the_measured_ones():
    rng = np.random.default_rng(1)
    for kind in ("plain", "leaky", "residual"):
        cell = WRAPPERS[kind](plain(*draw(rng, 1.2)))
        inputs = rng.normal(size=(2, T, D))
        found: Any = _predict._plain(cell)
        inner, keep, scale = found
        network = _predict._network(inner, inputs, None, keep, scale)
        W = np.asarray(inner.weight_hh, float)
        rates = [_redrawn.backward_rates(network, W[None], rng).mean() for _ in range(12)]
        # Over random start vectors; the reference has its own.
        assert np.mean(rates) == pytest.approx(measured(cell, inputs), abs=0.06)


def test_trained_like_and_structured_weights_get_no_prediction():
    W, U = draw(np.random.default_rng(0), 1.0)
    prediction = theory.predict(plain(W + W.T, U), 1.0)
    assert prediction.theory is None and "do not look random" in prediction.reason
    assert math.isnan(prediction.z_score(-0.1)) and math.isnan(prediction.top_exponent)
    assert len(prediction.failed) == 1 and "FAILS" in str(prediction)
    identity = theory.predict(plain(np.eye(N), U, "relu"), 1.0)
    assert "multiple of the identity" in identity.reason and "theory    none" in str(identity)


def test_cells_without_a_theory_say_so():
    cell = tables.CELLS["FunctionCell"]()[0]
    for other, name in (
        (cell, "FunctionCell"),
        (vj.cells.LeakyCell(cell, 0.3), "LeakyCell of Fun"),
    ):
        assert not _predict.can_predict(other)
        prediction = theory.predict(other, 1.0)
        assert f"none here for {name}" in prediction.reason and prediction.weights is None


def test_text_numbers_and_failed_width():
    W, U = draw(np.random.default_rng(0), 1.0, n=8)
    prediction: Any = theory.predict(plain(W, U), np.zeros((5, D)), num_sequences=1)
    text = str(prediction)
    assert "Gaussian weights of gain" in text and "FAILS     the network is wide: n = 8" in text
    assert f"{prediction.expected_rate:+.4f} ± {prediction.standard_deviation:.4f} at n = 8" in text
    assert prediction.horizon == pytest.approx(math.log(1e-3) / prediction.top_exponent)
    assert prediction.exponents.shape == (8,) and np.all(np.diff(prediction.exponents) < 0)
    with pytest.raises(ValueError, match="time, 4.*got shape \\(3, 5\\)"):
        theory.predict(plain(W, U), np.zeros((3, 5)))


def test_large_networks_get_fewer_draws_or_no_band():
    network = _redrawn.PlainNetwork(
        np.zeros((4, 100, 64)), np.zeros((4, 64)), host_activation("tanh")
    )
    assert _redrawn.num_draws(network, 32) == 32
    long = network._replace(drives=np.zeros((4, 2000, 64)))
    assert 8 <= _redrawn.num_draws(long, 32) < 32
    assert _redrawn.num_draws(network._replace(drives=np.zeros((4, 20_000, 64))), 32) == 0
    assert all(map(math.isnan, _redrawn.mean_and_scatter(np.zeros((0, 1)), 3)))
