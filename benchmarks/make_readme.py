"""Write README.md and its figures from the JSON files under results/ and ideas.md.

python benchmarks/make_readme.py
"""

import argparse
import json
import pathlib
import sys
from typing import Any

from _figures import draw_accuracy_and_cost, draw_error_and_bound
from _sections import accuracy, peers, speed

HERE = pathlib.Path(__file__).parent


def load(results: pathlib.Path, question: str) -> dict[str, Any] | None:
    """Return one result, or None if that benchmark has not been run."""
    path = results / f"{question}.json"
    return json.loads(path.read_text()) if path.exists() else None


BOTH_CORES = (
    'python benchmarks/bench_spectrum.py --both-cores --only "one trajectory,batch" '
    "--out benchmarks/results/spectrum_both_cores.json"
)

HEAD = """<!-- Written by benchmarks/make_readme.py. Edit that file or ideas.md, not this one. -->
# Benchmarks of the spectrum engine

| question | command | takes, on one core |
|---|---|---|
| How fast, against what else? | `python benchmarks/bench_spectrum.py` | {spectrum_time} |
| The same with all cores? | `{both_cores}` | {spectrum_both_cores_time} |
| How accurate, and is the bound honest? | `python benchmarks/bench_accuracy.py` | {accuracy_time} |
| What do other tools give? | `python benchmarks/bench_peers.py` | {peers_time} |
| This page and its figures | `python benchmarks/make_readme.py` | seconds |

Each takes `--quick` (toy sizes, about a minute) and `--help`. `--cache DIR` keeps the exact
references between runs; they are most of the time of `bench_accuracy.py`. Needed beyond the
package: `pip install python-flint mpmath` (exact references; without python-flint only toy sizes)
and, for `bench_peers.py`, any of `lyapax chaotax clvlib lyapynov pynamicalsys torch`; what is
missing gives a row that says so. The package itself depends on none of them.

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
    sections = {
        "spectrum": ("Speed", speed),
        "spectrum_both_cores": ("Speed on all cores, wall time", speed),
        "accuracy": ("Accuracy", accuracy),
        "peers": ("Other tools", peers),
    }
    loaded = {name: load(results, name) for name in sections}
    times = {f"{name}_time": _duration(result) for name, result in loaded.items()}
    parts = [HEAD.format(**times, both_cores=BOTH_CORES)]
    figures.mkdir(parents=True, exist_ok=True)
    if loaded["accuracy"]:
        draw_error_and_bound(loaded["accuracy"], figures / "error_and_bound.png")
    if loaded["peers"] and {"accuracy", "cost"} <= set(loaded["peers"]):
        draw_accuracy_and_cost(loaded["peers"], figures / "accuracy_and_cost.png")
    for name, (title, section) in sections.items():
        result = loaded[name]
        parts.append(f"## {title}\n\n{section(result) if result else 'Not run yet.'}")
    parts.append(ideas.read_text().strip() if ideas.exists() else "")
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


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
    return 0


if __name__ == "__main__":
    sys.exit(main())
