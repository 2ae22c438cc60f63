import jax.numpy as jnp
import numpy as np
import pytest

from .. import helpers


@pytest.fixture
def vj():
    import vanishing_jax

    return vanishing_jax


def spectrum(vj, jacobians, **options):
    return vj.log_singular_values(vj.JacobianChain(jacobians), **options)


@pytest.mark.float64_anyway
@pytest.mark.parametrize("family", helpers.FAMILIES | helpers.ILL_CONDITIONED)
def test_the_way_of_an_accelerator_is_as_accurate(vj, family, monkeypatch):
    from vanishing_jax.spectra import _backend, _walk

    cpu = _backend.cpu()
    monkeypatch.setattr(_walk, "backend_for", lambda _: _backend.accelerator(cpu.device))
    jacobians, exact = helpers.family_and_exact_logs(family)
    finite = np.isfinite(exact)
    for options in ({}, {"direction": "backward", "tolerance": 1e-9}):
        result = spectrum(vj, jacobians, **options)
        found = result.log_singular_values
        np.testing.assert_array_equal(np.isfinite(found), finite)
        error = np.abs(found[finite] - exact[finite])
        np.testing.assert_array_less(error, 1e-7)
        np.testing.assert_array_less(error, result.error_bound[finite])


def test_chains_outside_a_gpu_are_walked_on_the_cpu(vj):
    from vanishing_jax.spectra._backend import accelerator, backend_for, cpu

    J = helpers.ginibre_chain(np.random.default_rng(0), 3, 8)
    for jacobians in (J, jnp.asarray(J)):
        assert backend_for(vj.JacobianChain(jacobians)) == cpu()
    assert accelerator(cpu().device).method == "cholesky"
