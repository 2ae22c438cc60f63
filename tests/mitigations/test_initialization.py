from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vanishing_jax import cells, mitigations

N = 40


def apply(mitigation, cell, seed=1) -> Any:
    return mitigation.transform_cell(cell, key=jax.random.key(seed))


def blocks(cell):
    return np.asarray(cell.weight_hh).reshape(-1, N, N)


@pytest.mark.parametrize(
    "make, variance",
    [
        (mitigations.glorot, 1 / N),
        (mitigations.he, 2 / N),
        (lambda: mitigations.normal(0.3), 0.09),
    ],
)
def test_variance_of_independent_blocks(make, variance):
    drawn = blocks(apply(make(), cells.GRUCell(1, N, key=jax.random.key(0))))
    # 4800 entries: the standard error of the variance is 2 % of it.
    assert abs(np.var(drawn) / variance - 1) < 0.1
    assert abs(np.corrcoef(drawn[0].ravel(), drawn[1].ravel())[0, 1]) < 0.1


def test_orthogonal_and_identity_blocks():
    cell = cells.LSTMCell(1, N, key=jax.random.key(0))
    for block in blocks(apply(mitigations.orthogonal(0.5), cell)):
        np.testing.assert_allclose(block @ block.T, 0.25 * np.eye(N), atol=1e-5)
    for block in blocks(apply(mitigations.identity(0.7), cell)):
        np.testing.assert_array_equal(block, np.asarray(0.7, block.dtype) * np.eye(N))
    changed = apply(mitigations.orthogonal(), cell)
    assert eqx.tree_equal(changed.weight_xh, cell.weight_xh)
    half = cells.VanillaCell(1, 4, dtype=jnp.float16, key=jax.random.key(0))
    assert apply(mitigations.orthogonal(), half).weight_hh.dtype == jnp.float16


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="standard_deviation. of at least 0; got -1"):
        mitigations.normal(-1.0)
    with pytest.raises(ValueError, match="knows its recurrent blocks; FunctionCell does not"):
        apply(mitigations.he(), cells.FunctionCell(lambda p, s, x: s, 1.0))
    with pytest.raises(TypeError, match="expected a cell"):
        apply(mitigations.he(), jnp.tanh)
