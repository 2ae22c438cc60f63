import numpy as np
import pytest

from . import fakes


@pytest.fixture
def plot_effects():
    from vanishing_jax.plots import plot_effects

    return plot_effects


def test_one_row_per_intervention(plot_effects):
    d = fakes.diagnosis(rate=-0.2)
    ax = plot_effects(d)
    best_first = sorted(d.effects, key=lambda effect: abs(effect.rate))
    assert len(ax.containers) == len(d.effects)
    rates = [container.lines[0].get_xdata()[0] for container in ax.containers]
    np.testing.assert_allclose(rates, [effect.rate for effect in best_first])
    names = [label.get_text().replace("\n", " ") for label in ax.get_yticklabels()]
    assert names == [effect.name for effect in best_first]
    markers = {container.lines[0].get_marker() for container in ax.containers}
    assert markers == {"s", "o"}  # causes and remedies differ not by color alone
    verticals = [x[0] for line in ax.lines if (x := line.get_xdata())[0] == x[-1]]
    assert {0.0, d.rate} <= set(verticals)
    assert ax.get_xlabel() == "rate (nats per step)"


def test_horizons_stand_beside(plot_effects):
    effects = [fakes.effect("a", -0.1, np.inf), fakes.effect("b", -0.1, 210.0, extrapolated=True)]
    ax = plot_effects(fakes.diagnosis(effects=effects))
    assert {"never", "≈ 210", "horizon (steps)"} <= {text.get_text() for text in ax.texts}


def test_many_interventions_show_the_best_and_count_the_others(plot_effects):
    d = fakes.diagnosis(effects=fakes.many_effects(25))
    ax = plot_effects(d)
    assert len(ax.containers) == 12
    shown = [container.lines[0].get_xdata()[0] for container in ax.containers]
    np.testing.assert_allclose(shown, sorted((e.rate for e in d.effects), key=abs)[:12])
    assert "13 more measured" in "".join(text.get_text() for text in ax.texts)


def test_texts_beside_do_not_touch_in_the_summary(plot_effects):
    from vanishing_jax.plots import plot_diagnosis

    names = [f"a rather long name of intervention number {i}" for i in range(25)]
    effects = [fakes.effect(name, -0.01 * (i + 1), 99.6) for i, name in enumerate(names)]
    figure = plot_diagnosis(fakes.diagnosis(effects=effects))
    figure.canvas.draw()
    ax = next(ax for ax in figure.axes if ax.get_title(loc="left").startswith("Rate after"))
    beside = [text for text in ax.texts if text.get_text() in ("100", "horizon (steps)")]
    assert len(beside) == 13
    for texts in (beside, ax.get_yticklabels()):
        boxes = sorted((text.get_window_extent() for text in texts), key=lambda box: box.y0)
        assert all(a.y1 <= b.y0 for a, b in zip(boxes, boxes[1:], strict=False))


def test_a_zero_gradient_an_undefined_rate_and_no_error(plot_effects):
    effects = [
        fakes.effect("zero", -np.inf, 1.0),
        fakes.effect("undefined", np.nan, np.nan),
        fakes.effect("$\\broken{", -0.1, 2.0),
    ]
    effects[2].rate_error = np.nan
    ax = plot_effects(fakes.diagnosis(effects=effects, rate=np.nan))
    notes = "".join(text.get_text() for text in ax.texts)
    assert "1 exact zero drawn at the floor" in notes
    assert "1 value not finite, not drawn" in notes
    assert min(points.get_offsets()[0][0] for points in ax.collections) < -0.1
    ax.figure.canvas.draw()


def test_nothing_measured(plot_effects):
    ax = plot_effects(fakes.diagnosis(effects=[]))
    assert "no intervention was measured" in [text.get_text() for text in ax.texts]
