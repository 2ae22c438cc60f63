"""Linear recurrences that are diagonal in the state, against independent NumPy formulas."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vanishing_jax as vj
from vanishing_jax import cells
from vanishing_jax.cells._diagonal import AbstractDiagonalCell
from vanishing_jax.spectra import _decoupled, _lyapunov

from .. import helpers

D, N, STEPS = 2, 3, 60
EPS = float(jnp.finfo(jnp.result_type(float)).eps)


def _log_sigmoid(x):
    return -np.logaddexp(0, -x)


# Each reference returns ln a and b of one step, from weights by name and the input, in float64.


def _lru(w, x):
    gain = (w["weight_xh"][:N] + 1j * w["weight_xh"][N:]) @ x
    return -np.exp(w["nu_log"]) + 1j * np.exp(w["theta_log"]), np.exp(w["gamma_log"]) * gain


def _zoh(w, x):
    a = -np.exp(w["log_decay"]) + 1j * w["frequency"]
    log = np.exp(w["log_step"])[:, None] * a
    return log.ravel(), ((np.exp(log) - 1) / a * x[:, None]).ravel()


def _bilinear(w, x):
    step = np.exp(w["log_step"])[:, None]
    half = step * (-np.exp(w["log_decay"]) + 1j * w["frequency"]) / 2
    return np.log((1 + half) / (1 - half)).ravel(), (step / (1 - half) * x[:, None]).ravel()


def _selective(w, x):
    step = np.logaddexp(0, w["weight_step"] @ x + w["bias_step"])
    b = np.outer(step * x, w["weight_xh"] @ x)
    return (-step[:, None] * np.exp(w["log_decay"])).ravel(), b.ravel()


def _min_gru(w, x):
    z, candidate = np.split(w["weight_xh"] @ x + w["bias"], 2)
    return _log_sigmoid(-z), np.exp(_log_sigmoid(z)) * candidate


def _min_lstm(w, x):
    f, i, candidate = np.split(w["weight_xh"] @ x + w["bias"], 3)
    f, i = _log_sigmoid(f), _log_sigmoid(i)
    both = np.logaddexp(f, i)
    return f - both, np.exp(i - both) * candidate


# name -> (constructor with its options, reference, size of the state, gate names)
CELLS = {
    "lru": (lambda **o: cells.LRUCell(D, N, **o), _lru, N, ()),
    "s4d": (lambda **o: cells.S4DCell(D, N, **o), _zoh, D * N, ()),
    "s4d, bilinear": (
        lambda **o: cells.S4DCell(D, N, discretization="bilinear", **o), _bilinear, D * N, (),
    ),
    "selective": (lambda **o: cells.SelectiveCell(D, N, **o), _selective, D * N, ()),
    "minGRU": (lambda **o: cells.MinGRUCell(D, N, **o), _min_gru, N, ("keep", "update")),
    "minLSTM": (lambda **o: cells.MinLSTMCell(D, N, **o), _min_lstm, N, ("forget", "input")),
}  # fmt: skip


def make(name, **options):
    """Return the cell with all weights moved, so that none has the value of a fresh one."""
    cell = CELLS[name][0](key=jax.random.key(1), **options)
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda x: x + jnp.asarray(0.3 * rng.standard_normal(x.shape), x.dtype), cell
    )


def drawn_inputs(scale=1.0, *shape):
    x = scale * np.random.default_rng(5).standard_normal((*shape, STEPS, D))
    return jnp.asarray(x, jnp.result_type(float))


def run(cell, inputs, **options):
    return vj.linearize(cell, vj.rollout(cell, cell.initial_state(), inputs), **options)


def references(name, cell, inputs):
    """Return ln a and b of every step, in float64 from the weights and inputs as they are."""
    weights = {
        field: np.asarray(value, np.float64) for field, value in vars(cell).items()
        if eqx.is_array(value)
    }  # fmt: skip
    found = [CELLS[name][1](weights, x) for x in np.asarray(inputs, np.float64)]
    return tuple(np.stack(part) for part in zip(*found, strict=True))


def expected_logs(name, log_a, steps=STEPS):
    """Return the closed form: sums of ln |a|, descending; those of complex numbers twice."""
    sums = np.sum(log_a[:steps].real, axis=0)
    return np.sort(np.repeat(sums, 2 if np.iscomplexobj(log_a) else 1))[::-1]


@pytest.mark.parametrize("name", CELLS)
def test_states_equal_the_formulas_by_scan_and_by_parallel_scan(name):
    _, _, size, gates = CELLS[name]
    cell, inputs = make(name), drawn_inputs()
    log_a, b = references(name, cell, inputs)
    start = cell.initial_state() + jnp.linspace(0.5, 1, size).astype(cell.initial_state().dtype)
    h, states = np.asarray(start), [np.asarray(start)]
    for log, now in zip(log_a, b, strict=True):
        h = np.exp(log) * h + now
        states.append(h)
    for method in ("scan", "associative"):
        found = vj.rollout(cell, start, inputs, method=method).states
        assert found.dtype == start.dtype and found.shape == (STEPS + 1, size)
        np.testing.assert_allclose(found, states, atol=STEPS * 4 * EPS * np.max(np.abs(states)))
    assert (cell.state_names, cell.gate_names) == (("h",), gates)
    assert cell.map_recurrent(lambda w: w) is None
    np.testing.assert_array_equal(cell.initial_state(), 0)


@pytest.mark.parametrize("name", CELLS)
def test_spectra_take_the_closed_form(name, monkeypatch):
    cell, inputs = make(name), drawn_inputs()
    expected = expected_logs(name, references(name, cell, inputs)[0])

    def fail(*args, **options):
        raise AssertionError("the general path")

    monkeypatch.setattr(_decoupled, "walk_chain", fail)
    monkeypatch.setattr(_lyapunov, "walk_chain", fail)
    pair = 2 if jnp.iscomplexobj(cell.initial_state()) else 1
    single = STEPS * 2 * EPS + EPS * np.abs(expected)
    for dense in (True, False):
        chain = run(cell, inputs, dense=dense)
        blocks = vj.spectra.decoupled_blocks(chain)
        assert {len(block) for block in blocks} == {pair}
        for direction in ("forward", "backward"):
            found = vj.log_singular_values(chain, direction=direction)
            error = np.abs(found.log_singular_values - expected)
            np.testing.assert_array_less(error, found.error_bound + single)
        rates = vj.lyapunov_exponents(chain)
        assert np.all(np.abs(rates.exponents - expected / STEPS) <= 3 * single / STEPS)
    # What the weights mean, whatever their dtype.
    chain = run(cell, inputs, precision="float64")
    found = vj.log_singular_values(chain).log_singular_values
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=STEPS * 1e-15)


@pytest.mark.float64_anyway
@pytest.mark.parametrize("name", ["lru", "s4d, bilinear", "selective", "minLSTM"])
def test_closed_form_against_the_general_path_and_high_precision(name):
    from ..spectra.test_decoupled import whole

    cell = make(name)
    chain = run(cell, drawn_inputs())
    expected = expected_logs(name, references(name, cell, drawn_inputs())[0])
    exact = helpers.exact_log_singular_values(np.asarray(chain.jacobians), 300)
    np.testing.assert_allclose(expected, exact, atol=1e-12)
    np.testing.assert_allclose(whole(chain, [STEPS])[0], exact, atol=1e-9)
    product = np.linalg.multi_dot(np.asarray(chain.jacobians)[4::-1])
    brute = np.log(np.linalg.svd(product, compute_uv=False))
    np.testing.assert_allclose(vj.log_singular_values(chain, window=(0, 5)).log_singular_values,
                               brute, atol=1e-12)  # fmt: skip


@pytest.mark.parametrize("name", ["lru", "selective", "minGRU", "minLSTM"])
def test_far_below_the_range_of_floats(name):
    # Gates nearly shut on the state, or a fast decay: exp(-20) to exp(-80) at every step.
    cell, inputs = make(name), drawn_inputs()
    moved = {"lru": ("nu_log", 4.0), "selective": ("bias_step", 14.0), "minGRU": ("bias", 60.0)}
    field, by = moved.get(name, ("bias", 60.0))
    value = getattr(cell, field)
    if name == "minLSTM":  # its input gate open, its forget gate shut
        by = jnp.concatenate([jnp.full(N, -by), jnp.zeros(2 * N)]).astype(value.dtype)
    cell = eqx.tree_at(lambda c: getattr(c, field), cell, value + by)
    expected = expected_logs(name, references(name, cell, inputs)[0])
    assert np.all(expected < -1000)
    for dense in (True, False):
        found = vj.log_singular_values(run(cell, inputs, dense=dense))
        np.testing.assert_allclose(found.log_singular_values, expected, rtol=40 * EPS)


@pytest.mark.parametrize("name", ["lru", "minGRU"])
def test_a_batch_of_streamed_chains(name):
    cell, inputs = make(name), drawn_inputs(1.0, 2)
    chain = eqx.filter_vmap(lambda x: run(cell, x, dense=False))(inputs)
    found = vj.log_singular_values(chain).log_singular_values
    expected = [expected_logs(name, references(name, cell, x)[0]) for x in inputs]
    np.testing.assert_allclose(found, expected, rtol=20 * EPS, atol=STEPS * 2 * EPS)


@pytest.mark.float64_anyway
@pytest.mark.parametrize("name", CELLS)
def test_one_float32_step_is_right_to_two_eps(name):
    # Slow modes, as trained ones are: what is lost is the rounding of numbers near 1.
    options = {"lru": {"r_min": 0.999, "r_max": 0.99999}}.get(name, {})
    cell = make(name, dtype=jnp.float32, **options)
    if name.startswith("min"):
        cell = eqx.tree_at(lambda c: c.bias, cell, cell.bias.at[:N].add(-9.0 * (name == "minGRU")))
    inputs = drawn_inputs().astype(jnp.float32)
    chain = run(cell, inputs)
    log_a = references(name, cell, inputs)[0]
    each = np.sort(np.log(np.linalg.svd(np.asarray(chain.jacobians, np.float64))[1]), axis=-1)
    expected = np.sort(np.repeat(log_a.real, each.shape[1] // log_a.shape[1], axis=1), axis=-1)
    assert np.max(np.abs(each - expected) / (1 + np.abs(expected))) < 2 * 1.2e-7


def test_gradients_of_the_parallel_scan_are_those_of_the_scan():
    inputs = drawn_inputs()
    for name in ("lru", "selective"):
        cell = make(name)
        weight = jnp.asarray(
            np.random.default_rng(2).standard_normal((STEPS + 1, 1)), jnp.result_type(float)
        )

        def loss(cell, x, method, weight=weight):
            states = vj.rollout(cell, cell.initial_state(), x, method=method).states
            h = (
                jnp.concatenate([states.real, states.imag], 1)
                if jnp.iscomplexobj(states)
                else states
            )
            return jnp.sum(weight * jnp.sin(h))

        def gradients(method, loss=loss, cell=cell):
            return eqx.filter_grad(lambda both: loss(*both, method))((cell, inputs))

        a, b = eqx.filter_jit(lambda: (gradients("scan"), gradients("associative")))()
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
            assert x.dtype == y.dtype
            np.testing.assert_allclose(x, y, atol=200 * EPS * float(jnp.max(jnp.abs(x))))


@pytest.mark.float64_anyway
def test_only_diagonal_cells_take_the_parallel_scan():
    plain = cells.VanillaCell(D, N, key=jax.random.key(0))
    with pytest.raises(TypeError, match="for VanillaCell. It is for LRUCell, S4DCell"):
        vj.rollout(plain, plain.initial_state(), drawn_inputs(), method="associative")
    with pytest.raises(ValueError, match="'scan' or 'associative'; got 'fast'"):
        vj.rollout(plain, plain.initial_state(), drawn_inputs(), method="fast")  # pyright: ignore
    named = {"LRUCell", "S4DCell", "SelectiveCell", "MinGRUCell", "MinLSTMCell"}
    assert {kind.__name__ for kind in AbstractDiagonalCell.__subclasses__()} == named


@pytest.mark.float64_anyway
@pytest.mark.parametrize("name", ["lru", "s4d", "selective", "minGRU", "minLSTM"])
def test_wrong_shapes_and_sizes_say_what_was_expected(name):
    cell = make(name)
    state, x = cell.initial_state(), jnp.ones(D)
    with pytest.raises(ValueError, match=r"input of shape \(2,\); got shape \(5, 2\).*jax.vmap"):
        cell(state, jnp.ones((5, D)))
    with pytest.raises(ValueError, match=r"expected state of shape \([36],\); got shape \(2,\)"):
        cell(x, x)
    with pytest.raises(ValueError, match="expected state.*got a tuple"):
        cell((state, state), x)
    with pytest.raises(ValueError, match="must be at least 1"):
        type(cell)(0, 2, key=jax.random.key(0))


@pytest.mark.float64_anyway
def test_wrong_options_raise():
    key = jax.random.key(0)
    for options in ({"r_min": 0.9, "r_max": 0.9}, {"r_min": -0.1}, {"r_max": 1.1}):
        with pytest.raises(ValueError, match="0 <= r_min < r_max <= 1"):
            cells.LRUCell(D, N, **options, key=key)
    with pytest.raises(ValueError, match="max_phase"):
        cells.LRUCell(D, N, max_phase=0.0, key=key)
    with pytest.raises(ValueError, match="complex numbers of two bfloat16"):
        cells.LRUCell(D, N, dtype=jnp.bfloat16, key=key)
    with pytest.raises(ValueError, match="'lin' or 'inv'; got 'legs'"):
        cells.S4DCell(D, N, initial="legs", key=key)  # pyright: ignore
    with pytest.raises(ValueError, match="'zoh' or 'bilinear'; got 'euler'"):
        cells.S4DCell(D, N, discretization="euler", key=key)  # pyright: ignore
    for kind in (cells.S4DCell, cells.SelectiveCell):
        with pytest.raises(ValueError, match="0 < step_min <= step_max; got 0.2 and 0.1"):
            kind(D, N, step_min=0.2, key=key)
