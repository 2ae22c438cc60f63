from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from . import fakes


@pytest.fixture
def plots():
    from vanishing_jax import plots

    yield plots
    plt.close("all")


def prediction(n=6, deviation=0.02, **changes):
    fields = dict(
        theory="mean-field theory",
        best_rate=-0.2,
        expected_rate=-0.2,
        standard_deviation=deviation,
        exponents=-0.2 - 0.3 * np.arange(n),
    )
    return SimpleNamespace(**{**fields, **changes})


def dashed(ax):
    return [line for line in ax.lines if line.get_color() == "#000000"]


def text_of(ax):
    return " ".join(t.get_text() for t in [ax.title, *ax.texts, *ax.figure.texts])


def test_decay_over_lags_with_a_band_of_two_deviations(plots):
    for draw in (
        lambda p: plots.plot_spectrum(fakes.spectrum(), prediction=p),
        lambda p: plots.plot_gradient_by_lag(fakes.diagnosis(prediction=p)),
    ):
        ax = draw(prediction())
        (line,) = dashed(ax)
        x, y = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
        np.testing.assert_allclose(y, -0.2 * x / np.log(10), atol=1e-12)
        (band,) = [c for c in ax.collections if len(c.get_paths()[0].vertices) > 2 * len(x)]
        vertices = band.get_paths()[0].vertices
        width = np.ptp(vertices[vertices[:, 0] == x[-1], 1])
        assert width == pytest.approx(2 * 0.04 * x[-1] / np.log(10))
        assert "−0.200 ± 0.040 nats" in text_of(ax)


def test_decay_in_time_starts_at_the_last_gradient(plots):
    profile = fakes.profile(num_steps=16)
    ax = plots.plot_gradient_profile(profile, prediction=prediction(deviation=np.nan))
    (line,) = dashed(ax)
    x, y = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
    last = float(np.asarray(profile.log_norm)[-1]) / np.log(10)
    assert y[x == 16] == pytest.approx(last) and y[x == 0] == pytest.approx(last - 3.2 / np.log(10))
    assert "±" not in text_of(ax)


def test_exponents_and_their_multiples(plots):
    ax = plots.plot_lyapunov(fakes.lyapunov(n=6), prediction=prediction())
    np.testing.assert_allclose(dashed(ax)[0].get_ydata(), -0.2 - 0.3 * np.arange(6))
    single = fakes.single_spectrum(n=6)
    steps = float(np.ptp(np.ravel(single.windows)))
    ax = plots.plot_spectrum(single, prediction=prediction())
    expected = (-0.2 - 0.3 * np.arange(6)) * steps / np.log(10)
    np.testing.assert_allclose(dashed(ax)[0].get_ydata(), expected)
    # Of another number of exponents only the bar remains.
    ax = plots.plot_lyapunov(fakes.lyapunov(n=6), prediction=prediction(n=5))
    assert all(np.size(line.get_ydata()) == 1 for line in dashed(ax))


def test_nothing_is_drawn_without_a_theory(plots):
    for none in (None, prediction(theory=None)):
        for ax in (
            plots.plot_spectrum(fakes.spectrum(), prediction=none),
            plots.plot_lyapunov(fakes.lyapunov(), prediction=none),
            plots.plot_gradient_profile(fakes.profile(), prediction=none),
            plots.plot_gradient_by_lag(fakes.diagnosis(prediction=none)),
        ):
            assert not dashed(ax)
