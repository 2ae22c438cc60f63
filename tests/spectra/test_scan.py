"""The scan behind the array-level functions: values, batches in stretches, lowering."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from .. import helpers


@pytest.fixture
def scan():
    from vanishing_jax.spectra import _scan

    return _scan


def spectrum(jacobians):
    from vanishing_jax import spectra

    return np.asarray(spectra.product_log_singular_values(jnp.asarray(jacobians)))


def spectra_of(swept):
    """Return the log singular values of a batch of products."""
    from vanishing_jax.spectra._scan_finish import spectrum_of

    finish = jax.jit(jax.vmap(lambda product: spectrum_of(product, vectors=False).logs))
    return np.asarray(finish(swept.product))


def swept_in_stretches(scan, batch, lengths, *, padded=16, **options):
    """Sweep a batch, so many Jacobians at a time, each time padded to one length."""
    swept, done = scan.begin_batch(len(batch), batch.shape[-1]), 0
    for length in lengths:
        stretch = np.full((len(batch), padded, *batch.shape[2:]), np.nan)  # must not be looked at
        stretch[:, :length] = batch[:, done : done + length]
        swept = scan.sweep_batch(swept, jnp.asarray(stretch), length, **options)
        done += length
    return swept


def assert_close(found, exact, atol):
    np.testing.assert_array_equal(np.isneginf(found), np.isneginf(exact))
    finite = np.isfinite(exact)
    np.testing.assert_allclose(found[finite], exact[finite], rtol=0, atol=atol)


FAMILIES = [f for f in helpers.FAMILIES if f != "tanh, gain 20"]  # below the range of float32


# --- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", helpers.FAMILIES)
def test_agrees_with_exact_product_in_both_directions(family):
    jacobians, exact = helpers.family_and_exact_logs(family)
    assert_close(spectrum(jacobians), exact, 2e-11)
    assert_close(spectrum(np.swapaxes(jacobians[::-1], 1, 2)), exact, 2e-11)


@pytest.mark.parametrize("family", FAMILIES)
def test_float32_agrees_with_exact_product_in_both_directions(family):
    jacobians = helpers.family_and_exact_logs(family)[0].astype(np.float32)
    exact = helpers.exact_log_singular_values(jacobians, 1500)
    for chain in (jacobians, np.swapaxes(jacobians[::-1], 1, 2)):
        found = spectrum(chain)
        assert found.dtype == np.float32
        assert_close(found, exact, 2e-3)


@pytest.mark.parametrize("size", [1e-300, 1e-160, 1e160, 1e308])
def test_entries_at_the_edge_of_the_range(size):
    jacobians = size * np.stack([[[1.0, 1.0], [1.0, -1.0]]] * 5)
    np.testing.assert_allclose(spectrum(jacobians), 5 * np.log(size) + 2.5 * np.log(2), rtol=1e-13)
    size = size**0.95  # both sizes in one Jacobian must fit the range
    columns = np.stack([[[size, 1.0], [size, -1.0]]])
    assert np.sum(spectrum(columns)) == pytest.approx(np.log(2) + np.log(size), rel=1e-13)


def test_rows_further_apart_than_the_range_are_no_number():
    from vanishing_jax import spectra

    dtype = jnp.result_type(float)
    small = float(jnp.finfo(dtype).tiny)
    J = jnp.asarray([[[1 / small, 1.0], [small, small]]] * 2, dtype)
    assert np.isnan(spectra.product_log_singular_values(J)).all()
    assert np.isnan(spectra.product_log_growth(J)).all()
    assert np.isnan(jax.grad(lambda J: spectra.product_log_singular_values(J)[0])(J)).all()


def test_other_dtypes_are_refused():
    from vanishing_jax import spectra

    with helpers.as_a_user(), pytest.raises(TypeError, match="float32 or float64"):
        spectra.product_log_singular_values(jnp.ones((2, 2, 2), jnp.float16))


def test_vmap_is_a_loop():
    rng = np.random.default_rng(0)
    makers = [*helpers.FAMILIES.values()]
    batch = np.stack([make(rng, 4, 20) for make in makers])
    found = np.asarray(jax.vmap(spectrum_of_one)(jnp.asarray(batch)))
    for one, chain in zip(found, batch, strict=True):
        assert_close(one, spectrum(chain), 1e-11)


def spectrum_of_one(jacobians):
    from vanishing_jax import spectra

    return spectra.product_log_singular_values(jacobians)


# --- batches for the host -------------------------------------------------------------------------


@pytest.mark.parametrize("families", [FAMILIES[:6], FAMILIES[6:]])
def test_stretches_give_what_the_whole_gives(scan, families):
    """Zero columns and uneven ones also where a stretch begins."""
    chains, exact = zip(*map(helpers.family_and_exact_logs, families), strict=True)
    batch = np.stack(chains)
    whole = spectra_of(swept_in_stretches(scan, batch, [40], padded=48))
    parts = spectra_of(swept_in_stretches(scan, batch, [16, 1, 7, 16, 0]))
    for i in range(len(batch)):
        assert_close(whole[i], exact[i], 1e-10)
        assert_close(parts[i], exact[i], 1e-10)


def test_the_factors_are_those_of_the_product(scan):
    batch = np.stack([helpers.ginibre_chain(np.random.default_rng(i), 40, 5) for i in range(2)])
    swept = swept_in_stretches(scan, batch, [3, 2])  # larger than what is done together
    for chain, Q, e, W in zip(batch, *swept.product, strict=True):
        expected = np.linalg.multi_dot([*chain[::-1], scan.start_basis(40)])
        assert np.array_equal(W, np.triu(W))
        assert np.all((np.max(np.abs(W), axis=1) >= 1) & (np.max(np.abs(W), axis=1) < 2))
        found = np.asarray(Q) @ np.diag(2.0 ** np.asarray(e)) @ W
        np.testing.assert_allclose(found, expected, atol=1e-13 * np.abs(expected).max())


def test_other_lengths_compile_nothing(scan):
    batch = helpers.ginibre_chain(np.random.default_rng(0), 3, 33)[None]
    swept_in_stretches(scan, batch, [16, 16, 1])
    programs = scan.sweep_batch._cache_size()
    swept_in_stretches(scan, batch, [5, 11])
    swept_in_stretches(scan, batch, [16, 2, 9])
    assert scan.sweep_batch._cache_size() == programs


@pytest.mark.parametrize("per", [2, 4])
def test_several_per_factorization_lose_what_the_loss_says(scan, per):
    families = ["tanh, gain 0.5", "tanh, gain 3", "tanh first, gain 12", "orthogonal", "ginibre"]
    chains, exact = zip(*map(helpers.family_and_exact_logs, families), strict=True)
    swept = swept_in_stretches(scan, np.stack(chains), [15, 16, 9], per_factorization=per)
    # A first-order estimate for one factorization, no bound: what follows may amplify it.
    allowed = 64 * 2.0**-53 * np.sqrt(np.asarray(swept.loss))
    error = np.max(np.abs(spectra_of(swept) - np.stack(exact)), axis=1)
    assert np.all(error <= allowed + 1e-12)
    assert allowed[3] < 1e-12  # orthogonal: nothing is lost, however many


def test_a_lost_pivot_is_an_infinite_or_huge_loss(scan):
    W = np.random.default_rng(0).standard_normal((3, 3))
    W[1] = W[0]  # singular, without a zero row or column
    relu = helpers.relu_chain(np.random.default_rng(0), 3, 2, activation_first=True)
    lost, exact = np.asarray(swept_in_stretches(scan, np.stack([[W, W.T], relu]), [2]).loss)
    assert lost > 1e28 and exact < 1e6  # a zero column is no loss


# --- accelerators ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["product_log_singular_values", "product_log_growth"])
def test_lowers_for_accelerators(name, dtype):
    from vanishing_jax import spectra

    if dtype == "float64" and jnp.result_type(float) != jnp.float64:
        pytest.skip("needs 64-bit types")
    function = getattr(spectra, name)
    J = jnp.ones((3, 4, 4), dtype)
    # TPUs have no 64-bit bit patterns: it lowers, but would not compile there.
    platforms = ("cuda", "tpu") if dtype == "float32" else ("cuda",)
    for f in (function, jax.grad(lambda J: function(J)[0])):
        lowered = jax.jit(jax.vmap(f)).trace(J[None]).lower(lowering_platforms=platforms)
        assert "lapack" not in lowered.as_text()
        lowered = jax.jit(f).trace(J).lower(lowering_platforms=platforms)
        assert "lapack" not in lowered.as_text()


def test_the_batch_lowers_for_accelerators(scan):
    dtype = jnp.result_type(float)
    swept, J = scan.begin_batch(2, 4, dtype), jnp.ones((2, 3, 4, 4), dtype)
    lowered = scan.sweep_batch.trace(swept, J, 2).lower(lowering_platforms=("cuda", "tpu"))
    assert "lapack" not in lowered.as_text()
