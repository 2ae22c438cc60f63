from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vanishing_jax import cells, mitigations
from vanishing_jax.training import SequenceModel

KEY = jax.random.key(0)


def decayed(mitigation, model) -> Any:
    """Return by how much zero updates become other, leaf by leaf."""
    params = eqx.filter(model, eqx.is_inexact_array)
    zeros = jax.tree.map(jnp.zeros_like, params)
    transform = mitigation.update_transform
    return transform.update(zeros, transform.init(params), params)[0], params


def test_matrices_decay_and_vectors_and_statistics_do_not():
    cell = cells.BatchNormCell(cells.VanillaCell(2, 3, key=KEY), num_steps=4)
    found, params = decayed(mitigations.weight_decay(0.1), SequenceModel(cell, 5, key=KEY))
    for name in ("weight_hh", "weight_xh"):
        np.testing.assert_allclose(
            getattr(found.cell.cell, name), 0.1 * getattr(params.cell.cell, name), rtol=1e-6
        )
    np.testing.assert_allclose(found.weight, 0.1 * params.weight, rtol=1e-6)
    rest = [found.bias, found.cell.cell.bias, found.cell.gain, found.cell.statistics]
    assert all(np.all(np.asarray(leaf) == 0) for leaf in jax.tree.leaves(rest))


def test_a_mask_of_ones_own():
    def only_bias(params):
        return eqx.tree_at(lambda c: c.bias, jax.tree.map(lambda _: False, params), True)

    cell = cells.VanillaCell(2, 3, bias_initializer=jax.nn.initializers.ones, key=KEY)
    found, _ = decayed(mitigations.weight_decay(0.5, mask=only_bias), cell)
    np.testing.assert_array_equal(found.bias, 0.5)
    np.testing.assert_array_equal(found.weight_hh, 0)
    with pytest.raises(ValueError, match="rate of at least 0; got -1"):
        mitigations.weight_decay(-1.0)
