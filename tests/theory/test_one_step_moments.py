import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from vanishing_jax import theory

pytestmark = pytest.mark.float64_anyway

N = 200
TOLERANCE = 0.03  # O(1/n), and larger where few units carry the mean


def moment(step, state):
    """Return (1/n) ||J||_F^2 by automatic differentiation."""
    J = jax.jit(jax.jacfwd(step))(state)
    return float(jnp.sum(J**2)) / N


@pytest.fixture(scope="module")
def numbers():
    """Return recurrent matrices of gain 1, states and driving terms, all random."""
    with jax.enable_x64(True):
        W = jr.normal(jr.key(0), (4, N, N)) / np.sqrt(N)
        driven = 0.7 * jr.normal(jr.key(1), (4, N))
        h, c = jnp.tanh(jr.normal(jr.key(2), (2, N)))
        yield W, driven, h, 2 * c


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def test_leaky_and_residual(numbers):
    W, driven, h, _ = numbers
    W, u = 1.3 * W[0], driven[0]
    slope = 1 - jnp.tanh(W @ h + u) ** 2
    found = theory.leaky_one_step_moment(slope, gain=1.3, rate=0.4)
    expected = moment(lambda h: 0.6 * h + 0.4 * jnp.tanh(W @ h + u), h)
    assert found == pytest.approx(expected, rel=TOLERANCE)
    found = theory.residual_one_step_moment(slope, gain=1.3, scale=0.5)
    expected = moment(lambda h: h + 0.5 * jnp.tanh(W @ h + u), h)
    assert found == pytest.approx(expected, rel=TOLERANCE)


def test_minimal_rnn(numbers):
    W, driven, h, _ = numbers
    W, x = 2.5 * W[0], jnp.tanh(driven[1])
    u = jax.nn.sigmoid(W @ h + driven[0])

    def step(h):
        u = jax.nn.sigmoid(W @ h + driven[0])
        return u * h + (1 - u) * x

    found = theory.minimal_rnn_one_step_moment(u, h, x, gain=2.5)
    assert found == pytest.approx(moment(step, h), rel=TOLERANCE)


@pytest.mark.parametrize("after", [True, False])
def test_gru_with_either_reset(numbers, after):
    W, driven, h, _ = numbers
    gains = np.array([3.0, 2.0, 1.5])
    W = gains[:, None, None] * W[:3]
    bias = 0.2

    def gates(h):
        r, z = (jax.nn.sigmoid(W[k] @ h + driven[k]) for k in (0, 1))
        content = r * (W[2] @ h + bias) if after else W[2] @ (r * h)
        return r, z, jnp.tanh(driven[2] + content)

    def step(h):
        _, z, n = gates(h)
        return (1 - z) * n + z * h

    r, z, n = gates(h)
    found = theory.gru_one_step_moment(
        reset=r,
        update=z,
        new=n,
        state=h,
        inside=W[2] @ h + bias if after else None,
        reset_gain=gains[0],
        update_gain=gains[1],
        new_gain=gains[2],
    )
    assert found == pytest.approx(moment(step, h), rel=TOLERANCE)


def test_lstm_blocks_of_the_cell_of_this_package(numbers):
    from vanishing_jax.cells import LSTMCell

    _, _, h, c = numbers
    cell = LSTMCell(N, N, forget_bias=0.5, dtype=jnp.float64, key=jr.key(3))
    x = jr.normal(jr.key(4), (N,))
    J = jax.jit(jax.jacfwd(lambda s: cell(s, x)))((h, c))
    i, f, g, o = jnp.split(cell.weight_hh @ h + cell.weight_xh @ x + cell.bias, 4)
    i, f, o = (jax.nn.sigmoid(a) for a in (i, f, o))
    found = theory.lstm_one_step_moments(input=i, forget=f, new=jnp.tanh(g), output=o, cell=c)
    expected = {name: float(jnp.sum(J[a][b] ** 2)) / N for name, a, b in BLOCKS}
    assert found.cc == pytest.approx(expected["cc"], rel=1e-12)  # whatever n is
    assert found.hc == pytest.approx(expected["hc"], rel=1e-12)
    assert found.ch == pytest.approx(expected["ch"], rel=TOLERANCE)
    assert found.hh == pytest.approx(expected["hh"], rel=TOLERANCE)


BLOCKS = [("hh", 0, 0), ("hc", 0, 1), ("ch", 1, 0), ("cc", 1, 1)]


def test_arrays_of_different_shapes_are_refused():
    half = jnp.full(3, 0.5)
    with pytest.raises(ValueError, match="one shape"):
        theory.minimal_rnn_one_step_moment(half, half, jnp.ones(2), gain=1.0)
    with pytest.raises(ValueError, match="one shape"):
        theory.gru_one_step_moment(
            reset=half, update=half, new=half, state=half, inside=jnp.ones(2)
        )
