"""How long a first and a second diagnosis take, in units of one gradient of the same loss.

Cold: a fresh process imports JAX and computes the first jitted `value_and_grad` of the loss;
another imports this package, diagnoses the same network and prints. Warm: both again, in turn, in
the process that has diagnosed. CPU seconds of all threads and children, from the start of the
process; processes in turn, round by round; medians of the rounds and of their ratios. Then the same
for the command line, whose second call finds what the first has compiled.

    python benchmarks/bench_first_answer.py [--quick] [--rounds 5] [--only 'tanh 32, 16 x 100']
"""

import json
import pathlib
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import _timing
import numpy as np
from _first_answer import CASES, save_for_command_line
from _main import Benchmark, progress

CHILD = pathlib.Path(__file__).parent / "_first_answer.py"
COMMAND_LINE = "vanishing-jax diagnose, LSTM 24, 16 x 100"
NETWORKS = [*CASES][:-2]
QUICK = [*CASES][-1]

# Verdicts of `vanishing-jax diagnose`: healthy, vanishing, exploding, inconclusive.
_VERDICTS = (0, 3, 4, 5)


def process(case: str, what: str) -> dict[str, float]:
    """Return what one fresh process measures."""
    return json.loads(_timing.in_a_process([sys.executable, str(CHILD), case, what]))


def command_line(arguments: list[str], cache: str) -> float:
    """Return the CPU seconds of one call of the command, its cache in a folder of its own."""
    run = "from vanishing_jax.cli import main; main()"
    begin = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", run, *arguments],
        env=_timing.environment() | {"XDG_CACHE_HOME": cache},
        stdout=subprocess.PIPE,
        text=True,
    )
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in _VERDICTS or not done.stdout:
        raise RuntimeError(f"vanishing-jax {arguments[0]} ended with {done.returncode}.")
    return end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime


def network_row(name: str, rounds: int) -> dict[str, Any]:
    """Return medians over the rounds of one network."""
    pairs = []
    for i in range(rounds):
        kinds = ("gradient", "diagnosis") if i % 2 == 0 else ("diagnosis", "gradient")
        found = {what: process(name, what) for what in kinds}
        pairs.append((found["diagnosis"], found["gradient"]))
    diagnoses = [diagnosis for diagnosis, _ in pairs]
    return {
        "case": name,
        "first_gradient_seconds": median(g["first"] for _, g in pairs),
        "first_diagnosis_seconds": median(d["first"] for d in diagnoses),
        "first_ratio": quartiles(d["first"] / g["first"] for d, g in pairs),
        "warm_gradient_seconds": median(d["warm_gradient"] for d in diagnoses),
        "warm_diagnosis_seconds": median(d["warm_diagnosis"] for d in diagnoses),
        "warm_ratio": quartiles(d["warm_ratio"] for d in diagnoses),
        "peak_gb": max(d["peak_bytes"] for d in diagnoses) / 1e9,
        "peak_gb_of_gradient": max(g["peak_bytes"] for _, g in pairs) / 1e9,
        "rounds": rounds,
    }


def command_line_row(network: str, rounds: int) -> dict[str, Any]:
    """Return medians over the rounds of the command's first and second call."""
    triples = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as cache:
            arguments = save_for_command_line(CASES[network], pathlib.Path(folder))
            unit = process(network, "gradient")["first"]
            first, second = (command_line(arguments, cache) for _ in range(2))
            triples.append((unit, first, second))
    return {
        "case": COMMAND_LINE,
        "first_gradient_seconds": median(unit for unit, *_ in triples),
        "first_call_seconds": median(first for _, first, _ in triples),
        "second_call_seconds": median(second for *_, second in triples),
        "first_ratio": quartiles(first / unit for unit, first, _ in triples),
        "second_ratio": quartiles(second / unit for unit, _, second in triples),
        "rounds": rounds,
    }


def median(values) -> float:
    """Return the median."""
    return float(np.median(list(values)))


def quartiles(values) -> dict[str, Any]:
    """Return median and quartiles."""
    low, middle, high = np.quantile(list(values), [0.25, 0.5, 0.75])
    return {"median": float(middle), "quartiles": [float(low), float(high)]}


def rows(names: list[str], rounds: int, command_line_network: str) -> list[dict[str, Any]]:
    """Return one row for each case."""
    found = []
    for name in names:
        if name == COMMAND_LINE:
            found.append(command_line_row(command_line_network, rounds))
        else:
            found.append(network_row(name, rounds))
        progress(json.dumps(found[-1]))
    return found


def add_options(parser) -> None:
    parser.set_defaults(rounds=5)
    parser.add_argument("--only", choices=[*NETWORKS, COMMAND_LINE], help="one case")


def measure(options) -> Iterator[dict[str, Any]]:
    """Give everything in the end."""
    names = [options.only] if options.only else [*NETWORKS, COMMAND_LINE]
    if options.quick:
        names = [QUICK, COMMAND_LINE]
    for what in () if options.quick else ("gradient", "diagnosis"):
        process(QUICK, what)  # the first of all writes bytecode
    yield {"rows": rows(names, options.rounds, QUICK if options.quick else "LSTM 24, 16 x 100")}


BENCHMARK = Benchmark("first_answer", __doc__, measure, add_options, {"rounds": 1})


if __name__ == "__main__":
    BENCHMARK.start()
