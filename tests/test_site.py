"""The site: its reference lists all public names, dead links are found, addresses agree."""

import importlib.util
import json
import pathlib
import re
import tomllib

import pytest

from .test_conformance import NAMESPACES, public_objects

ROOT = pathlib.Path(__file__).parent.parent
SETTINGS = (ROOT / "mkdocs.yml").read_text()


def tool(name):
    """Import one of docs/tools."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "tools" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_reference_lists_every_public_name():
    listed = tool("public_names")
    namespaces = dict(listed.namespaces())
    # Where a name is listed once, a namespace may have a shorter path: vj.claims, vj.recipes.
    assert {name.split("/")[-1] for name in NAMESPACES} <= {n.split(".")[-1] for n in namespaces}
    exported = {
        (where.split("/")[-1] or "vj", name)
        for where, name in public_objects()
        if not name.startswith("_") and name not in {one.split(".")[-1] for one in namespaces}
    }
    found = {
        (title.split(".")[-1], name)
        for title, one in namespaces.items()
        for name in listed.names(one)
    }
    assert exported <= found
    assert [listed.undocumented(module) for module in namespaces.values()] == [[]] * len(namespaces)


def test_every_page_and_tutorial_is_in_the_navigation():
    navigation = SETTINGS.split("\nnav:")[1]
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in ROOT.glob("docs/**/*.md")]
    pages += [f"tutorials/{path.name}" for path in ROOT.glob("notebooks/*.ipynb")]
    assert [page for page in pages if page not in navigation] == []


def test_addresses_are_of_one_repository():
    (repository,) = re.findall(r"^repo_url: https://github.com/(\S+)", SETTINGS, re.MULTILINE)
    colab = f"https://colab.research.google.com/github/{repository}/blob/main/notebooks"
    index = (ROOT / "notebooks" / "README.md").read_text()
    for path in ROOT.glob("notebooks/*.ipynb"):
        first = "".join(json.loads(path.read_text())["cells"][0]["source"])
        assert f"{colab}/{path.name}" in first and f"{colab}/{path.name}" in index
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["urls"]["Source"].endswith(repository)
    assert f"version: {project['version']}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"## [{project['version']}]" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize(
    ("link", "dead"),
    [
        *((link, False) for link in ("other/", "other/#part", "#here", "https://elsewhere")),
        *((link, True) for link in ("missing/", "other/#missing", "#missing", "x.png")),
    ],
)
def test_dead_links_and_anchors_are_found(link, dead, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "index.html").write_text('<h1 id="part">Part</h1>')
    (tmp_path / "index.html").write_text(f'<p id="here"><a href="{link}">there</a></p>')
    assert tool("links").dead_links(tmp_path) == ([f"index.html: {link}"] if dead else [])
