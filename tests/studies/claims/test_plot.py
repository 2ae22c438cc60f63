import math

import numpy as np
import pytest

from ...plots import fakes


@pytest.fixture
def plot_claim():
    from vanishing_jax.studies.claims import plot_claim

    return plot_claim


def test_findings_of_one_quantity_are_rows_with_interval_range_and_theory(plot_claim):
    result = fakes.claim_result()
    ax = plot_claim(result)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["small", "large"]
    bars = [one for one in ax.containers if hasattr(one, "lines")]
    values = [bar.lines[0].get_xdata()[0] for bar in bars]
    np.testing.assert_allclose(values, [-1.5, 1.5])
    (diamond,) = [line for line in ax.lines if line.get_marker() == "D"]
    assert diamond.get_xdata()[0] == -1.4
    # Where a range has no end, the shade goes on to the end of the axes.
    left, right = ax.get_xlim()
    shade = ax.patches[0]
    assert shade.get_x() == pytest.approx(left) and left < -2 < 2 < right
    assert shade.get_x() + shade.get_width() == pytest.approx(0)
    text = " ".join(text.get_text() for text in ax.texts)
    assert "1 more in other units" in text and "diamond: theory" in text
    assert ax.get_title(loc="left") == "C0: confirmed under a condition"


def test_curves_are_drawn_as_they_are(plot_claim):
    ax = plot_claim(fakes.claim_result(curves=True))
    measured, theory, neutral = ax.lines
    np.testing.assert_allclose(measured.get_ydata(), [1.0, 2.0])
    assert measured.get_marker() == "o" and theory.get_marker() in ("None", None, "")
    assert list(neutral.get_ydata()) == [0.5, 0.5]
    assert ax.get_xlabel() == "x" and ax.get_ylabel() == "y"


def test_nothing_to_measure_is_said(plot_claim):
    ax = plot_claim(fakes.claim_result()._replace(findings=()))
    assert "nothing to measure" in {text.get_text() for text in ax.texts}


def test_infinite_numbers_leave_the_axes_finite(plot_claim):
    result = fakes.claim_result()
    odd = result.findings[0]._replace(value=math.inf, low=math.inf, high=math.inf)
    ax = plot_claim(result._replace(findings=(odd, *result.findings)))
    assert np.isfinite(ax.get_xlim()).all()
