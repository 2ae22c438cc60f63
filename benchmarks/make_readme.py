"""Write README.md, results/*.md, the studies' pages, figures and a table of docs/guides/interop.md.

All come from the committed JSON files; nothing is measured.

python benchmarks/make_readme.py
"""

import importlib
import json
import pathlib
import sys
from typing import Any, NamedTuple

from _pages import between_marks, render
from studies import build

HERE = pathlib.Path(__file__).parent
INTEROP = HERE.parent / "docs" / "guides" / "interop.md"
MARK = "<!-- Written by benchmarks/make_readme.py. Edit pages/, not this one. -->"


class Section(NamedTuple):
    """What a benchmark asks. In pages/: `found`, for README.md, and the template of its page."""

    title: str
    question: str


SECTIONS = {
    "first_answer": Section("First answer", "How long until a first answer?"),
    "import": Section("Import", "What does importing cost?"),
    "spectrum": Section("Speed", "How fast are spectra and exponents, against what else?"),
    "accuracy": Section("Accuracy and bound", "How accurate, and is the bound honest?"),
    "peers": Section("Other tools", "What do other tools give?"),
    "training": Section("Training", "How fast is training, against what else?"),
    "associative": Section("Parallel scan", "Does a parallel scan pay for linear recurrences?"),
}


def load(name: str) -> dict[str, Any]:
    """Return the committed result of a benchmark."""
    return json.loads((HERE / "results" / f"{name}.json").read_text())


def module(name: str) -> Any:
    """Return what a benchmark's template names."""
    return importlib.import_module(f"pages.{name}")


def page(name: str, result: dict[str, Any]) -> str:
    """Return the page of one benchmark."""
    head = f"{MARK}\n# {SECTIONS[name].question}"
    template = HERE / "pages" / f"{name}.md.jinja"
    return render(template, vars(module(name)) | {"result": result, "HEAD": head})


def readme() -> str:
    """Return the page with the questions, and what was found."""
    sections = []
    for name, section in SECTIONS.items():
        result = load(name)
        seconds = result["settings"].get("wall_seconds")
        minutes = "–" if seconds is None else f"{max(1, round(seconds / 60))} min"
        found = {"found": module(name).found(result), "result": result, "minutes": minutes}
        sections.append({"name": name, **section._asdict(), **found})
    return render(HERE / "pages" / "README.md.jinja", {"MARK": MARK, "sections": sections})


def pages() -> dict[pathlib.Path, str]:
    """Return the text of every page, those of the studies too."""
    interop = between_marks(INTEROP.read_text(), module("imports").measured(load("imports")))
    found = {HERE / "README.md": readme(), INTEROP: interop}
    found |= {HERE / "results" / f"{name}.md": page(name, load(name)) for name in SECTIONS}
    return found | {build.TARGETS[name][0]: build.page(name) for name in build.NAMES}


def main() -> int:
    for path, text in pages().items():
        path.write_text(text)
    for name in ("accuracy", "peers"):
        module(name).draw(load(name), HERE / "figures")
    for name in build.NAMES:
        build.draw(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
