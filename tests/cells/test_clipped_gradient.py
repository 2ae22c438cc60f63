import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vanishing_jax import cells

N, T = 3, 5
WEIGHTS = jnp.array([[2.0, -1.0, 0.5], [0.5, 1.5, 1.0], [-1.0, 0.3, 2.0]])
DIRECT = np.array([[0.1, -0.2, 0.3]] * 4 + [[1.0, 2.0, -0.5]])  # dl/dh_t, t = 1..T


def plain():
    cell = cells.VanillaCell(N, N, activation="identity", key=jax.random.key(0))
    return cell.map_recurrent(lambda _: WEIGHTS.astype(cell.weight_hh.dtype))


def gradient(cell, h0):
    def loss(h0):
        step = lambda h, x: (cell(h, x),) * 2
        _, states = jax.lax.scan(step, h0, jnp.zeros((T, N)))
        return jnp.sum(states * DIRECT)

    return jax.grad(loss)(h0)


def by_norm(g, c):
    return g * min(1, c / np.linalg.norm(g))


def by_value(g, c):
    return np.clip(g, -c, c)


@pytest.mark.parametrize("by, clip", [("norm", by_norm), ("value", by_value)])
def test_agrees_with_the_loop_written_out(by, clip):
    expected = np.zeros(N)
    for direct in DIRECT[::-1]:
        expected = clip(np.asarray(WEIGHTS).T @ (expected + direct), 2.5)
    cell = cells.ClippedGradientCell(plain(), 2.5, by=by)
    found = jax.jit(gradient)(cell, jnp.ones(N))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    unclipped = jax.jit(gradient)(plain(), jnp.ones(N))
    assert np.linalg.norm(unclipped) > 2 * np.linalg.norm(expected)  # it did bind


def test_each_sequence_is_clipped_for_itself_and_small_gradients_are_left_alone():
    cell = cells.ClippedGradientCell(
        cells.FunctionCell(lambda w, h, x: w * h * x, jnp.array(1.0)), 1.0
    )
    back = jax.vmap(jax.grad(lambda h, x: jnp.sum(cell(h, x))), in_axes=(None, 0))
    found = back(jnp.ones(2), jnp.array([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0], [3e30, -4e30]]))
    np.testing.assert_allclose(found, [[0.6, 0.8], [0.3, 0.4], [0, 0], [0.6, -0.8]], rtol=1e-6)


def test_forward_mode_sees_the_cell_inside():
    cell = cells.ClippedGradientCell(plain(), 1e-3)
    h, x = jnp.ones(N), jnp.ones(N)
    np.testing.assert_array_equal(cell(h, x), plain()(h, x))
    np.testing.assert_array_equal(jax.jacfwd(cell)(h, x), jax.jacfwd(plain())(h, x))


def test_leaves_of_several_dtypes_share_one_norm():
    inside = cells.FunctionCell(lambda w, s, x: jax.tree.map(lambda a: 30 * a, s), jnp.ones(()))
    cell = cells.ClippedGradientCell(inside, 5.0)
    state = {"half": jnp.ones(1, jnp.float16), "single": jnp.ones(1, jnp.float32)}

    def loss(state):
        new = cell(state, 0.0)
        return 3 * jnp.sum(new["half"]).astype(jnp.float32) + 4 * jnp.sum(new["single"])

    found = jax.grad(loss)(state)
    np.testing.assert_allclose([found["half"][0], found["single"][0]], [3, 4], rtol=1e-3)
    assert found["half"].dtype == jnp.float16


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="positive threshold; got 0"):
        cells.ClippedGradientCell(plain(), 0.0)
    with pytest.raises(ValueError, match="by='norm' or by='value'; got 'sign'"):
        cells.ClippedGradientCell(plain(), 1.0, by="sign")
