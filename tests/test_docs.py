import pathlib
import re

ROOT = pathlib.Path(__file__).parent.parent
PAGE = ROOT / "docs" / "spectra.md"


def test_example_prints_what_the_page_shows(capsys):
    text = PAGE.read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (shown,) = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    exec(compile(code, PAGE.name, "exec"), {})
    assert capsys.readouterr().out == shown


def test_named_functions_exist():
    import vanishing_jax as vj

    text = PAGE.read_text()
    tops = re.findall(r"`vj\.(\w+)", text)
    columns = [row.split("|")[2] for row in text.splitlines() if row.startswith("| ")]
    others = [name for column in columns for name in re.findall(r"`(\w+)`", column)]
    assert tops and others
    for name in tops:
        getattr(vj, name)
    for name in others:
        getattr(vj.spectra, name)


def test_named_fields_exist():
    import vanishing_jax as vj

    for owner, field in re.findall(r"`([A-Z]\w+)\.(\w+)`", PAGE.read_text()):
        kind = getattr(vj.spectra, owner)
        assert field in kind.__dataclass_fields__ or hasattr(kind, field), (owner, field)


def test_links_lead_somewhere():
    for page in (PAGE, ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
