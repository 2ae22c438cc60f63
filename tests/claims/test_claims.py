"""Every claim is complete, and a few cheap ones come out as theory says."""

import inspect
import math

import pytest

from vanishing_jax import claims
from vanishing_jax.claims._registry import claim


def test_every_claim_of_the_list_is_there_with_statement_place_and_rule():
    numbers = [id for id in claims.CLAIMS if not id.startswith("C35")]
    assert numbers == [f"C{i}" for i in range(1, 35)]
    assert [id for id in claims.CLAIMS if id.startswith("C35")] == [f"C35{x}" for x in "abcde"]
    for id, one in claims.CLAIMS.items():
        assert one.id == id and one.statement.endswith(".") and one.where and one.rule
        assert inspect.getdoc(one.experiment)
        assert "verdict" not in inspect.getsource(one.experiment)  # it is computed, not written
    with pytest.raises(ValueError, match="C4 has two"):
        claim("C4", "again", where="", rule="")(lambda settings: [])
    with pytest.raises(ValueError, match="expected one of C1, .*; got 'C99'"):
        claims.check_claim("C99")


class Tiny(claims.Settings):
    """Sizes for tests: a shape that all of them share."""

    units = property(lambda self: 40)
    steps = property(lambda self: 48)
    seeds = property(lambda self: 4)


@pytest.fixture(scope="module")
def tiny():
    return Tiny(quick=True, seed=3)


def test_delay_line_grows_with_all_eigenvalues_zero(tiny):
    result = claims.check_claim("C35c", tiny)
    assert result.verdict == "confirmed"
    assert result.findings[1].value == pytest.approx(1.2**9)


def test_company_is_not_testable(tiny):
    result = claims.check_claim("C34", tiny)
    assert result.verdict == "not testable" and result.why == result.note


def test_curse_of_memory_agrees_with_theory(tiny):
    growth = claims.check_claim("C35d", tiny).findings[0]
    assert growth.outcome == "holds"
    assert growth.value == pytest.approx(growth.prediction, abs=0.1)


@pytest.mark.slow
def test_small_derivatives_alone_do_not_make_gradients_vanish(tiny):
    result = claims.check_claim("C4", tiny)
    assert result.verdict == "confirmed under a condition"
    contracting, expanding, linear = result.findings
    assert contracting.value < 0 < expanding.value
    assert linear.value == pytest.approx(math.log(0.8), abs=0.1)
    for one in result.findings:
        assert one.value == pytest.approx(one.prediction, abs=0.15)  # 40 units are few
