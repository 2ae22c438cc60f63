"""Write README.md, results/*.md, the studies' pages, figures and a table of docs/guides/interop.md.

All come from the committed JSON files; nothing is measured.

python benchmarks/make_readme.py
"""

import json
import pathlib
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import _imports_table
import _sections
import _training_sections
from _figures import draw_accuracy_and_cost, draw_error_and_bound
from _first_answer_section import first_answer, first_answer_found, imports
from _tables import between_marks, table
from studies.build import NAMES, TARGETS, write

HERE = pathlib.Path(__file__).parent


class Section(NamedTuple):
    """What a benchmark asks; what of its result stands in README.md, and what in its own page."""

    title: str
    question: str
    found: Callable[[dict[str, Any]], str]
    details: Callable[[dict[str, Any]], str]


SECTIONS = {
    "first_answer": Section(
        "First answer", "How long until a first answer?", first_answer_found, first_answer
    ),
    "import": Section(
        "Import", "What does importing cost?", lambda result: imports(result, 0), imports
    ),
    "spectrum": Section(
        "Speed",
        "How fast are spectra and exponents, against what else?",
        lambda result: _sections.targets(result["rows"]),
        _sections.speed,
    ),
    "accuracy": Section(
        "Accuracy and bound",
        "How accurate, and is the bound honest?",
        _sections.accuracy_found,
        _sections.accuracy,
    ),
    "peers": Section(
        "Other tools", "What do other tools give?", _sections.peers_found, _sections.peers
    ),
    "training": Section(
        "Training",
        "How fast is training, against what else?",
        lambda result: _training_sections.targets(result["rows"]),
        _training_sections.training,
    ),
    "associative": Section(
        "Parallel scan",
        "Does a parallel scan pay for linear recurrences?",
        lambda result: _sections.parallel_scan(result["rows"]),
        _sections.associative,
    ),
}

MARK = "<!-- Written by benchmarks/make_readme.py. Edit that file, not this one. -->"
HEAD = """# Benchmarks

How long a diagnosis takes, how fast and how exact spectra of Jacobians are, what other tools give
for them, and how fast training is: what was asked and what was found, from what the scripts
measured. What was tried to make it faster: [ideas.md](ideas.md).

{questions}

Each takes `--quick` (toy sizes, about a minute) and `--help`. Exact references, of
`bench_accuracy.py` and a part of `bench_spectrum.py`, need `pip install python-flint mpmath`
(without python-flint only toy sizes); `--cache DIR` keeps them between runs. `bench_peers.py`
compares any of `lyapax chaotax clvlib lyapynov pynamicalsys torch`, `bench_training.py` `torch` and
`flax`. What is missing gives a row that says so. The package itself depends on none of them.

How time is measured: on one core, with one BLAS thread and no cache of compiled programs; all
alternatives in turn, round by round; CPU time (wall time with `--both-cores` or on an accelerator).
Ratios are taken within a round; the tables show medians over the rounds. A result is checked before
it is timed."""

# Pages that are written from other results: their question, and the command that measures them.
OTHERS = {
    "[Do imported networks compute the same?](../docs/guides/interop.md)": "bench_imports.py",
    "[How do gradients change with depth?](depth.md)": "study.py depth",
    "[Do wide networks behave as mean-field theory says?](mean_field.md)": "study.py mean_field",
    "[Where can random networks be trained?](../docs/guides/theory.md)": "study.py phase",
    "[Do the remedies do what is said of them?](remedies.md)": "study.py remedies",
    "[Which remedy does what to gradients?](../docs/guides/choosing.md)": "study.py choosing",
}


def load(results: pathlib.Path) -> dict[str, dict[str, Any]]:
    """Return the results of the benchmarks that have been run."""
    paths = {name: results / f"{name}.json" for name in SECTIONS}
    return {name: json.loads(path.read_text()) for name, path in paths.items() if path.exists()}


def pages(results: pathlib.Path) -> dict[str, str]:
    """Return the text of README.md and of each benchmark's own page."""
    loaded = load(results)
    parts, found = [f"{MARK}\n{HEAD.format(questions=_questions(loaded))}"], {}
    for name, section in SECTIONS.items():
        parts.append(f"## {section.title}")
        if name not in loaded:
            parts.append("Not run yet.")
            continue
        parts += [section.found(loaded[name]), f"[All that was measured](results/{name}.md)."]
        mark, title = HEAD.partition("\n")[0], f"# {section.question}"
        found[f"results/{name}.md"] = (
            f"{mark}\n{title}\n\n{section.details(loaded[name]).strip()}\n"
        )
    return {"README.md": "\n\n".join(parts) + "\n"} | found


def _questions(loaded) -> str:
    """Return the table of what was asked, by which command, and how long that took."""
    rows = []
    for name, section in SECTIONS.items():
        result = loaded.get(name, {})
        command = result.get("command", f"python benchmarks/bench_{name}.py")
        seconds = result.get("settings", {}).get("wall_seconds")
        took = "–" if seconds is None else f"{max(1, round(seconds / 60))} min"
        anchor = section.title.lower().replace(" ", "-")
        rows.append([f"[{section.question}](#{anchor})", f"`{command}`", took])
    rows += [[link, f"`python benchmarks/{name}`", "see there"] for link, name in OTHERS.items()]
    rows.append(["These pages and their figures", "`python benchmarks/make_readme.py`", "seconds"])
    return table(["question", "command", "took"], rows)


def draw(results: pathlib.Path, figures: pathlib.Path) -> None:
    """Draw the figures of the benchmarks."""
    loaded = load(results)
    if "accuracy" in loaded:
        draw_error_and_bound(loaded["accuracy"], figures / "error_and_bound.png")
    if {"accuracy", "cost"} <= set(loaded.get("peers", {})):
        draw_accuracy_and_cost(loaded["peers"], figures / "accuracy_and_cost.png")


def main() -> int:
    for path, text in pages(HERE / "results").items():
        (HERE / path).write_text(text)
    draw(HERE / "results", HERE / "figures")
    compared = json.loads((HERE / "results" / "imports.json").read_text())
    docs = _imports_table.PAGE
    docs.write_text(between_marks(docs.read_text(), _imports_table.measured(compared)))
    for name in NAMES:
        write(name)
        print(f"wrote {TARGETS[name][0]}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
