import pathlib
import re
import shlex

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PAGE = ROOT / "docs" / "spectra.md"
COMPARING = ROOT / "docs" / "comparing.md"
INTEROP = ROOT / "docs" / "interop.md"
DEPTH = ROOT / "docs" / "depth.md"
INPUT = ROOT / "docs" / "input.md"
THEORY = ROOT / "docs" / "theory.md"
CHOOSING = ROOT / "docs" / "choosing.md"
CLAIMS = ROOT / "docs" / "claims.md"
PAGES = (PAGE, COMPARING, INTEROP, DEPTH, INPUT, THEORY, CHOOSING)
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@pytest.mark.parametrize(
    "page",
    [
        *(PAGE, INTEROP, THEORY),
        *(pytest.param(page, marks=pytest.mark.slow) for page in (COMPARING, DEPTH)),
    ],
    ids=lambda page: page.name,
)
def test_example_prints_what_the_page_shows(page, capsys):
    text = page.read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (shown,) = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    exec(compile(code, page.name, "exec"), {})
    assert capsys.readouterr().out == shown


@pages
def test_named_functions_exist(page):
    import vanishing_jax as vj

    for path in re.findall(r"`vj\.([\w.]+)", page.read_text()):
        thing = vj
        for name in path.split("."):
            thing = getattr(thing, name)


def test_named_spectra_exist():
    import vanishing_jax as vj

    text = PAGE.read_text()
    columns = [row.split("|")[2] for row in text.splitlines() if row.startswith("| ")]
    others = [name for column in columns for name in re.findall(r"`(\w+)`", column)]
    assert others
    for name in others:
        getattr(vj.spectra, name)


def test_named_fields_exist():
    import vanishing_jax as vj

    for owner, field in re.findall(r"`([A-Z]\w+)\.(\w+)`", PAGE.read_text()):
        kind = getattr(vj.spectra, owner)
        assert field in kind.__dataclass_fields__ or hasattr(kind, field), (owner, field)


def test_links_lead_somewhere():
    for page in (*PAGES, CLAIMS, ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        prose = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#:]+)\)", prose):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_commands_on_the_page_can_be_read():
    """The command is parsed, its recipes and task are built; training it takes minutes."""
    import tyro

    import vanishing_jax as vj
    from vanishing_jax.cli._compare import Compare

    (command,) = re.findall(r"```sh\n(.*?)```", COMPARING.read_text(), re.DOTALL)
    program, name, *words = shlex.split(command.replace("\\\n", " "))
    assert (program, name) == ("vanishing-jax", "compare")
    given = tyro.cli(Compare, args=words)
    assert vj.tasks.named(given.task, length=given.length).length == given.length
    for recipe in given.recipes.split(","):
        assert vj.recipes.parse(recipe).name == recipe
