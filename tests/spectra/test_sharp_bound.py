"""The bound that looks at every step: against exact products and its definition."""

import equinox as eqx
import jax
import mpmath
import numpy as np
import pytest
import scipy.linalg

from .. import helpers

pytestmark = pytest.mark.float64_anyway


@pytest.fixture
def vj():
    import vanishing_jax

    return vanishing_jax


def sharp(vj, jacobians, **options):
    return vj.log_singular_values(vj.JacobianChain(jacobians), sharp_bound=True, **options)


def test_it_is_never_below_the_error_and_seldom_far_above(vj):
    rng = np.random.default_rng(11)
    families = list((helpers.FAMILIES | helpers.ILL_CONDITIONED).values())
    ratios = []
    for i in range(3 * len(families)):
        jacobians = families[i % len(families)](rng, 4, 12)
        exact = helpers.exact_log_singular_values(jacobians, 800)
        result = sharp(vj, jacobians)
        found, finite = result.log_singular_values, np.isfinite(exact)
        np.testing.assert_array_equal(np.isfinite(found), finite)
        error = np.abs(found[finite] - exact[finite])
        assert np.all(error <= result.error_bound[finite])
        assert np.all(result.error_bound[~finite] == 0)  # exact zeros
        ratios += list(result.error_bound[finite][error > 0] / error[error > 0])
    assert np.median(ratios) < 100


@pytest.mark.parametrize("family", helpers.ILL_CONDITIONED)
def test_it_sees_what_amplifies_over_many_steps(vj, family):
    jacobians = helpers.ILL_CONDITIONED[family](np.random.default_rng(3), 4, 60)
    exact = helpers.exact_log_singular_values(jacobians, 800)
    result = sharp(vj, jacobians, direction="backward")
    error = np.abs(result.log_singular_values - exact)
    np.testing.assert_array_less(error, result.error_bound)
    if family == "jordan, rotated":  # and it is no false alarm
        assert np.max(result.error_bound) < 1e3 * np.max(error)


def test_cost_is_that_of_independent_roundings(vj):
    from vanishing_jax.spectra._backend import cpu
    from vanishing_jax.spectra._graded import start_frame
    from vanishing_jax.spectra._rounding_cost import rounding_cost
    from vanishing_jax.spectra._walk import source_of

    # Directions far apart, so that singular vectors are those of the triangle.
    rng, n, steps = np.random.default_rng(2), 4, 4
    sizes = np.array([1.0, 1e-2, 1e-3, 1e-5])[:, None]
    jacobians = sizes * helpers.orthogonal_chain(rng, n, steps)
    with jax.enable_x64(True), jax.default_device(cpu().device):
        source = source_of(vj.JacobianChain(jacobians), 0, steps, 0, False)
        found = rounding_cost(source, steps=16, dtype=np.dtype(np.float64), batched=False)
    expected = _cost_in_high_precision(jacobians, start_frame(n))
    np.testing.assert_allclose(found.cost, expected, rtol=1e-2)


def _cost_in_high_precision(jacobians, frame):
    """Return the cost from its definition: products and singular vectors of 80 digits."""
    with mpmath.workdps(80):
        n, factors = len(frame), []
        for J in jacobians:
            Q, R = scipy.linalg.lu(J @ frame, permute_l=True)[:2]
            factors.append((frame, Q, R))
            frame = Q
        J = [mpmath.matrix(J.tolist()) for J in jacobians]
        upto, after = [mpmath.eye(n)], [mpmath.eye(n)]
        for t in range(len(J)):
            upto.append(J[t] * upto[-1])
            after.append(after[-1] * J[-1 - t])
        u, sigma, vt = mpmath.svd_r(upto[-1])
        total = np.zeros(n)
        for t, (before, Q, R) in enumerate(factors):
            x = mpmath.inverse(mpmath.matrix(before.tolist())) * upto[t] * vt.T
            b = u.T * after[len(J) - 1 - t]
            b = np.array((mpmath.diag([1 / s for s in sigma]) * b).tolist())
            x = np.array(x.tolist())
            for i in range(n):
                met = (np.square(Q) @ (np.square(R) @ np.square(x[:, i]))) @ np.square(b[i])
                total[i] += float(met)
        return np.sqrt(total)


def test_batches_streamed_and_float32_chains_have_it_too(vj):
    with jax.enable_x64(False):
        cell = vj.cells.VanillaCell(1, 4, key=jax.random.key(0))
        inputs = jax.random.normal(jax.random.key(1), (2, 12, 1))

        def chain(x, **options):
            trajectory = vj.rollout(cell, cell.initial_state(), x)
            return vj.linearize(cell, trajectory, **options)

        streamed = eqx.filter_vmap(lambda x: chain(x, dense=False))(inputs)
        batch = vj.log_singular_values(streamed, sharp_bound=True)
        alone = [np.asarray(chain(x, precision="float64").jacobians) for x in inputs]
    assert batch.error_bound.shape == (2, 4)
    for i, jacobians in enumerate(alone):
        one = sharp(vj, jacobians)
        apart = np.abs(batch.log_singular_values[i] - one.log_singular_values)
        np.testing.assert_array_less(apart, batch.rounding_of_jacobians[i])
        assert np.max(batch.rounding_of_jacobians[i]) < 1e4 * np.max(apart)
        np.testing.assert_allclose(batch.error_bound[i], one.error_bound, rtol=0.2)


def test_decoupled_blocks_keep_their_own_bound(vj):
    jacobians = np.tile(np.diag([0.5, 0.25]), (9, 1, 1))
    plain, sharper = vj.log_singular_values(vj.JacobianChain(jacobians)), sharp(vj, jacobians)
    np.testing.assert_array_equal(plain.error_bound, sharper.error_bound)


def test_what_it_cannot_do_is_said(vj, monkeypatch, tmp_path):
    from vanishing_jax.spectra import _sharp_bound

    jacobians = np.random.default_rng(0).standard_normal((12, 4, 4))
    for options in ({"every": 2}, {"lags": [1, 2]}, {"checkpoint": tmp_path / "walk"}):
        (name,) = options
        with pytest.raises(ValueError, match=f"without {name}="):
            sharp(vj, jacobians, **options)
    jacobians[5, 0, 0] = np.nan
    with pytest.raises(vj.NonFiniteError, match="t = 6"):
        sharp(vj, jacobians)
    monkeypatch.setattr(_sharp_bound, "_STORED_BYTES", 10)
    with pytest.raises(MemoryError, match="shorter windows"):
        sharp(vj, jacobians)
