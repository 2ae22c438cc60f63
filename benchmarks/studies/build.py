"""The pages of the studies and their figures, each from the result in its folder.

A study is a folder with `run.py` (its `BENCHMARK` measures and writes `result.json`), a template
`page.md.jinja` and `page.py`: what the template names, and `draw(result, folder)` for the figures.
`page.names(result)`, if there is one, gives what the template names beside the module's own.
"""

import importlib
import json
import pathlib
from typing import Any

from _pages import BEGIN, between_marks, render

HERE = pathlib.Path(__file__).parent
BENCHMARKS, GUIDES = HERE.parent, HERE.parents[1] / "docs" / "guides"
NAMES = sorted(path.parent.name for path in HERE.glob("*/run.py"))

# Where each page goes, and its figures. A page that has marks is replaced only between them.
TARGETS = {
    "choosing": (GUIDES / "choosing.md", GUIDES),
    "depth": (BENCHMARKS / "depth.md", BENCHMARKS / "figures"),
    "mean_field": (BENCHMARKS / "mean_field.md", BENCHMARKS / "figures"),
    "phase": (GUIDES / "theory.md", GUIDES),
    "remedies": (BENCHMARKS / "remedies.md", BENCHMARKS / "figures"),
}


def text(name: str, result: dict[str, Any]) -> str:
    """Return what a study's template makes of a result."""
    module = _module(name)
    more = module.names(result) if hasattr(module, "names") else {}
    return render(HERE / name / "page.md.jinja", vars(module) | {"result": result, **more})


def page(name: str) -> str:
    """Return the text that a study's page should have."""
    written = text(name, _result(name))
    old = TARGETS[name][0].read_text() if TARGETS[name][0].exists() else ""
    return between_marks(old, written) if BEGIN in old else written


def draw(name: str) -> None:
    """Draw a study's figures."""
    _module(name).draw(_result(name), TARGETS[name][1])


def _module(name):
    return importlib.import_module(f"studies.{name}.page")


def _result(name):
    return json.loads((HERE / name / "result.json").read_text())
