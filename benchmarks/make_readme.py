"""Write README.md, remedies.md, depth.md, figures, and what docs/guides has of results.

That is docs/guides/choosing.md and a table of docs/guides/interop.md. All come from the JSON files
under results/ and the notes.

python benchmarks/make_readme.py
"""

import argparse
import json
import pathlib
import sys
from typing import Any

import _imports_table
from _choosing_figure import draw as draw_choosing
from _choosing_page import page as choosing_page
from _depth_page import draw as draw_depth
from _depth_page import page as depth_page
from _evidence import SOURCES
from _figures import draw_accuracy_and_cost, draw_error_and_bound
from _first_answer_section import first_answer, imports
from _remedies_figures import draw_curves, draw_rates
from _remedies_page import page as remedies_page
from _sections import accuracy, peers, speed, table
from _training_sections import training

HERE = pathlib.Path(__file__).parent


def load(results: pathlib.Path, question: str) -> dict[str, Any] | None:
    """Return one result, or None if that benchmark has not been run."""
    path = results / f"{question}.json"
    return json.loads(path.read_text()) if path.exists() else None


# Name of the result: title of its section, what it answers, and its script.
SECTIONS = {
    "first_answer": ("First answer", "How long until a first answer?", first_answer),
    "import": ("Import", "What does importing cost?", imports),
    "spectrum": ("Speed", "How fast are spectra and exponents, against what else?", speed),
    "accuracy": ("Accuracy and bound", "How accurate, and is the bound honest?", accuracy),
    "peers": ("Other tools", "What do other tools give?", peers),
    "training": ("Training", "How fast is training, against what else?", training),
}

HEAD = """<!-- Written by benchmarks/make_readme.py. Edit that file or ideas.md, not this one. -->
# Benchmarks

How long a diagnosis takes, how fast and how exact spectra of Jacobians are, what other tools give
for them, and how fast training is. Every table below was written by a script from what it measured.

{questions}

Each takes `--quick` (toy sizes, about a minute) and `--help`. Exact references, of
`bench_accuracy.py` and a part of `bench_spectrum.py`, need `pip install python-flint mpmath`
(without python-flint only toy sizes); `--cache DIR` keeps them between runs. `bench_peers.py`
compares any of `lyapax chaotax clvlib lyapynov pynamicalsys torch`, `bench_training.py` `torch` and
`flax`. What is missing gives a row that says so. The package itself depends on none of them.

How time is measured: on one core, with one BLAS thread and no cache of compiled programs; all
alternatives in turn, round by round; CPU time (wall time with `--both-cores` or on an accelerator).
Ratios are taken within a round; the tables show medians over the rounds, the files under `results/`
quartiles too. A result is checked before it is timed: "off by" is the largest error of ours, in
nats, against exact products where they can be had, else the residual of the sum rule.
"""


def page(results: pathlib.Path, figures: pathlib.Path, ideas: pathlib.Path) -> str:
    """Return the page; draw the figures."""
    loaded = {name: load(results, name) for name in SECTIONS}
    figures.mkdir(parents=True, exist_ok=True)
    if loaded["accuracy"]:
        draw_error_and_bound(loaded["accuracy"], figures / "error_and_bound.png")
    if loaded["peers"] and {"accuracy", "cost"} <= set(loaded["peers"]):
        draw_accuracy_and_cost(loaded["peers"], figures / "accuracy_and_cost.png")
    parts = [HEAD.format(questions=_questions(loaded))]
    for name, (title, _, section) in SECTIONS.items():
        result = loaded[name]
        parts.append(f"## {title}\n\n{section(result) if result else 'Not run yet.'}")
    parts.append(ideas.read_text().strip() if ideas.exists() else "")
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def remedies(results: pathlib.Path, figures: pathlib.Path, notes: pathlib.Path) -> str:
    """Return the page about remedies; draw its figures."""
    result = load(results, "remedies")
    if result:
        figures.mkdir(parents=True, exist_ok=True)
        draw_curves(result, figures / "remedies_curves.png")
        draw_rates(result, figures / "remedies_rates.png")
    return remedies_page(result, notes.read_text() if notes.exists() else "")


def depth(results: pathlib.Path, figures: pathlib.Path) -> str:
    """Return the page about depth; draw its figure."""
    result = load(results, "depth")
    if result:
        figures.mkdir(parents=True, exist_ok=True)
        draw_depth(result, figures / "depth.png")
    return depth_page(result)


def choosing(results: pathlib.Path, folder: pathlib.Path) -> str | None:
    """Return the page about choosing a remedy and draw its figure; None until all was run."""
    loaded = {name: load(results, name) for name in SOURCES}
    if not all(loaded.values()):
        return None
    draw_choosing(loaded, folder / "choosing.png")
    return choosing_page(loaded)


def _questions(loaded):
    """Return the table of what was asked, by which command, and how long that took."""
    rows = []
    for name, (_, question, _) in SECTIONS.items():
        command = (loaded[name] or {}).get("command", f"python benchmarks/bench_{name}.py")
        rows.append([question, f"`{command}`", _duration(loaded[name])])
    remedies = "[Do the remedies do what is said of them?](remedies.md)"
    rows.append([remedies, "`python benchmarks/bench_remedies.py`", "see there"])
    imports = "[Do imported networks compute the same?](../docs/guides/interop.md)"
    rows.append([imports, "`python benchmarks/bench_imports.py`", "see there"])
    deep = "[How do gradients change with depth?](depth.md)"
    rows.append([deep, "`python benchmarks/bench_depth.py`", "see there"])
    causes = "[Which remedy, and what does each do to gradients?](../docs/guides/choosing.md)"
    rows.append([causes, "`python benchmarks/bench_initial.py`", "see there"])
    rows.append(["This page and its figures", "`python benchmarks/make_readme.py`", "seconds"])
    return table(["question", "command", "took"], rows)


def _duration(result):
    seconds = (result or {}).get("settings", {}).get("wall_seconds")
    return "not run yet" if seconds is None else f"{max(1, round(seconds / 60))} min"


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--results", type=pathlib.Path, default=HERE / "results")
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "README.md")
    options = parser.parse_args(arguments)
    text = page(options.results, options.out.parent / "figures", HERE / "ideas.md")
    options.out.write_text(text)
    print(f"wrote {options.out}", file=sys.stderr)
    out = options.out.parent / "remedies.md"
    out.write_text(remedies(options.results, out.parent / "figures", HERE / "remedies_notes.md"))
    print(f"wrote {out}", file=sys.stderr)
    compared = load(options.results, "imports")
    if compared and options.out.parent == HERE:
        docs = _imports_table.PAGE
        docs.write_text(_imports_table.with_measured(docs.read_text(), compared))
        print(f"wrote {docs}", file=sys.stderr)
    docs = HERE.parent / "docs" / "guides" if options.out.parent == HERE else options.out.parent
    text = choosing(options.results, docs)
    if text is not None:
        (docs / "choosing.md").write_text(text)
        print(f"wrote {docs / 'choosing.md'}", file=sys.stderr)
    out = options.out.parent / "depth.md"
    out.write_text(depth(options.results, out.parent / "figures"))
    print(f"wrote {out}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
