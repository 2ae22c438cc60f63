"""Linear recurrences that are diagonal in the state, against independent NumPy formulas."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vanishing_jax as vj
from vanishing_jax import cells
from vanishing_jax.cells._diagonal import AbstractDiagonalCell
from vanishing_jax.spectra import _sweep_chain

from .. import helpers

D, N, STEPS = 2, 3, 20
DTYPE = jnp.result_type(float)
EPS = float(jnp.finfo(DTYPE).eps)


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
    return jnp.asarray(x, DTYPE)


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


@pytest.mark.as_users
@pytest.mark.parametrize("name", CELLS)
def test_states_equal_the_formulas(name):
    _, _, size, gates = CELLS[name]
    cell, inputs = make(name), drawn_inputs()
    log_a, b = references(name, cell, inputs)
    start = cell.initial_state() + jnp.linspace(0.5, 1, size).astype(cell.initial_state().dtype)
    h, states = np.asarray(start), [np.asarray(start)]
    for log, now in zip(log_a, b, strict=True):
        h = np.exp(log) * h + now
        states.append(h)
    # Three stages of the parallel scan are enough, and two of the cells: the others differ in a, b.
    runs = {"scan": STEPS} | ({"associative": 6} if name in ("lru", "selective") else {})
    for method, steps in runs.items():
        found = vj.rollout(cell, start, inputs[:steps], method=method).states
        assert found.dtype == start.dtype and found.shape == (steps + 1, size)
        tolerance = STEPS * 4 * EPS * np.max(np.abs(states))
        np.testing.assert_allclose(found, states[: steps + 1], atol=tolerance)
    assert (cell.state_names, cell.gate_names) == (("h",), gates)
    assert cell.map_recurrent(lambda w: w) is None
    np.testing.assert_array_equal(cell.initial_state(), 0)


@pytest.mark.parametrize("name", CELLS)
def test_spectra_take_the_closed_form(name, monkeypatch):
    cell, inputs = make(name), drawn_inputs()
    expected = expected_logs(name, references(name, cell, inputs)[0])

    def fail(*args, **options):
        raise AssertionError("the general path")

    monkeypatch.setattr(_sweep_chain, "Sweep", fail)
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


@pytest.mark.slow
def test_closed_form_against_the_general_path_and_high_precision():
    from ..spectra.test_decoupled import whole

    name = "lru"
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


@pytest.mark.as_users
@pytest.mark.parametrize("name", ["lru", "selective", "minGRU", "minLSTM"])
def test_far_below_the_range_of_floats(name):
    # Gates nearly shut on the state, or a fast decay: down to exp(-60) at every step.
    cell, inputs = make(name), drawn_inputs()
    moved = {"lru": ("nu_log", 4.0), "selective": ("bias_step", 26.0), "minGRU": ("bias", 60.0)}
    field, by = moved.get(name, ("bias", 60.0))
    value = getattr(cell, field)
    if name == "minLSTM":  # its input gate open, its forget gate shut
        by = jnp.concatenate([jnp.full(N, -by), jnp.zeros(2 * N)]).astype(value.dtype)
    cell = eqx.tree_at(lambda c: getattr(c, field), cell, value + by)
    expected = expected_logs(name, references(name, cell, inputs)[0])
    assert expected[-1] < -745  # the smallest float64 is exp(-744.4)
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


def test_gradients_of_the_parallel_scan_are_those_of_the_scan():
    inputs = drawn_inputs()[:6]  # three stages of the parallel scan
    weight = jnp.asarray(np.random.default_rng(2).standard_normal((7, 2 * N)), DTYPE)

    def loss(both, method):
        cell, x = both
        states = vj.rollout(cell, cell.initial_state(), x, method=method).states
        return jnp.sum(weight * jnp.sin(cells.hidden_output(cell, states)))

    @eqx.filter_jit
    def gradients(both):
        return [eqx.filter_grad(loss)(both, method) for method in ("scan", "associative")]

    first, second = gradients((make("lru"), inputs))
    for x, y in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        assert x.dtype == y.dtype and np.all(np.asarray(x) != 0)
        np.testing.assert_allclose(x, y, atol=200 * EPS * float(jnp.max(jnp.abs(x))))


def test_only_diagonal_cells_take_the_parallel_scan():
    plain = cells.VanillaCell(D, N, key=jax.random.key(0))
    with pytest.raises(TypeError, match="for VanillaCell. It is for LRUCell, S4DCell"):
        vj.rollout(plain, plain.initial_state(), drawn_inputs(), method="associative")
    with pytest.raises(ValueError, match="'scan' or 'associative'; got 'fast'"):
        vj.rollout(plain, plain.initial_state(), drawn_inputs(), method="fast")
    named = {"LRUCell", "S4DCell", "SelectiveCell", "MinGRUCell", "MinLSTMCell"}
    assert {kind.__name__ for kind in AbstractDiagonalCell.__subclasses__()} == named


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
        cells.S4DCell(D, N, initial="legs", key=key)
    with pytest.raises(ValueError, match="'zoh' or 'bilinear'; got 'euler'"):
        cells.S4DCell(D, N, discretization="euler", key=key)
    for kind in (cells.S4DCell, cells.SelectiveCell):
        with pytest.raises(ValueError, match="0 < step_min <= step_max; got 0.2 and 0.1"):
            kind(D, N, step_min=0.2, key=key)


@pytest.mark.parametrize(("r_min", "r_max", "mean"), [(0.0, 1.0, -0.5), (0.9, 0.999, -0.0513666)])
def test_ring_initialization(r_min, r_max, mean):
    n = 4000
    cell = cells.LRUCell(
        8, n, r_min=r_min, r_max=r_max, max_phase=1.0, dtype=jnp.float32, key=jax.random.key(0)
    )
    found = np.asarray(cell.eigenvalues, np.complex128)
    # Near modulus 1 the rounding of two float32 parts is all that is lost: less than 2 eps.
    error = np.abs(np.log(np.abs(found)) + np.exp(np.asarray(cell.nu_log, np.float64)))
    assert 2e-8 < np.max(error[np.abs(found) > 0.9]) < 2 * 1.2e-7
    squared = np.abs(found) ** 2
    # Kolmogorov-Smirnov against the uniform distribution on [r_min^2, r_max^2].
    uniform = np.sort((squared - r_min**2) / (r_max**2 - r_min**2))
    assert np.max(np.abs(uniform - np.arange(0.5, n) / n)) < 1.63 / np.sqrt(n)
    assert np.abs(np.mean(np.log(squared)) / 2 - mean) < 4 * np.std(np.log(squared)) / 2 / n**0.5
    angles = np.sort(np.angle(found))
    assert np.max(np.abs(angles - np.arange(0.5, n) / n)) < 1.63 / np.sqrt(n)
    np.testing.assert_allclose(np.exp(2 * np.asarray(cell.gamma_log)), 1 - squared, atol=1e-5)
    assert abs(np.var(np.asarray(cell.weight_xh)) * 16 - 1) < 0.05


def test_state_space_initialization():
    key, n = jax.random.key(0), 4
    for initial, imag in {
        "lin": np.pi * np.arange(n),
        "inv": 2 * n / np.pi * (2 * n / (2 * np.arange(n) + 1) - 1),
    }.items():
        cell = cells.S4DCell(200, n, initial=initial, key=key)
        np.testing.assert_allclose(np.exp(cell.log_decay), 0.5, rtol=1e-6)
        np.testing.assert_allclose(cell.frequency, [imag] * 200, rtol=1e-6)
    steps = np.exp(np.asarray(cell.log_step))
    selective = cells.SelectiveCell(200, n, key=key)
    at_zero = np.logaddexp(0, np.asarray(selective.bias_step))
    for drawn in (steps, at_zero):
        where = np.sort(np.log(drawn / 0.001) / np.log(100))  # uniform on [0, 1]
        assert np.max(np.abs(where - np.arange(0.5, 200) / 200)) < 1.63 / np.sqrt(200)
    np.testing.assert_allclose(np.exp(selective.log_decay), [np.arange(1, n + 1)] * 200, rtol=1e-6)


def test_biases_of_the_minimal_cells():
    key = jax.random.key(0)
    gru = cells.MinGRUCell(D, N, update_bias=-3.0, key=key)
    np.testing.assert_array_equal(gru.bias, [-3] * N + [0] * N)
    np.testing.assert_allclose(gru.affine_step(jnp.zeros(D))[0], 1 / (1 + np.exp(-3.0)), rtol=1e-6)
    lstm = cells.MinLSTMCell(D, N, forget_bias=50.0, key=key)
    np.testing.assert_array_equal(lstm.bias, [50] * N + [0] * 2 * N)
    np.testing.assert_allclose(lstm.affine_step(jnp.zeros(D))[0], 2 / 3, rtol=1e-6)


def test_a_readout_of_a_complex_state_makes_the_real_part_of_any_product():
    rng = np.random.default_rng(0)
    h = rng.standard_normal((4, N)) + 1j * rng.standard_normal((4, N))
    C = rng.standard_normal((2, N)) + 1j * rng.standard_normal((2, N))
    seen = np.asarray(cells.hidden_output(make("lru"), jnp.asarray(h)))
    weight = np.concatenate([C.real, -C.imag], axis=1)
    np.testing.assert_allclose(seen @ weight.T, (h @ C.T).real, rtol=1e-5)
