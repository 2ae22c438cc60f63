import pytest

from ..plots import fakes


@pytest.fixture
def figures():
    from vanishing_jax.report import _figures

    return _figures


def test_files_of_one_diagnosis(figures, tmp_path):
    paths = figures.save_figures(tmp_path / "figures", fakes.one_step())
    assert [path.stem for path in paths] == [
        "summary",
        "transport",
        "spectrum",
        "spectrum_density",
        "influence",
        "eigenvalues",
        "lyapunov",
        "activations",
        "saturation",
        "gates",
    ]
    assert sorted(paths) == sorted((tmp_path / "figures").iterdir())
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_files_of_several(figures, tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "FIGURES", figures.FIGURES[:1])
    runs = {"LSTM / 32": fakes.diagnosis(), "lstm 32": fakes.healthy(), "→": fakes.one_step()}
    names = [path.name for path in figures.save_figures(tmp_path, runs)]
    assert names == [
        "lstm-32-summary.png",
        "lstm-32-transport.png",
        "lstm-32-2-summary.png",
        "lstm-32-2-transport.png",
        "run-3-summary.png",
        "run-3-transport.png",
        "comparison.png",
    ]


def test_every_figure_says_how_to_read_it(figures):
    for spec in (*figures.FIGURES, figures.OVERLAY):
        assert spec.reading.endswith(".") and spec.title


def test_the_same_figure_has_the_same_bytes(figures):
    d = fakes.diagnosis()
    assert figures.draw_png(figures.FIGURES[0], d) == figures.draw_png(figures.FIGURES[0], d)
