"""Write the pages of the studies and their figures, each from the result in its folder.

A study is a folder with `run.py` (its `BENCHMARK` measures and writes `result.json`) and `page.py`:
`page(result)` returns the text, `draw(result, folder)` draws the figures.
"""

import importlib
import json
import pathlib

from _tables import BEGIN, between_marks

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


def page(name: str) -> str:
    """Return the text that a study's page should have."""
    written = _module(name).page(_result(name))
    old = TARGETS[name][0].read_text() if TARGETS[name][0].exists() else ""
    return between_marks(old, written) if BEGIN in old else written


def write(name: str) -> None:
    """Write a study's page and draw its figures."""
    target, figures = TARGETS[name]
    figures.mkdir(parents=True, exist_ok=True)
    _module(name).draw(_result(name), figures)
    target.write_text(page(name))


def _module(name):
    return importlib.import_module(f"studies.{name}.page")


def _result(name):
    return json.loads((HERE / name / "result.json").read_text())
