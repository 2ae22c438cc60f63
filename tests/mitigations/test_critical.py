from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vanishing_jax import cells, mitigations, theory

N = 60


@pytest.fixture(scope="module")
def cell():
    return cells.VanillaCell(3, N, key=jax.random.key(0))


def apply(cell, variance) -> Any:
    transform: Any = mitigations.critical(variance).transform_cell
    return transform(cell, key=jax.random.key(1))


def measured_rate(cell, variance):
    """Return the growth per step of a vector carried back, in plain NumPy, mean over inputs."""
    rng = np.random.default_rng(0)
    W, U, b = (np.asarray(x, float) for x in (cell.weight_hh, cell.weight_xh, cell.bias))
    x = np.sqrt(variance) * rng.normal(size=(150, 16, 3))
    h, slopes = np.zeros((16, N)), []
    for step in x:
        h = np.tanh(h @ W.T + step @ U.T + b)
        slopes.append(1 - h**2)
    v, total = rng.normal(size=(16, N)), 0.0
    for D in slopes[:30:-1]:  # not the first steps, in which the state grows from 0
        new = (D * v) @ W
        total = total + np.log(np.linalg.norm(new, axis=1) / np.linalg.norm(v, axis=1))
        v = new
    return np.mean(total) / (150 - 31)


@pytest.mark.parametrize("variance", [3.0, 20.0])
def test_gradients_neither_vanish_nor_explode(cell, variance):
    changed = apply(cell, variance)
    assert abs(measured_rate(changed, variance)) < 0.06
    # Glorot's own weights vanish on the same inputs.
    assert measured_rate(cell, variance) < measured_rate(changed, variance) - 0.05
    assert changed.weight_hh.dtype == cell.weight_hh.dtype
    np.testing.assert_array_equal(changed.weight_xh, cell.weight_xh)


def test_gain_is_that_of_the_drive_and_bias(cell):
    biased = eqx.tree_at(lambda c: c.bias, cell, jnp.full(N, 0.5, cell.bias.dtype))
    U = np.asarray(cell.weight_xh, float)
    drawn = [np.asarray(apply(c, 1.0).weight_hh, float) for c in (cell, biased)]
    gains = [np.sqrt((W**2).mean() * N) for W in drawn]
    drive = float((U**2).sum(axis=1).mean())
    for gain, bias in zip(gains, (0.0, 0.25), strict=True):
        expected = float(
            theory.critical_gain(activation="tanh", input_variance=drive, bias_variance=bias)
        )
        assert gain == pytest.approx(expected, rel=0.06)  # 3600 entries: 1.2 % of scatter
    assert gains[1] > gains[0]


def test_can_be_traced(cell):
    traced = eqx.filter_eval_shape(lambda c: apply(c, 1.0), cell)
    assert traced.weight_hh.shape == (N, N) and traced.weight_hh.dtype == cell.weight_hh.dtype


def test_wrong_arguments_are_named(cell):
    with pytest.raises(ValueError, match="`input_variance` of at least 0; got -1"):
        mitigations.critical(-1.0)
    with pytest.raises(ValueError, match="expected a VanillaCell.*LayerNormCell"):
        apply(cells.LayerNormCell(cell), 1.0)
