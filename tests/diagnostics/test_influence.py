import numpy as np
import pytest

from .. import helpers

pytestmark = pytest.mark.float64_anyway


@pytest.fixture
def vj():
    import vanishing_jax

    return vanishing_jax


@pytest.mark.parametrize("family", ["tanh, gain 12", "ginibre", "relu", "jordan"])
def test_agrees_with_the_spectrum_of_each_window(vj, family):
    chain = vj.JacobianChain(helpers.FAMILIES[family](np.random.default_rng(0), 4, 15))
    found = vj.diagnostics.influence_map(chain, points=4)
    assert found.times.tolist() == [0, 5, 10, 15]
    for i, t in enumerate(found.times):
        for j, s in enumerate(found.times):
            if i < j:
                assert np.isnan(found.log_norm[i, j])
            elif i == j:
                assert found.log_norm[i, j] == 0
            else:
                window = vj.log_singular_values(chain, window=(int(s), int(t)))
                expected = window.log_singular_values[0]
                np.testing.assert_allclose(found.log_norm[i, j], expected, atol=1e-10)


def test_nan_is_not_taken_for_zero(vj):
    jacobians = np.ones((3, 1, 1))
    jacobians[1] = np.nan
    found = vj.diagnostics.influence_map(vj.JacobianChain(jacobians))
    assert np.isnan(found.log_norm[3, 0]) and found.log_norm[1, 0] == 0


def test_exact_zero_and_limits(vj):
    found = vj.diagnostics.influence_map(vj.JacobianChain(np.zeros((2, 3, 3))))
    assert found.times.tolist() == [0, 1, 2]
    assert np.isneginf(found.log_norm[2, 0]) and found.log_norm[2, 2] == 0
    assert "log ||ds_T/ds_0|| = -inf" in repr(found)
    with pytest.raises(ValueError, match="at least 2 points"):
        vj.diagnostics.influence_map(vj.JacobianChain(np.ones((2, 1, 1))), points=1)


def _diagonal_chain(kind, n, steps):
    """Return diagonal Jacobians, or blocks that turn and scale; one is exactly 0 at one step."""
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((2, steps, n))
    a[7, 0] = b[7, 0] = 0
    a[:, 1] *= 1e-200
    b[:, 1] *= 1e-200
    if kind == "real":
        return a[:, :, None] * np.eye(n)
    diagonal, off = a[:, :, None] * np.eye(n), b[:, :, None] * np.eye(n)
    return np.block([[diagonal, -off], [off, diagonal]])


@pytest.mark.parametrize("kind", ["real", "complex"])
def test_diagonal_recurrences_need_no_products(vj, kind, monkeypatch):
    from vanishing_jax.diagnostics import _influence

    def fail(*args):
        raise AssertionError("the general path")

    monkeypatch.setattr(_influence, "_piece", fail)
    for n in (2, 3):
        chain = vj.JacobianChain(_diagonal_chain(kind, n, 15))
        found = vj.diagnostics.influence_map(chain, points=4)
        for i, t in enumerate(found.times):
            for j, s in enumerate(found.times[:i]):
                window = vj.log_singular_values(chain, window=(int(s), int(t)))
                np.testing.assert_allclose(
                    found.log_norm[i, j], window.log_singular_values[0], atol=1e-10
                )
        assert np.all(np.isnan(found.log_norm[np.triu_indices(4, 1)]))
        assert np.all(np.diag(found.log_norm) == 0)


def test_a_diagonal_zero_cuts_all(vj):
    J = np.stack([0.5 * np.eye(2)] * 6)
    J[3] = 0
    found = vj.diagnostics.influence_map(vj.JacobianChain(J), points=7).log_norm
    assert np.isneginf(found[4:, :4]).all() and found[3, 0] == pytest.approx(3 * np.log(0.5))
