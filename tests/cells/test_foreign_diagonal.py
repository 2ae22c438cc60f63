"""The same linear recurrences as the package's own, written as users write them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vanishing_jax as vj

from .test_diagonal import EPS, STEPS, D, N, drawn_inputs, expected_logs, make, references


def _function_lru():
    """Return the LRU of `make("lru")` as a plain function with a complex state."""
    cell = make("lru")
    gamma, weight = np.exp(np.asarray(cell.gamma_log)), np.asarray(cell.weight_xh)
    driven = gamma[:, None] * weight.reshape(2, N, D)
    params = cell.eigenvalues, jnp.asarray(driven[0] + 1j * driven[1])

    def step(params, h, x):
        return params[0] * h + params[1] @ x.astype(h.dtype)

    return vj.FunctionCell(step, params)


class _ForeignMinGRU(eqx.Module):
    """The minGRU of Feng et al. as a module of another library: (input, state), z by 1 - z."""

    update: eqx.nn.Linear
    candidate: eqx.nn.Linear

    def __init__(self):
        cell, key = make("minGRU"), jax.random.key(0)
        weights = zip(jnp.split(cell.weight_xh, 2), jnp.split(cell.bias, 2), strict=True)
        self.update, self.candidate = (
            eqx.tree_at(lambda m: (m.weight, m.bias), eqx.nn.Linear(D, N, key=key), pair)
            for pair in weights
        )

    def __call__(self, input, state):
        z = jax.nn.sigmoid(self.update(input))
        return (1 - z) * state + z * self.candidate(input)


@pytest.mark.parametrize("name", ["lru", "minGRU"])
def test_foreign_cells_have_the_same_spectrum(name):
    cell, inputs = make(name), drawn_inputs()
    foreign = _function_lru() if name == "lru" else vj.EquinoxCell(_ForeignMinGRU())
    start = cell.initial_state() + 1
    trajectories = [vj.rollout(c, start, inputs) for c in (cell, foreign)]
    ours, theirs = (t.states for t in trajectories)
    np.testing.assert_allclose(theirs, ours, atol=STEPS * 4 * EPS * float(jnp.max(jnp.abs(ours))))
    expected = expected_logs(name, references(name, cell, inputs)[0])
    for dense in (True, False):
        chain = vj.linearize(foreign, trajectories[1], dense=dense)
        assert len(vj.spectra.decoupled_blocks(chain)) == N
        found = vj.log_singular_values(chain).log_singular_values
        np.testing.assert_allclose(found, expected, rtol=20 * EPS, atol=STEPS * 4 * EPS)


@pytest.mark.slow
def test_diagnosis_of_a_complex_recurrence_and_its_foreign_twin():
    cell, inputs = make("lru"), drawn_inputs(1.0, 4)
    ours, theirs = (
        vj.diagnose(c, inputs, state0=cell.initial_state()) for c in (cell, _function_lru())
    )
    assert (ours.verdict, ours.horizon) == (theirs.verdict, theirs.horizon)
    np.testing.assert_allclose(ours.rate, theirs.rate, rtol=1e-9)
    expected = expected_logs("lru", references("lru", cell, inputs[0])[0])
    for diagnosis in (ours, theirs):
        found = diagnosis.spectrum.log_singular_values[-1]
        np.testing.assert_allclose(found, expected, rtol=1e-11)
        rates = diagnosis.lyapunov.exponents
        np.testing.assert_allclose(rates, expected / STEPS, rtol=1e-11)
        np.testing.assert_allclose(diagnosis.influence.log_norm[-1, 0], expected[0], rtol=1e-9)
        modulus = np.sort(np.abs(diagnosis.eigenvalues.eigenvalues[0]))[::-1]
        np.testing.assert_allclose(modulus, np.exp(expected / STEPS), rtol=1e-9)
