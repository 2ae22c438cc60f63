import numpy as np
import pytest

from . import fakes


@pytest.fixture
def plot_layer_gradients():
    from vanishing_jax.plots import plot_layer_gradients

    return plot_layer_gradients


def test_one_line_per_layer_and_where_the_first_is_gone(plot_layer_gradients):
    gradients = fakes.layer_gradients(rates=(-0.2, -0.9, None))
    np.testing.assert_array_equal(gradients.gone_at, [np.inf, 8, np.nan])
    ax = plot_layer_gradients(gradients)
    lines = [line for line in ax.lines if line.get_label().startswith("layer")]
    assert [line.get_label() for line in lines] == ["layer0", "layer1"]
    np.testing.assert_allclose(lines[1].get_ydata(), -0.9 * np.arange(17) / np.log(10))
    assert 8.0 in [line.get_xdata()[0] for line in ax.lines if line not in lines]
    note = ax.texts[0].get_text()
    assert "smallest in layer1: below 0.001 of its largest at lag 8" in note
    assert "no gradient that way: layer2" in note
    assert ax.get_title(loc="left") == "Gradient in each layer, into the past"
    assert ax.get_xlabel() == "lag, back from last direct loss gradient"


def test_nothing_is_gone_and_nothing_is_there(plot_layer_gradients):
    ax = plot_layer_gradients(fakes.layer_gradients("future", rates=(-0.1,)))
    assert not ax.texts and ax.get_xlabel() == "lag, ahead of first direct loss gradient"
    ax = plot_layer_gradients(fakes.layer_gradients(rates=(None,)))
    assert [text.get_text() for text in ax.texts].count("no data") == 1


@pytest.mark.parametrize(
    ("rates", "sentence"),
    [
        ((-0.1, -0.2), "no layer's gradient falls below 1e-3 of its largest within 16 steps"),
        ((-7.0, None), "layer0 first, below 1e-3 of its largest gradient after one step"),
        (
            (-0.1, -0.9, -0.5),
            "layer1 first, below 1e-3 of its largest gradient after 8 steps (layer2 after 14; "
            "layer0 not within 16)",
        ),
    ],
)
def test_the_sentence(rates, sentence):
    gradients = fakes.layer_gradients(rates=rates)
    assert gradients.sentence() == sentence
    assert (gradients.first_gone() is None) == sentence.startswith("no layer")
