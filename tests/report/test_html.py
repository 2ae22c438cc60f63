import html.parser
import re

import jax
import numpy as np
import pytest

from ..plots import fakes

HOSTILE = "<img src=x onerror=alert(1)> & \"quotes\" 'too' {{ 7 * 7 }} $"


@pytest.fixture
def write_report():
    from vanishing_jax.report import write_report

    return write_report


@pytest.fixture(autouse=True)
def _few_figures(monkeypatch):
    """Keep two figures: the plots have their own tests, and the browser's test draws them all."""
    from vanishing_jax.report import _figures

    few = tuple(spec for spec in _figures.FIGURES if spec.name in ("gradient_by_lag", "effects"))
    monkeypatch.setattr(_figures, "FIGURES", few)


class Tags(html.parser.HTMLParser):
    VOID = {"meta", "link", "img", "br"}

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def read(path):
    tags = Tags(path.read_text(encoding="utf-8"))
    assert tags.open == []
    return tags


def test_one_diagnosis(write_report, tmp_path):
    path = write_report(
        tmp_path / "new" / "report.html", fakes.diagnosis(rate=-0.5), title="My network"
    )
    tags = read(path)
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    assert "My network" in tags.text and "Overview" not in tags.text
    for words in (
        "vanishing",
        "The gradient loses a factor of 1.65 at each step.",
        "−0.500 ± 0.030 nats per step",
        "14 steps",
        "forget bias +3",
        "saturated units",
        "gradient clipping",
        "3 of 6 directions keep > 1e-3",
        "condition 1e11",
        "vanishing_jax",
    ):
        assert words in tags.text, words


@pytest.mark.parametrize(("x64", "word"), [(True, "on"), (False, "off")])
def test_the_x64_flag_is_named(write_report, tmp_path, x64, word):
    with jax.enable_x64(x64):
        path = write_report(tmp_path / "r.html", fakes.healthy(), title="t")
    assert f"64-bit types {word}" in read(path).text


def test_figures_are_embedded_and_described(write_report, tmp_path):
    tags = read(write_report(tmp_path / "r.html", fakes.diagnosis(), title="t"))
    images = [attrs for tag, attrs in tags.seen if tag == "img"]
    assert len(images) == 2
    for image in images:
        assert image["src"].startswith("data:image/png;base64,iVBOR")
        assert image["alt"] and int(image["width"]) > 0 and int(image["height"]) > 0
    assert "where the median sequence crosses 0.001" in tags.text


def test_nothing_is_loaded_or_run(write_report, tmp_path):
    path = write_report(tmp_path / "r.html", {"a": fakes.diagnosis()}, title="t")
    tags = read(path)
    assert not [tag for tag, _ in tags.seen if tag in ("script", "iframe", "object")]
    links = [a.get("href") or a.get("src") or "#" for _, a in tags.seen]
    assert all(link.startswith(("data:", "#")) for link in links)
    assert not re.search(r"https?://|url\(|@import", re.sub(r'"data:[^"]*"', "", path.read_text()))


def test_what_users_write_is_escaped(write_report, tmp_path):
    d = fakes.diagnosis(reason=HOSTILE, gradient_source=HOSTILE, skipped={HOSTILE: HOSTILE})
    d.effects = d.causes = d.recommendations = [fakes.effect(HOSTILE, -0.1, 5.0)]
    path = write_report(
        tmp_path / "r.html",
        {HOSTILE: d, "other": fakes.healthy()},
        title=HOSTILE,
        configuration={HOSTILE: {HOSTILE: HOSTILE}},
        table=[{HOSTILE: HOSTILE}],
    )
    tags = read(path)
    assert not any("onerror" in attrs for _, attrs in tags.seen)
    assert tags.text.count("{{ 7 * 7 }}") >= 10 and "49" not in tags.text.split()
    ids = [attrs["id"] for _, attrs in tags.seen if "id" in attrs]
    assert all(re.fullmatch("[a-z0-9-]+", name) for name in ids)


def test_several_diagnoses_are_compared_first(write_report, tmp_path):
    runs = {"tanh": fakes.diagnosis(), "lstm": fakes.healthy()}
    tags = read(write_report(tmp_path / "r.html", runs, title="t"))
    assert "Overview" in tags.text and "nothing needed" in tags.text
    assert len([tag for tag, _ in tags.seen if tag == "img"]) == 1 + 2 + 2
    hrefs = {attrs["href"][1:] for tag, attrs in tags.seen if tag == "a"}
    assert hrefs == {attrs["id"] for tag, attrs in tags.seen if "id" in attrs} == {"tanh", "lstm"}


