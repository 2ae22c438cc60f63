import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vanishing_jax import theory

N = 200
TOLERANCE = 0.03  # O(1/n), and larger where few units carry the mean


def moment(step, state):
    """Return (1/n) ||J||_F^2 by automatic differentiation."""
    J = jax.jit(jax.jacfwd(step))(state)
    return float(np.sum(np.square(J))) / N


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.fixture(scope="module")
def numbers():
    """Return recurrent matrices of gain 1, driving terms and states, all random."""
    rng = np.random.default_rng(0)
    W = rng.standard_normal((4, N, N)) / np.sqrt(N)
    h, c = np.tanh(rng.standard_normal((2, N)))
    return W, 0.7 * rng.standard_normal((4, N)), h, 2 * c


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("after", [True, False])
def test_gru_with_either_reset(numbers, after):
    W, driven, h, _ = numbers
    gains = np.array([3.0, 2.0, 1.5])
    W = gains[:, None, None] * W[:3]
    bias = 0.2

    def gates(h, sigmoid, tanh):
        r, z = (sigmoid(W[k] @ h + driven[k]) for k in (0, 1))
        content = r * (W[2] @ h + bias) if after else W[2] @ (r * h)
        return r, z, tanh(driven[2] + content)

    def step(h):
        _, z, n = gates(h, jax.nn.sigmoid, jnp.tanh)
        return (1 - z) * n + z * h

    r, z, n = gates(h, sigmoid, np.tanh)
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


def test_lstm_blocks(numbers):
    W, driven, h, c = numbers
    gains = [1.5, 2.0, 1.0, 0.5]

    def gates(h):
        return [g * W[k] @ h + driven[k] for k, g in enumerate(gains)]

    def step(h, c):
        i, f, g, o = gates(h)
        i, f, o = (jax.nn.sigmoid(x) for x in (i, f, o))
        c = f * c + i * jnp.tanh(g)
        return o * jnp.tanh(c), c

    J = jax.jit(jax.jacfwd(step, (0, 1)))(h, c)
    i, f, g, o = gates(h)
    found = theory.lstm_one_step_moments(
        input=sigmoid(i),
        forget=sigmoid(f),
        new=np.tanh(g),
        output=sigmoid(o),
        cell=c,
        input_gain=gains[0],
        forget_gain=gains[1],
        new_gain=gains[2],
        output_gain=gains[3],
    )
    expected = {name: float(np.sum(np.square(J[a][b]))) / N for name, a, b in BLOCKS}
    assert found.cc == pytest.approx(expected["cc"], rel=1e-12)  # whatever n is
    assert found.hc == pytest.approx(expected["hc"], rel=1e-12)
    assert found.ch == pytest.approx(expected["ch"], rel=TOLERANCE)
    assert found.hh == pytest.approx(expected["hh"], rel=TOLERANCE)


BLOCKS = [("hh", 0, 0), ("hc", 0, 1), ("ch", 1, 0), ("cc", 1, 1)]


def test_arrays_of_different_shapes_are_refused():
    half = np.full(3, 0.5)
    with pytest.raises(ValueError, match="one shape"):
        theory.gru_one_step_moment(reset=half, update=half, new=half, state=half, inside=np.ones(2))
