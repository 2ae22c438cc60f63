import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vanishing_jax.spectra import _streams

from .. import helpers


@pytest.fixture
def vj():
    import vanishing_jax

    return vanishing_jax


def norms_of_windows(vj, chain, times):
    """Return the map from the spectrum of each window."""
    found = np.full((len(times), len(times)), np.nan)
    for i, t in enumerate(times):
        found[i, i] = 0.0
        for j, s in enumerate(times[:i]):
            window = vj.log_singular_values(chain, window=(int(s), int(t)), k=1)
            found[i, j] = window.log_singular_values[0]
    return found


@pytest.mark.parametrize("family", ["tanh, gain 12", "ginibre", "relu", "jordan"])
@pytest.mark.parametrize("exact", [False, True])
def test_agrees_with_the_spectrum_of_each_window(vj, family, exact):
    chain = vj.JacobianChain(helpers.FAMILIES[family](np.random.default_rng(0), 4, 15))
    found = vj.diagnostics.influence_map(chain, points=4, exact=exact)
    assert found.times.tolist() == [0, 5, 10, 15]
    np.testing.assert_allclose(found.log_norm, norms_of_windows(vj, chain, found.times), atol=1e-10)


@pytest.mark.parametrize("family", helpers.FAMILIES)
def test_few_directions_bound_the_norm_from_below(vj, family):
    chain = vj.JacobianChain(helpers.FAMILIES[family](np.random.default_rng(0), 40, 24))
    found, exact = (
        vj.diagnostics.influence_map(chain, points=13, exact=exact).log_norm
        for exact in (False, True)
    )
    known = np.tril_indices(13, -1)
    missed = (exact - found)[known]
    assert np.all(missed > -1e-9 * np.abs(exact[known]) - 1e-9) and np.max(missed) < 0.4
    # Steps from one time to the next, and from each to the end, are what directions are chosen by.
    assert np.median(np.diag(exact - found, -1)) < 0.15 and np.max((exact - found)[-1]) < 0.4
    windows = [(0, 2), (6, 18), (0, 24)]
    for s, t in windows:
        expected = vj.log_singular_values(chain, window=(s, t), k=1).log_singular_values[0]
        assert exact[t // 2, s // 2] == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("n", [3, 14])
@pytest.mark.parametrize("exact", [False, True])
def test_range_beyond_floats_and_a_cut(vj, n, exact):
    rng = np.random.default_rng(0)
    jacobians = helpers.orthogonal_chain(rng, n, 40)
    sizes = np.repeat([1e-300, 1e300, 1e-20, 1.0], 10)
    jacobians = jacobians * sizes[:, None, None]
    jacobians[24] = 0
    found = vj.diagnostics.influence_map(vj.JacobianChain(jacobians), points=9, exact=exact)
    logs = np.concatenate([[0], np.cumsum(np.log(sizes))])[found.times]
    i, j = np.tril_indices(9)
    cut = (found.times[i] >= 25) & (found.times[j] <= 24)
    assert np.all(np.isneginf(found.log_norm[i, j]) == cut)
    expected = (logs[:, None] - logs)[i, j]
    np.testing.assert_allclose(found.log_norm[i, j][~cut], expected[~cut], rtol=1e-13, atol=1e-12)


@pytest.mark.parametrize("exact", [False, True])
def test_a_direction_that_is_overtaken(vj, exact):
    # The leading direction of the first steps is orthogonal to the one that wins later.
    n = 14
    Q = helpers.orthogonal_chain(np.random.default_rng(1), n, 1)[0]
    rest = np.full(n - 2, 0.1)
    early = Q @ np.diag([1.0, 0.9, *rest]) @ Q.T
    late = Q @ np.diag([0.1, 1.0, *rest]) @ Q.T
    chain = vj.JacobianChain(np.stack([early] * 4 + [late] * 4))
    found = vj.diagnostics.influence_map(chain, exact=exact)
    steps = np.arange(5)
    np.testing.assert_allclose(found.log_norm[:5, 0], 0, atol=1e-9)
    expected = np.maximum(steps * np.log(0.1), 4 * np.log(0.9))
    np.testing.assert_allclose(found.log_norm[4:, 0], expected, atol=1e-9)


def test_streamed_chains_are_pushed_by_programs_for_any_length(vj):
    cell = vj.cells.VanillaCell(2, 14, key=jax.random.key(0))
    inputs = jax.random.normal(jax.random.key(1), (40, 2))
    compiled = []
    for steps in (40, 30):
        trajectory = vj.rollout(cell, cell.initial_state(), inputs[:steps])
        before = _streams.pushed._cached._cache_size()
        streamed = vj.diagnostics.influence_map(
            vj.linearize(cell, trajectory, dense=False), points=5
        )
        compiled.append(_streams.pushed._cached._cache_size() - before)
        dense = vj.diagnostics.influence_map(vj.linearize(cell, trajectory, dense=True), points=5)
        atol = 1e-9 if np.asarray(trajectory.states).dtype == np.float64 else 1e-3
        np.testing.assert_allclose(streamed.log_norm, dense.log_norm, atol=atol)
    assert compiled == [3, 0]  # ten columns forward and back, and all starts together


def test_nan_is_not_taken_for_zero(vj):
    jacobians = np.ones((3, 1, 1))
    jacobians[1] = np.nan
    found = vj.diagnostics.influence_map(vj.JacobianChain(jacobians))
    assert np.isnan(found.log_norm[3, 0]) and found.log_norm[1, 0] == 0
    for n in (3, 14):
        jacobians = helpers.orthogonal_chain(np.random.default_rng(0), n, 20)
        jacobians[9, 0, 1] = np.nan
        for exact in (False, True):
            found = vj.diagnostics.influence_map(
                vj.JacobianChain(jacobians), points=11, exact=exact
            ).log_norm
            assert np.isnan(found[5:, :5]).all()
            np.testing.assert_allclose(found[np.tril_indices(5)], 0, atol=1e-12)
            np.testing.assert_allclose(found[5:, 5:][np.tril_indices(6)], 0, atol=1e-12)


def test_exact_zero_and_limits(vj):
    found = vj.diagnostics.influence_map(vj.JacobianChain(np.zeros((2, 3, 3))))
    assert found.times.tolist() == [0, 1, 2]
    assert np.isneginf(found.log_norm[2, 0]) and found.log_norm[2, 2] == 0
    assert "log ||ds_T/ds_0|| = -inf" in repr(found)
    with pytest.raises(TypeError, match="outside jit"):
        jax.jit(lambda J: vj.diagnostics.influence_map(vj.JacobianChain(J)).log_norm)(
            jnp.ones((2, 2, 2))
        )
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

    monkeypatch.setattr(_influence, "push_of", fail)
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
