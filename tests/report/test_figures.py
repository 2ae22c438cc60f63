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
        "gradient_by_lag",
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
    paths = figures.save_figures(tmp_path, runs)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "comparison.png",
        "lstm-32/summary.png",
        "lstm-32/gradient_by_lag.png",
        "lstm-32-2/summary.png",
        "lstm-32-2/gradient_by_lag.png",
        "run-3/summary.png",
        "run-3/gradient_by_lag.png",
    ]
    assert sorted(paths) == sorted(tmp_path.rglob("*.png"))


def test_a_dict_of_one_has_a_folder_and_no_comparison(figures, tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "FIGURES", ())
    paths = figures.save_figures(tmp_path, {"tanh": fakes.diagnosis()})
    assert paths == [tmp_path / "tanh" / "summary.png"]


def test_slugs_are_unique(figures):
    assert figures.slugs(["a-3", "a", "a", "A!"]) == ["a-3", "a", "a-3-3", "a-4"]


def test_every_figure_says_how_to_read_it(figures):
    for spec in (*figures.FIGURES, figures.OVERLAY):
        assert spec.reading.endswith(".") and spec.title


def test_a_figure_is_drawn_once_in_its_context(figures, tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "FIGURES", figures.FIGURES[:1])
    drawn, original = [], figures._draw_png
    monkeypatch.setattr(
        figures, "_draw_png", lambda spec, data: drawn.append(data) or original(spec, data)
    )
    one, other = fakes.diagnosis(), fakes.healthy()
    with figures.drawn_once():
        for name in ("first", "again"):
            figures.save_figures(tmp_path / name, one)
        figures.save_figures(tmp_path / "other", other)
    assert len(drawn) == 2 and drawn[0] is one and drawn[1] is other
    first, again, other = (
        (tmp_path / name / "gradient_by_lag.png").read_bytes()
        for name in ("first", "again", "other")
    )
    assert first == again != other
    figures.save_figures(tmp_path / "later", one)
    assert len(drawn) == 3


def test_the_same_figure_has_the_same_bytes(figures):
    d = fakes.diagnosis()
    assert figures.draw_png(figures.FIGURES[0], d) == figures.draw_png(figures.FIGURES[0], d)
