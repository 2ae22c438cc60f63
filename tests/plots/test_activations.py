import numpy as np
import pytest

from . import fakes


@pytest.fixture
def plots():
    from vanishing_jax import plots

    return plots


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_histogram_over_time(plots):
    history = fakes.history(num_steps=16)
    ax = plots.plot_activations(history)  # the first that is not a gate
    assert ax.get_title(loc="left") == "Values of candidate over time"
    index = history.names.index("candidate")
    np.testing.assert_allclose(ax.collections[0].get_array(), history.histogram[index].T)
    assert ax.get_ylabel() == "value of tanh"
    np.testing.assert_allclose(ax.get_xlim(), (0.5, 16.5))


def test_saturation_leaves_gates_out(plots):
    history = fakes.history()
    ax = plots.plot_saturation(history)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["candidate", "output"]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), history.saturated[2])
    assert ax.get_ylabel() == "share of saturated units (tanh)"
    assert ax.get_ylim()[1] > 1


def test_kinds_that_differ_stand_in_the_legend(plots):
    history = fakes.history()
    history.kinds = (*history.kinds[:-1], "relu")
    ax = plots.plot_saturation(history)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["candidate (tanh)", "output (relu)"]
    assert ax.get_ylabel() == "share of saturated units"


def test_gate_means(plots):
    history = fakes.history()
    ax = plots.plot_gates(history)
    np.testing.assert_allclose(ax.lines[1].get_ydata(), history.mean[1])
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["input gate", "forget gate", "output gate"]
    assert ax.get_ylabel() == "mean gate value (sigmoid)"


def look(line):
    return (
        line.get_color(),
        str(line.get_linestyle()),
        line._unscaled_dash_pattern,
        line.get_marker(),
    )


@pytest.mark.parametrize("num_lines", [9, 30])
def test_no_two_gates_look_alike(plots, num_lines):
    ax = plots.plot_gates(fakes.history(4, gates=tuple(f"gate {i}" for i in range(num_lines))))
    looks = {str(look(line)[:3]) for line in ax.lines[:num_lines]}  # markers are not needed for it
    assert len(looks) == num_lines
    ax.figure.canvas.draw()
    box = ax.get_legend().get_window_extent()
    assert box.y0 >= 0 and box.x1 <= ax.figure.bbox.x1


def test_gates_of_a_stack_have_a_color_per_gate_and_a_style_per_layer(plots):
    gates = [f"layer{i}.{gate}" for i in range(3) for gate in ("input", "forget", "output")]
    looks = [look(line) for line in plots.plot_gates(fakes.history(4, gates=tuple(gates))).lines]
    looks = dict(zip(gates, looks, strict=False))
    assert len(set(looks.values())) == 9
    for gate in ("input", "forget", "output"):
        assert len({looks[f"layer{i}.{gate}"][0] for i in range(3)}) == 1
    for i in range(3):
        assert len({looks[f"layer{i}.{g}"][2] for g in ("input", "forget", "output")}) == 1


def test_what_a_cell_does_not_have_is_said(plots):
    assert "this cell has no gates" in texts(plots.plot_gates(fakes.history(gates=())))
    nothing = fakes.history(gates=())
    for field in vars(nothing):
        setattr(nothing, field, ())
    assert "no activation recorded" in texts(plots.plot_saturation(nothing))
    assert "no data" in texts(plots.plot_activations(nothing))


def test_undefined_values_and_one_step(plots):
    history = fakes.history(num_steps=1)
    assert plots.plot_saturation(history).lines[0].get_marker() == "o"
    assert plots.plot_activations(history).collections[0].get_array().shape[1] == 1
    for series in (*history.saturated, *history.histogram):
        series[:] = np.nan
    assert "not finite" in texts(plots.plot_saturation(history))
    assert "not finite" in texts(plots.plot_activations(history))