def test_extreme_values_are_words(write_report, tmp_path):
    d = fakes.diagnosis(horizon=np.inf, zeros=True)
    d.rate = -np.inf
    text = read(write_report(tmp_path / "r.html", d, title="t")).text
    for words in ("−∞ (gradient exactly 0)", "never", "0 of 6 directions keep > 1e-3; singular"):
        assert words in text
    assert not {"nan", "inf", "None"} & set(text.split())


def test_one_step_of_one_unit(write_report, tmp_path):
    text = read(write_report(tmp_path / "r.html", fakes.one_step(), title="t")).text
    assert "one sequence of one step" in text and "state of 1" in text
    assert "The verdict is open, so no change is proposed and no cause is named." in text
    assert "Causes" not in text


def test_a_healthy_network_needs_nothing(write_report, tmp_path):
    text = read(write_report(tmp_path / "r.html", fakes.healthy(), title="t")).text
    assert "What each change would do Nothing needs mending. Rate and horizon after" in text
    for words in (
        "What to try",
        "Causes",
        "was found",
        "measured helps",
        "Also measured",
        "proposed",
    ):
        assert words not in text, words


@pytest.mark.parametrize("verdict", ["vanishing", "exploding"])
def test_a_broken_network_that_nothing_helps(write_report, tmp_path, verdict):
    def text(**changes):
        d = fakes.diagnosis(verdict=verdict, causes=[], recommendations=[], **changes)
        return read(write_report(tmp_path / "r.html", {"a": d, "b": d}, title="t")).text

    tried = text()
    assert "What to try No remedy that was measured helps." in tried
    assert "Causes No single cause was found. Also measured, on the same data." in tried
    assert "nothing measured helps" in tried
    untried = text(effects=[])
    assert "What to try No remedy was measured. Causes No intervention was measured." in untried


def test_the_share_of_sequences_without_gradient_is_listed(write_report, tmp_path):
    text = read(write_report(tmp_path / "r.html", fakes.diagnosis(zero_share=0.4), title="t")).text
    assert "zeros gradient exactly 0 in 40 % of the sequences" in text
    text = read(write_report(tmp_path / "r.html", fakes.diagnosis(), title="t")).text
    assert "exactly 0" not in text


def test_configuration_and_table(write_report, tmp_path):
    text = read(
        write_report(
            tmp_path / "r.html",
            fakes.diagnosis(),
            title="t",
            configuration={"task": {"name": "adding", "options": {}}, "seed": None},
            table=[{"recipe": "tanh", "loss": 0.123456}, {"recipe": "lstm", "steps": np.inf}],
        )
    ).text
    assert "task.name adding task.options {} seed" in text
    assert "recipe loss steps tanh 0.1235 lstm ∞" in text


def test_no_diagnosis_is_refused(write_report, tmp_path):
    with pytest.raises(ValueError, match="at least one diagnosis"):
        write_report(tmp_path / "r.html", {}, title="t")


def test_a_network_begins_with_the_whole_and_has_a_section_for_each_part(write_report, tmp_path):
    tags = read(write_report(tmp_path / "report.html", fakes.network(), title="Network"))
    text = tags.text
    assert text.index("The whole network") < text.index("The parts, each alone")
    assert "into the past" in text and "layer1 first, below 1e-3" in text
    ids = {attrs["id"] for tag, attrs in tags.seen if tag == "section" and "id" in attrs}
    assert ids == {"layer0-forward", "layer0-backward"}
    titles = [attrs["alt"] for tag, attrs in tags.seen if tag == "img"]
    assert "Gradient in each layer, into the future" in titles


def test_figures_of_a_network_lie_in_a_folder_for_each_part(tmp_path):
    from vanishing_jax.report import save_figures

    paths = save_figures(tmp_path, fakes.network(parts=("layer0",)))
    names = [str(path.relative_to(tmp_path)) for path in paths]
    assert names[:3] == ["summary.png", "layers_past.png", "layers_future.png"]
    assert "layer0/gradient_by_lag.png" in names and all(path.exists() for path in paths)
