import os
import pathlib
import re
import subprocess
import sys

README = (pathlib.Path(__file__).parent.parent / "README.md").read_text()


def test_example_prints_what_the_readme_shows():
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (shown,) = re.findall(r"```text\n(.*?)```", README, re.DOTALL)
    # Compiled as users do, who set none of the suite's flags.
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    printed = subprocess.run(
        [sys.executable, "-c", code],
        env=environment, capture_output=True, text=True, check=True, timeout=300,
    ).stdout  # fmt: skip
    assert printed == shown


def test_one_screen():
    """At most 400 words beside the example's output, which has about a hundred."""
    assert len(re.sub(r"```text\n.*?```", "", README, flags=re.DOTALL).split()) <= 400


def test_named_functions_exist():
    import vanishing_jax as vj

    for path in re.findall(r"`vj\.([\w.]+)", README):
        thing = vj
        for name in path.split("."):
            thing = getattr(thing, name)


def test_commands_exist_and_the_picture_is_there():
    root = pathlib.Path(__file__).parent.parent
    makefile = (root / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (root / picture).stat().st_size > 10_000
