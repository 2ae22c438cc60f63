import mpmath
import numpy as np
import pytest

import vanishing_jax as vj

from .. import helpers

BLOCKS = {"layer0.h": 2, "layer0.c": 1, "layer1.h": 3}
PLACES = {
    "layer0.h": [0, 1], "layer0.c": [2], "layer1.h": [3, 4, 5], "layer0": [0, 1, 2],
    "layer1": [3, 4, 5],
}  # fmt: skip
T = 24


@pytest.fixture(scope="module")
def stack():
    """Return the chain of a stack whose lower layer loses 57 decades more than the upper one."""
    rng = np.random.default_rng(0)
    jacobians = helpers.ginibre_chain(rng, 6, T) * 1.5
    jacobians[:, :3, :3] *= 4e-3
    jacobians[:, :3, 3:] = 0
    return vj.JacobianChain(jacobians, blocks=BLOCKS)


def exact(chain, output, input, window):
    """Return the log singular values of the block of the product, in 200 digits."""
    s, t = window
    with mpmath.workdps(200):
        product = helpers._product(np.asarray(chain.jacobians)[s:t], 700)
        rows = [[product[i, j] for j in PLACES[input]] for i in PLACES[output]]
        sigma = mpmath.svd_r(mpmath.matrix(rows), compute_uv=False)
        return sorted((float(mpmath.log(x)) for x in sigma), reverse=True)


@pytest.mark.parametrize(
    ("output", "input", "window"),
    [
        ("layer0", "layer0", (0, T)),
        ("layer1", "layer1", (0, T)),
        ("layer1", "layer0", (0, T)),
        ("layer0.h", "layer0.c", (0, T)),
        ("layer1.h", "layer0.h", (3, T - 2)),
    ],
)
def test_block_of_the_product_in_high_precision(stack, output, input, window):
    spectrum = vj.spectra.block_log_singular_values(stack, output, input, window=window)
    expected = exact(stack, output, input, window)
    np.testing.assert_allclose(spectrum.log_singular_values, expected, atol=1e-9)
    assert np.all(spectrum.error_bound < 1e-6) and tuple(spectrum.windows) == window


def test_where_no_path_leads_all_is_zero(stack):
    logs = vj.spectra.block_log_singular_values(stack, "layer0", "layer1").log_singular_values
    assert logs.shape == (3,) and np.isneginf(logs).all()


def test_an_empty_window_is_the_identity(stack):
    block = vj.spectra.block_log_singular_values
    np.testing.assert_allclose(
        block(stack, "layer0", "layer0", window=(4, 4)).log_singular_values, 0, atol=1e-12
    )
    zero = block(stack, "layer0.h", "layer0.c", window=(4, 4)).log_singular_values
    assert np.isneginf(zero).all()


def test_unknown_block(stack):
    with pytest.raises(ValueError, match="'layer1.h'.*, or a layer; got 'layer2'"):
        vj.spectra.block_log_singular_values(stack, "layer2", "layer0")
