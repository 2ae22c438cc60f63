import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vanishing_jax import cells

N = 6
KEY = jax.random.key(0)


def numpy_norm(a, epsilon):
    return (a - a.mean()) / np.sqrt(a.var() + epsilon)


@pytest.mark.parametrize("placement", ["joint", "separate"])
def test_is_the_formula(placement):
    cell = cells.LayerNormCell(2, N, placement=placement, epsilon=0.01, key=KEY)
    gains = [1 + 0.1 * np.arange(N), 2 - 0.3 * np.arange(N)][-len(cell.norms) :]
    bias = 0.2 * np.arange(N)
    gain_leaves, dtype = [jnp.asarray(g, cell.weight_hh.dtype) for g in gains], cell.weight_hh.dtype
    norms = [jax.tree.map(lambda x: x, norm) for norm in cell.norms]
    for i, gain in enumerate(gain_leaves):
        norms[i] = _with(norms[i], weight=gain)
    norms[-1] = _with(norms[-1], bias=jnp.asarray(bias, dtype))
    cell = _with(cell, norms=tuple(norms))
    h, x = np.linspace(-1, 1, N), np.array([0.5, -2.0])
    W, U = np.asarray(cell.weight_hh), np.asarray(cell.weight_xh)
    parts = [W @ h + U @ x] if placement == "joint" else [W @ h, U @ x]
    expected = sum(g * numpy_norm(a, 0.01) for g, a in zip(gains, parts, strict=True)) + bias
    found = cell(jnp.asarray(h, dtype), jnp.asarray(x, dtype))
    np.testing.assert_allclose(found, np.tanh(expected), rtol=1e-5, atol=1e-6)


def _with(module, **fields):
    import equinox as eqx

    where = lambda m: [getattr(m, name) for name in fields]
    return eqx.tree_at(where, module, list(fields.values()))


def test_singular_values_of_the_jacobian():
    # 1/s (N - 2 times), eps/s^3 along the normalized vector, 0 along (1, ..., 1).
    cell = cells.LayerNormCell(
        1,
        N,
        activation="identity",
        recurrent_initializer=cells.identity_initializer(),
        epsilon=0.1,
        key=KEY,
    )
    h = jnp.asarray(np.linspace(-1, 1, N) ** 3 + 0.1, cell.weight_hh.dtype)
    found = np.linalg.svd(jax.jacfwd(cell)(h, jnp.zeros(1)), compute_uv=False)
    s = np.sqrt(np.var(np.asarray(h, np.float64)) + 0.1)
    np.testing.assert_allclose(found, [*[1 / s] * (N - 2), 0.1 / s**3, 0], rtol=1e-5, atol=1e-6)


def test_scale_of_the_recurrent_matrix_does_not_matter():
    cell = cells.LayerNormCell(1, N, epsilon=1e-12, key=KEY)
    scaled = cell.map_recurrent(lambda w: 1000 * w)
    h, x = jnp.linspace(-1, 1, N), jnp.zeros(1)
    J = jax.jacfwd(cell)(h, x)
    np.testing.assert_allclose(jax.jacfwd(scaled)(h, x), J, rtol=1e-4, atol=1e-5)


def test_separate_placement_keeps_the_sign_of_one_number():
    cell = cells.LayerNormCell(1, N, placement="separate", epsilon=1e-12, key=KEY)
    h = jnp.linspace(-1, 1, N)
    np.testing.assert_allclose(cell(h, jnp.ones(1)), cell(h, 9 * jnp.ones(1)), rtol=1e-4)
    assert np.abs(cell(h, jnp.ones(1)) - cell(h, -jnp.ones(1))).max() > 0.1


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="'joint' or 'separate'; got 'both'"):
        cells.LayerNormCell(1, N, placement="both", key=KEY)
    with pytest.raises(ValueError, match="at least 2; got 1"):
        cells.LayerNormCell(1, 1, key=KEY)
    with pytest.raises(ValueError, match="unknown|activation must be"):
        cells.LayerNormCell(1, 2, activation="nonsense", key=KEY)


@pytest.mark.float64_anyway
@pytest.mark.parametrize(
    "placement, input_size, exponent",
    [("separate", 1.0, -0.19862743), ("joint", 1.0, -0.549696), ("joint", 0.0, 0.08182722)],
)
def test_exponent_is_that_of_mean_field_theory(placement, input_size, exponent):
    # Gaussian weights of gain 1 and gains 1: the gradient vanishes or grows by the share of input.
    n, steps, settled = 200, 60, 10
    keys = jax.random.split(jax.random.key(3), 3)
    with jax.enable_x64(True):
        cell = cells.LayerNormCell(n, n, placement=placement, key=KEY, dtype=jnp.float64)
        h, v = jax.random.normal(keys[0], (2, n), jnp.float64)
        inputs = input_size * jax.random.normal(keys[1], (steps, n), jnp.float64)

        def step(carry, x):
            h, v = jax.jvp(lambda h: cell(h, x), (carry[0],), (carry[1],))
            growth = jnp.linalg.norm(v)
            return (h, v / growth), jnp.log(growth)

        growth = jax.lax.scan(step, (h, v), inputs)[1]
    assert abs(np.mean(growth[settled:]) - exponent) < 0.05
