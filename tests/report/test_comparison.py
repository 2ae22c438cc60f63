import numpy as np
import pytest

from ..plots import fakes
from .test_html import HOSTILE, read

nan = np.nan
LOSSES = {
    "tanh": [[0.9, 0.6], [0.9, 0.5], [0.9, 0.7]],
    "irnn+clip=5": [[nan, nan], [0.9, 0.1], [nan, nan]],
}
DIVERGED = {("irnn+clip=5", 0): 3, ("irnn+clip=5", 2): 7}


@pytest.fixture
def report():
    from vanishing_jax import report

    return report


def test_table_figures_and_command(report, tmp_path):
    comparison = fakes.comparison(LOSSES, diverged=DIVERGED, target="loss < 0.2")
    path = report.write_comparison(
        tmp_path / "new" / "report.html", comparison, command="vanishing-jax compare --out 'a b'"
    )
    page = read(path)
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    for words in (
        "Compared on adding, T = 6",
        "3 seeds, 20 updates; memoryless baseline: loss 0.5; target: loss < 0.2",
        "tanh 0.6 [0.5, 0.7]",
        "irnn+clip=5 inf [0.1, inf]",
        "2/3",
        "Solved: seeds that reached the target",
        "vanishing-jax compare --out 'a b'",
        "record_every 10",
        "irnn+clip=5: seed 0, the one with the median final loss",
        "tanh: seed 0",
    ):
        assert words in page.text, words
    images = [attrs["src"] for tag, attrs in page.seen if tag == "img"]
    assert len(images) == 4 and all(x.startswith("data:image/png;base64,iVBOR") for x in images)
    assert "Interrupted" not in page.text


def test_without_profiles_target_or_command(report, tmp_path):
    comparison = fakes.comparison(profiles=False).assign_attrs(interrupted=1)
    page = read(report.write_comparison(tmp_path / "r.html", comparison))
    assert len([tag for tag, _ in page.seen if tag == "img"]) == 2
    assert "Interrupted: only the recipes below" in page.text
    assert "The command" not in page.text and "Solved" not in page.text


def test_what_users_write_is_escaped(report, tmp_path):
    comparison = fakes.comparison({HOSTILE: [[1.0, 0.5]]})
    page = read(report.write_comparison(tmp_path / "r.html", comparison, command=HOSTILE))
    assert not any("onerror" in attrs for _, attrs in page.seen)
    assert page.text.count("{{ 7 * 7 }}") >= 3


def test_figures_as_files(report, tmp_path):
    comparison = fakes.comparison(LOSSES, diverged=DIVERGED)
    paths = report.save_comparison_figures(tmp_path, comparison)
    assert [path.name for path in paths] == [
        "learning_curves.png", "test_scores.png", "gradient_history_tanh.png",
        "gradient_history_irnn-clip-5.png",
    ]  # fmt: skip
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_gradients_share_one_scale(report):
    from vanishing_jax.report import _comparison

    comparison = fakes.comparison(LOSSES, diverged=DIVERGED, num_steps=6)
    # Seed 0 of tanh has the median loss; a median that diverged is shown on a scale of its own.
    assert _comparison._median_seeds(comparison) == [0, 0]
    reach = _comparison._reach(comparison, [0, 1])
    np.testing.assert_allclose(np.array(reach, float), [6 / np.log(10)] * 2)
    assert _comparison._reach(comparison, [0, 0])[1] is None
    assert _comparison._reach(fakes.comparison(num_steps=50), [0]) == [6.0]
