"""Write README.md, remedies.md, depth.md, docs/choosing.md, figures and a table of docs/interop.md.

All come from the JSON files under results/ and the notes.

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
from _evidence import README, SOURCES
from _figures import draw_accuracy_and_cost, draw_error_and_bound
from _remedies_figures import draw_curves, draw_rates
from _remedies_page import page as remedies_page
from _sections import accuracy, peers, sharp_bound, speed, table, targets
from _training_sections import training

HERE = pathlib.Path(__file__).parent


def load(results: pathlib.Path, question: str) -> dict[str, Any] | None:
    """Return one result, or None if that benchmark has not been run."""
    path = results / f"{question}.json"
    return json.loads(path.read_text()) if path.exists() else None


# Name of the result, what it answers, and the command where it has not been run yet.
SPEED = {
    "spectrum": ("How fast is one trajectory, against what else?", "--only 'one trajectory'"),
    "spectrum_batch": ("How fast are batches?", "--only batch"),
    "spectrum_lags_gradient": ("Every lag, and the gradient?", "--only 'every lag,gradient'"),
    "spectrum_both_cores": ("With all cores?", "--both-cores --only 'one trajectory,batch'"),
}
QUESTIONS = {
    **{
        name: (
            question,
            f"python benchmarks/bench_spectrum.py {options} --out benchmarks/results/{name}.json",
        )
        for name, (question, options) in SPEED.items()
    },
    "accuracy": ("How accurate, and is the bound honest?", "python benchmarks/bench_accuracy.py"),
    "sharp_bound": (
        "How close is the bound that looks at every step?",
        "python benchmarks/bench_sharp_bound.py",
    ),
    "peers": ("What do other tools give?", "python benchmarks/bench_peers.py"),
    "training": ("How fast is training, against what else?", "python benchmarks/bench_training.py"),
}
TITLES = {
    "spectrum": "Speed: one trajectory",
    "spectrum_batch": "Speed: batches",
    "spectrum_lags_gradient": "Speed: every lag, gradient",
    "spectrum_both_cores": "Speed: all cores, wall time",
    "accuracy": "Accuracy",
    "sharp_bound": "The sharp bound",
    "peers": "Other tools",
    "training": "Training",
}

HEAD = """<!-- Written by benchmarks/make_readme.py. Edit that file or ideas.md, not this one. -->
# Benchmarks of the spectrum engine and of training

{questions}

Each takes `--quick` (toy sizes, about a minute) and `--help`. `--cache DIR` keeps the exact
references between runs; they are most of the time of `bench_accuracy.py`. Needed beyond the
package: `pip install python-flint mpmath` (exact references; without python-flint only toy sizes)
and, for `bench_peers.py`, any of `lyapax chaotax clvlib lyapynov pynamicalsys torch`; for
`bench_training.py`, `torch` and `flax`. What is missing gives a row that says so. The package
itself depends on none of them.

How it is measured: one process, bound to one core and one BLAS thread; all alternatives in turn,
round by round, and ratios taken within a round; medians and quartiles over the rounds; CPU time of
the process (wall time with `--both-cores` or on an accelerator); results are checked before they
are timed; the first call, which compiles, is apart (alternatives that share compiled functions show
it once). From the cell, the states and the inputs to the result, unless a name says that the
Jacobians are given. A ratio above 1 says that the method is faster than the baseline (the faster QR
recipe, unless said otherwise). "check" is the largest error of a log singular value against the
exact product where that is affordable, else the residual of the sum rule, in nats.
"""


def page(results: pathlib.Path, figures: pathlib.Path, ideas: pathlib.Path) -> str:
    """Return the page; draw the figures."""
    loaded = {name: load(results, name) for name in QUESTIONS}
    figures.mkdir(parents=True, exist_ok=True)
    if loaded["accuracy"]:
        draw_error_and_bound(loaded["accuracy"], figures / "error_and_bound.png")
    if loaded["peers"] and {"accuracy", "cost"} <= set(loaded["peers"]):
        draw_accuracy_and_cost(loaded["peers"], figures / "accuracy_and_cost.png")
    parts = [HEAD.format(questions=_questions(loaded))]
    # The targets are for one core.
    rows = [
        row
        for name in SPEED
        if name in loaded and name != "spectrum_both_cores"
        for row in (loaded[name] or {}).get("rows", [])
    ]
    if rows:
        parts.append(f"## Targets\n\n{targets(rows)}")
    sections = {**dict.fromkeys(SPEED, speed), "accuracy": accuracy}
    sections |= {"sharp_bound": sharp_bound, "peers": peers, "training": training}
    for name, section in sections.items():
        result = loaded[name]
        parts.append(f"## {TITLES[name]}\n\n{section(result) if result else 'Not run yet.'}")
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
    readme = README.read_text()
    draw_choosing(loaded, readme, folder / "choosing.png")
    return choosing_page(loaded, readme)


def _questions(loaded):
    """Return the table of what was asked, by which command, and how long that took."""
    rows = []
    for name, (question, command) in QUESTIONS.items():
        command = (loaded[name] or {}).get("command", command)
        rows.append([question, f"`{command}`", _duration(loaded[name])])
    remedies = "[Do the remedies do what is said of them?](remedies.md)"
    rows.append([remedies, "`python benchmarks/bench_remedies.py`", "see there"])
    imports = "[Do imported networks compute the same?](../docs/interop.md)"
    rows.append([imports, "`python benchmarks/bench_imports.py`", "see there"])
    deep = "[How do gradients change with depth?](depth.md)"
    rows.append([deep, "`python benchmarks/bench_depth.py`", "see there"])
    causes = "[Which remedy, and what does each do to gradients?](../docs/choosing.md)"
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
    imports = load(options.results, "imports")
    if imports and options.out.parent == HERE:
        docs = _imports_table.PAGE
        docs.write_text(_imports_table.with_measured(docs.read_text(), imports))
        print(f"wrote {docs}", file=sys.stderr)
    docs = HERE.parent / "docs" if options.out.parent == HERE else options.out.parent
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
