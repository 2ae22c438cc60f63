"""Every claim is complete, and a few cheap ones come out as theory says."""

import inspect
import types

import jax.random as jr
import numpy as np
import pytest

from vanishing_jax.studies import claims
from vanishing_jax.studies.claims import claim
from vanishing_jax.studies.claims._catalogue import claims_of
from vanishing_jax.studies.claims._networks import Net, _drawn, measured, rate


def test_every_claim_of_the_list_is_there_with_statement_place_and_rule():
    numbers = [id for id in claims.CLAIMS if not id.startswith("C35")]
    assert numbers == [f"C{i}" for i in range(1, 35)]
    assert [id for id in claims.CLAIMS if id.startswith("C35")] == [f"C35{x}" for x in "abcde"]
    for id, one in claims.CLAIMS.items():
        assert one.id == id and one.statement.endswith(".") and one.where and one.rule
        assert inspect.getdoc(one.experiment)
        assert "verdict" not in inspect.getsource(one.experiment)  # it is computed, not written
    with pytest.raises(ValueError, match="expected ids out of C1, .*; got C99"):
        claims.check_claim("C99")


def test_an_id_that_two_claims_have_is_refused():
    theme = types.ModuleType("theme")
    for name in ("one", "two"):
        setattr(theme, name, claim("C4", name, where="", rule="")(lambda settings: []))
    with pytest.raises(ValueError, match="one claim per id"):
        claims_of((theme,))


def test_claim_of_ones_own_is_tested_like_the_articles():
    def two(threshold):
        @claim("M1", "Two is small.", where="here", rule=f"It is below {threshold}.")
        def small(settings):
            return [claims.exact("two", "value", settings.seed, below=threshold)]

        return small

    verdicts = [claims.check_claim(two(x), claims.Settings(seed=2)).verdict for x in (3, 1)]
    assert verdicts == ["confirmed", "refuted"]
    mixed = claims.run_claims([two(3), "C34"], settings=claims.Settings(seed=0), progress=False)
    assert [one.verdict for one in mixed] == ["confirmed", "not testable"]
    with pytest.raises(ValueError, match="a number in it, such as 'M1'; got 'mine'"):
        claim("mine", "no number", where="", rule="")


class Tiny(claims.Settings):
    """Sizes for tests: a shape that all of them share."""

    units = property(lambda self: 40)
    steps = property(lambda self: 48)
    seeds = property(lambda self: 4)


@pytest.fixture(scope="module")
def tiny():
    return Tiny(quick=True, seed=3)


def test_company_is_not_testable(tiny):
    result = claims.check_claim("C34", tiny)
    assert result.verdict == "not testable" and result.why == result.note


def test_curse_of_memory_agrees_with_theory(tiny):
    growth = claims.check_claim("C35d", tiny).findings[0]
    assert growth.outcome == "holds"
    assert growth.value == pytest.approx(growth.prediction, abs=0.1)


def test_gradients_of_the_random_networks_agree_with_brute_force(tiny):
    found = measured(tiny, Net())
    key = jr.fold_in(jr.fold_in(jr.key(tiny.seed), 1), 2)
    weights, inputs, probe = map(np.asarray, _drawn(Net(), (tiny.units, tiny.steps), key))
    np.testing.assert_array_equal(weights, found.weights[2])
    state, states = np.zeros(tiny.units), []
    for x in inputs:
        state = np.tanh(weights @ state + x)
        states.append(state)
    vector, logs = probe.astype(float), []
    for state in reversed(states):
        logs.append(np.log(np.linalg.norm(vector)))
        vector = weights.T @ ((1 - state**2) * vector)
    np.testing.assert_allclose(found.log_norm[2, :0:-1], logs, atol=1e-4)
    assert rate(tiny, Net()).shape == (4,)
    # -0.4595 is the mean-field value (tests/theory); 40 units are few.
    assert np.mean(rate(tiny, Net())) == pytest.approx(-0.4595, abs=0.1)
