"""Results of depth say layers where results of time say steps."""

import pytest

from . import fakes


def depth():
    """Return a diagnosis of layers: the fake of time, with its results marked."""
    d = fakes.diagnosis()
    for result in (d, d.profile, d.spectrum, d.influence, d.lyapunov):
        result.axis = "layer"
    return d


ROWS = {
    "plot_gradient_by_lag": depth,
    "plot_gradient_profile": lambda: depth().profile,
    "plot_spectrum": lambda: depth().spectrum,
    "plot_influence": lambda: depth().influence,
    "plot_lyapunov": lambda: depth().lyapunov,
    "plot_effects": depth,
}


def texts(ax):
    return " ".join(
        [ax.get_title(loc="left"), ax.get_xlabel(), ax.get_ylabel()]
        + [text.get_text() for text in ax.texts]
        + [text.get_text() for text in (ax.get_legend().get_texts() if ax.get_legend() else [])]
    )


@pytest.mark.parametrize("name", ROWS)
def test_axes_count_layers(name):
    from vanishing_jax import plots

    written = texts(getattr(plots, name)(ROWS[name]()))
    assert "layer" in written
    assert not any(word in written for word in ("step", "time", "sequence", "partial s"))


def test_single_spectrum_names_activations():
    from vanishing_jax import plots

    spectrum = fakes.single_spectrum()
    spectrum.axis = "layer"
    assert r"\partial x_{16}/\partial x_{0}" in plots.plot_spectrum(spectrum).get_title(loc="left")


def test_summary_with_and_without_spectra():
    from vanishing_jax import plots

    d = depth()
    figure = plots.plot_diagnosis(d)
    assert "nats per layer" in figure.get_suptitle() and "layers" in figure.get_suptitle()
    d.spectrum = d.influence = None
    written = [texts(ax) for panel in plots.plot_diagnosis(d).subfigs for ax in panel.axes]
    assert any("activations too wide" in text for text in written)
    assert any("Gradient of the loss at each layer" in text for text in written)


def test_mixed_results_are_of_time():
    from vanishing_jax.plots._axis import words_of_all

    d = fakes.diagnosis()
    assert words_of_all([depth(), None]).unit == "layer"
    assert words_of_all([depth(), d]).unit == words_of_all([None]).unit == "step"
