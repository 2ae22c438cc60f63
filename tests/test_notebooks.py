"""Every page runs, at toy size, and the committed notebook is what its source makes."""

import importlib.util
import json
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
FOLDER = ROOT / "notebooks"
SOURCES = sorted((FOLDER / "sources").glob("*.py"))
# An absolute path: a slash after neither a word nor a URL, then a folder.
ABSOLUTE = re.compile(r"(?<![\w.:/)}\])])/[A-Za-z][\w.-]*/|[A-Z]:\\\\")
pages = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)


def _cells(source):
    """Return (kind, text) of a source's cells, read as plainly as possible."""
    blocks = re.split(r"^# %%(.*)\n", source.read_text(), flags=re.MULTILINE)[1:]
    cells = []
    for mark, text in zip(blocks[::2], blocks[1::2], strict=True):
        kind = "markdown" if "markdown" in mark else "code"
        if kind == "markdown":
            text = re.sub(r"^# ?", "", text, flags=re.MULTILINE)
        cells.append((kind, text.strip()))
    return cells


def _book(source):
    book = json.loads((FOLDER / f"{source.stem}.ipynb").read_text())
    for cell in book["cells"]:
        cell["source"] = "".join(cell["source"])
    return book


def _build_module():
    spec = importlib.util.spec_from_file_location("build", FOLDER / "build.py")
    assert spec is not None and spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    return build


def _outputs(book):
    return [output for cell in book["cells"] for output in cell.get("outputs", [])]


@pytest.mark.slow
def test_every_page_runs_at_toy_size():
    """As users run them: another process, JAX's defaults, and a warning is an error."""
    command = [sys.executable, "-W", "error", str(FOLDER / "build.py"), "--toy"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    for source in SOURCES:
        assert source.stem in run.stdout


def test_every_source_has_its_notebook_and_none_is_left_over():
    assert SOURCES
    assert {s.stem for s in SOURCES} == {path.stem for path in FOLDER.glob("*.ipynb")}


@pages
def test_notebook_holds_what_its_source_says(source):
    """Whoever edits a source runs `make notebooks`."""
    book = [(cell["cell_type"], cell["source"]) for cell in _book(source)["cells"]]
    assert book == _cells(source)


@pages
def test_notebook_was_executed_without_error_or_warning(source):
    book = _book(source)
    outputs = _outputs(book)
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert any(output["output_type"] == "stream" for output in outputs)
    for output in outputs:
        assert output["output_type"] != "error"
        assert output.get("name") != "stderr", output["text"]
    code = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))


@pages
def test_notebook_is_small_and_names_no_place_on_a_machine(source):
    path = FOLDER / f"{source.stem}.ipynb"
    assert path.stat().st_size < 300_000
    book = _book(source)
    texts = [cell["source"] for cell in book["cells"]]
    for output in _outputs(book):
        texts.append("".join(output.get("text", "")))
        texts += ["".join(t) for kind, t in output.get("data", {}).items() if "png" not in kind]
    for text in texts:
        assert not ABSOLUTE.search(text), ABSOLUTE.search(text)


@pages
def test_first_cell_says_what_is_learned_and_last_what_to_try(source):
    (kind, first), *_, (last_kind, last) = _cells(source)
    assert kind == last_kind == "markdown"
    assert first.startswith("# ") and "**What you will learn:**" in first
    assert "## What to try" in last and "## References" in last


@pages
def test_links_and_names_lead_somewhere(source):
    import vanishing_jax as vj

    for kind, text in _cells(source):
        for target in re.findall(r"\]\(([^)#:]+)\)", text if kind == "markdown" else ""):
            assert (FOLDER / target).exists(), target
    for path in re.findall(r"\bvj\.([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)", source.read_text()):
        thing = vj
        for name in path.split(".")[:2]:
            thing = getattr(thing, name)


def test_text_is_renewed_around_the_outputs_only_where_the_code_is_the_same(tmp_path, monkeypatch):
    build = _build_module()
    monkeypatch.setattr(build, "FOLDER", tmp_path)
    name, text = SOURCES[0].stem, SOURCES[0].read_text()
    notebook, source = tmp_path / f"{name}.ipynb", tmp_path / f"{name}.py"
    shutil.copy(FOLDER / notebook.name, notebook)
    source.write_text(text.replace("What you will learn", "What you learn"))
    before, after = (
        json.loads(notebook.read_text()),
        json.loads(build.renew_text(source).read_text()),
    )
    assert _outputs(before) == _outputs(after)
    assert [cell["id"] for cell in before["cells"]] == [cell["id"] for cell in after["cells"]]
    assert "What you learn" in "".join(after["cells"][0]["source"])
    source.write_text(text.replace("import os", "import sys"))
    with pytest.raises(SystemExit, match="has changed"):
        build.renew_text(source)


def test_figures_keep_the_colors_of_their_areas():
    import numpy as np
    from PIL import Image

    build = _build_module()
    ramp = np.arange(256)
    pixels = np.stack(np.broadcast_arrays(ramp[:, None], ramp, 128), axis=-1).astype(np.uint8)
    pixels[:, 56:] = [229, 229, 233]  # an area of one pale gray
    small = build._with_palette(Image.fromarray(pixels))
    assert small.mode == "P"
    error = np.abs(np.asarray(small.convert("RGB")).astype(int) - pixels)
    assert error[:, 56:].max() == 0 and error.max() < 30


def test_paths_are_recognized():
    for text in ("see /home/someone/x.py", "'/tmp/a/b'", "(/usr/lib/python3)", "C:\\\\Users"):
        assert ABSOLUTE.search(text), text
    for text in ("nats/step", "https://a.org/b/c", "data/x.safetensors", "and/or/not", "J_t/dx/2"):
        assert not ABSOLUTE.search(text), text
