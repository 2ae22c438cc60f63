"""Phase diagram and trainability maps of random tanh networks, measured beside predicted.

python benchmarks/study.py phase [--quick] [--only phase]
"""

import time
from collections.abc import Iterator
from typing import Any

import jax.random as jr
import numpy as np
from _main import Benchmark, kept

import vanishing_jax as vj

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
        "gains": [0.5, 1.0, 2.0], "input_variances": [0.0, 0.1], "hidden_size": 8, "num_steps": 6,
        "burn": 2, "seeds": 2,
    },
    "weak noise": {
        "gains": [0.5, 1.2], "lags": [1, 2], "hidden_size": 8, "num_updates": 2, "seeds": 1,
        "input_variance": 0.01, "num_test": 20,
    },
}  # fmt: skip
QUICK["strong noise"] = {**QUICK["weak noise"], "input_variance": 0.1}


def add_options(parser) -> None:
    parser.add_argument("--only", choices=list(FULL), nargs="*", default=list(FULL))


def measure(options) -> Iterator[dict[str, Any]]:
    """Give what was found after every part asked for, and the other parts of the JSON file."""
    parts = QUICK if options.quick else FULL
    found, seconds = kept(options, parts)
    for part in options.only:
        begin = time.process_time()
        make = vj.phase_diagram if part == "phase" else vj.trainability_map
        found[part] = as_json(make(**parts[part], key=jr.key(0)))
        seconds[part] = time.process_time() - begin
        yield found | {"settings": {"cpu_seconds": seconds}}


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


BENCHMARK = Benchmark("phase", __doc__, measure, add_options)
