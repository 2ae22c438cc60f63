"""The rule by which measured intervals become a verdict, on numbers made up for the purpose."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from vanishing_jax.studies.claims import RULE, VERDICTS, ClaimResult, Curve, Figure, decide
from vanishing_jax.studies.claims._finding import (
    Finding,
    all_seeds,
    exact,
    number,
    over_seeds,
    spread_ratio,
)
from vanishing_jax.studies.claims._result import from_json, to_json


def finding(low, high, above=-math.inf, below=math.inf, case="here"):
    return Finding(case, "rate [nats]", (low + high) / 2, low, high, above, below)


@pytest.mark.parametrize(
    ("low", "high", "above", "below", "outcome"),
    [
        (-2, -1, -math.inf, 0, "holds"),
        (1, 2, -math.inf, 0, "fails"),
        (-1, 1, -math.inf, 0, "open"),
        (0, 0, -math.inf, 0, "fails"),  # the range is open: on the edge is outside
        (0, 1, 0, math.inf, "open"),
        (-1, 0, 0, math.inf, "fails"),
        (-0.1, 0.1, -0.2, 0.2, "holds"),
        (-0.3, 0.1, -0.2, 0.2, "open"),
        (0.3, 0.4, -0.2, 0.2, "fails"),
        (math.inf, math.inf, 0, math.inf, "fails"),  # no finite number is not a large one
        (math.nan, math.nan, 0, math.inf, "open"),
    ],
)
def test_outcome_is_where_the_interval_lies(low, high, above, below, outcome):
    assert finding(low, high, above, below).outcome == outcome


def test_verdict_of_every_combination_of_three_findings():
    for outcomes in itertools.product(("holds", "fails", "open"), repeat=3):
        verdict = decide(outcomes)
        # What an open finding could still turn out to be decides whether it can be ignored.
        possible = {
            decide(closed)
            for closed in itertools.product(
                *(("holds", "fails") if one == "open" else (one,) for one in outcomes)
            )
        }
        assert verdict == (possible.pop() if len(possible) == 1 else "not testable"), outcomes
    assert {decide(x) for x in (["holds"], ["fails"], ["holds", "fails"], [])} == set(VERDICTS)
    assert all(verdict in RULE.lower() for verdict in VERDICTS)


def test_verdict_and_sentence_follow_the_numbers():
    def result(*findings):
        return ClaimResult("C0", "gradients vanish", "nowhere", findings, note="no data")

    low, high = finding(-2, -1, below=0.0, case="small"), finding(1, 2, below=0.0, case="large")
    assert result(low).verdict == "confirmed"
    assert result(high).why == "It fails for large (rate 1.5, needed below 0)."
    both = result(low, high)
    assert both.verdict == "confirmed under a condition"
    assert both.why == (
        "It holds for small (rate −1.5, needed below 0). "
        "It fails for large (rate 1.5, needed below 0)."
    )
    assert (result().verdict, result().why) == ("not testable", "no data")


def test_interval_of_the_mean_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    found = [over_seeds("", "", rng.normal(3, 2, size=6)) for _ in range(2000)]
    inside = np.mean([one.low < 3 < one.high for one in found])
    assert abs(inside - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 2000)
    assert over_seeds("", "", [1.0]).outcome == "open"
    assert over_seeds("", "", [1.0, math.inf]).outcome == "open"


def test_interval_of_the_ratio_of_scatters_covers_the_truth():
    rng = np.random.default_rng(1)
    found = [spread_ratio("", "", rng.normal(0, 10, 6), rng.normal(0, 1, 6)) for _ in range(2000)]
    inside = np.mean([one.low < 1 < one.high for one in found])
    assert abs(inside - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 2000)


def test_intervals_of_all_seeds_and_of_exact_numbers():
    one = all_seeds("", "", [3.0, 1.0, 2.0], below=2.5)
    assert (one.value, one.low, one.high, one.outcome) == (2.0, 1.0, 3.0, "open")
    assert exact("", "", 1.0, above=0.0).outcome == "holds"
    x = np.arange(5.0)
    half = stats.sem(x) * stats.t.ppf(0.975, 4)
    assert over_seeds("", "", x).high == pytest.approx(2 + half)


def test_results_survive_json():
    curve = Curve("a", (1.0, 2.0), (0.5, -math.inf))
    figure = Figure("t", "x", "y", (curve,), 0.0)
    one = finding(-math.inf, math.inf, below=0.0)._replace(prediction=1.5)
    result = ClaimResult("C0", "s", "w", (one,), figure, "n")
    data = to_json(result)
    back = from_json(data)
    assert repr(back.findings) == repr(result.findings)  # nan is not itself
    assert back._replace(findings=()) == result._replace(findings=())
    data["verdict"] = "confirmed"  # what a file says of the verdict is not believed
    assert from_json(data).verdict == "not testable"


def test_numbers_for_people():
    shown = [number(x) for x in (-0.25, 0.0, 1.0, 123.456, 2e5, 3e-7, math.inf, -math.inf, 100.0)]
    assert shown == ["−0.25", "0", "1", "123.5", "2.0e5", "3.0e−7", "∞", "−∞", "100"]
