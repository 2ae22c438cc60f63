"""Phase diagram and trainability maps of random tanh networks, measured beside predicted.

Writes the JSON; from it the section of docs/guides/theory.md between its marks, and two figures.

    python benchmarks/bench_phase.py [--quick] [--only phase] [--page]
"""

import argparse
import json
import pathlib
import sys
import time

import _timing
import jax.random as jr
import numpy as np
from _phase_page import write_page

import vanishing_jax as vj

HERE = pathlib.Path(__file__).parent
PHASE = {
    "gains": np.arange(0.5, 3.01, 0.125),
    "input_variances": [0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0],
    "hidden_size": 500,
}
RECALL = {
    "gains": [0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.6, 1.8, 2.0, 2.5, 3.0],
    "lags": [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128],
}
FULL = {
    "phase": PHASE,
    "weak noise": {**RECALL, "input_variance": 0.01},
    "strong noise": {**RECALL, "input_variance": 0.1},
}
QUICK = {
    "phase": {
        "gains": [0.5, 1.0, 2.0], "input_variances": [0.0, 0.1], "hidden_size": 8, "steps": 6,
        "burn": 2, "seeds": 2,
    },
    "weak noise": {
        "gains": [0.5, 1.2], "lags": [1, 2], "hidden_size": 8, "updates": 2, "seeds": 1,
        "input_variance": 0.01, "num_test": 20,
    },
}  # fmt: skip
QUICK["strong noise"] = {**QUICK["weak noise"], "input_variance": 0.1}


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="toy sizes")
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "results" / "phase.json")
    parser.add_argument("--docs", type=pathlib.Path, default=HERE.parent / "docs" / "guides")
    parser.add_argument("--only", choices=list(FULL), nargs="*", default=list(FULL))
    parser.add_argument("--page", action="store_true", help="only write the page from the JSON")
    options = parser.parse_args(arguments)
    if not options.page:
        measure(options)
        print(f"wrote {options.out}", file=sys.stderr)
    write_page(json.loads(options.out.read_text()), options.docs)
    return 0


def measure(options) -> None:
    """Measure the parts asked for, keep the others of the JSON file, and write it."""
    parts = QUICK if options.quick else FULL
    found, seconds = {}, {}
    if set(options.only) != set(parts):
        old = json.loads(options.out.read_text()) if options.out.exists() else {}
        found = {name: old[name] for name in parts if name in old}
        seconds = old["settings"]["cpu_seconds"] if old else {}
    for part in options.only:
        begin = time.process_time()
        make = vj.phase_diagram if part == "phase" else vj.trainability_map
        found[part] = as_json(make(**parts[part], key=jr.key(0)))
        seconds[part] = time.process_time() - begin
        settings = {"quick": options.quick, "cpu_seconds": seconds}
        _timing.write(options.out, "phase", settings, **found)


def as_json(dataset) -> dict:
    """Return a dataset as dictionaries, its numbers with six digits."""

    def rounded(x):
        if isinstance(x, list):
            return [rounded(value) for value in x]
        return float(f"{x:.6g}") if isinstance(x, float) else x

    found = dataset.to_dict()
    for variable in found["data_vars"].values():
        variable["data"] = rounded(variable["data"])
    return found


if __name__ == "__main__":
    sys.exit(main())
