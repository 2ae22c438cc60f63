import pathlib
import re
import shlex

import pytest

ROOT = pathlib.Path(__file__).parent.parent
DOCS = ROOT / "docs"
GUIDES = sorted((DOCS / "guides").glob("*.md"))
PAGES = [*sorted(DOCS.rglob("*.md")), *ROOT.glob("*.md"), *ROOT.glob("notebooks/*.md")]
SPECTRA, COMPARING = DOCS / "guides" / "spectra.md", DOCS / "guides" / "comparing.md"
SLOW = {"choosing.md", "comparing.md", "depth.md", "extending.md"}
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.stem, marks=[pytest.mark.slow] * (page.name in SLOW))
        for page in GUIDES
        if page.name != "index.md"
    ],
)
def test_examples_print_what_the_guide_shows(page, capsys):
    """All code of a guide runs in its order, as users run it: without 64-bit types."""
    import jax

    blocks = re.findall(r"```(python|text)\n(.*?)```", page.read_text(), re.DOTALL)
    assert [kind for kind, _ in blocks[:2]] == ["python", "text"]
    names: dict = {}
    with jax.enable_x64(False):
        for kind, text in blocks:
            if kind == "python":
                exec(compile(text, page.name, "exec"), names)
            else:
                assert capsys.readouterr().out == text


@pages
def test_named_functions_exist(page):
    import vanishing_jax as vj

    for path in re.findall(r"`vj\.([\w.]+)", page.read_text()):
        thing = vj
        for name in path.split("."):
            thing = getattr(thing, name)


def test_named_spectra_exist():
    import vanishing_jax as vj

    text = SPECTRA.read_text()
    columns = [row.split("|")[2] for row in text.splitlines() if row.startswith("| ")]
    others = [name for column in columns for name in re.findall(r"`(\w+)`", column)]
    assert others
    for name in others:
        getattr(vj.spectra, name)


def test_named_fields_exist():
    import vanishing_jax as vj

    for owner, field in re.findall(r"`([A-Z]\w+)\.(\w+)`", SPECTRA.read_text()):
        kind = getattr(vj.spectra, owner)
        assert field in kind.__dataclass_fields__ or hasattr(kind, field), (owner, field)


@pages
def test_links_lead_somewhere(page):
    prose = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", prose):
        assert (page.parent / target).exists(), target


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
