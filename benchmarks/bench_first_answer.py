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
import statistics
import tempfile
from collections.abc import Iterator
from typing import Any

import _timing
from _first_answer import CASES, save_for_command_line
from _main import Benchmark, progress

CHILD = str(pathlib.Path(__file__).with_name("_first_answer.py"))
COMMAND_LINE = "vanishing-jax diagnose, LSTM 24, 16 x 100"
NETWORKS = [*CASES][:-2]
QUICK = [*CASES][-1]

# Verdicts of `vanishing-jax diagnose`: healthy, vanishing, exploding, inconclusive.
_VERDICTS = (0, 3, 4, 5)


def process(case: str, what: str) -> dict[str, float]:
    """Return what one fresh process measures."""
    return json.loads(_timing.in_a_process([CHILD, case, what])[0])


def command_line(arguments: list[str], cache: str) -> float:
    """Return the CPU seconds of one call of the command, its cache in a folder of its own."""
    run = ["-c", "from vanishing_jax.cli import main; main()", *arguments]
    out, seconds = _timing.in_a_process(run, accepted=_VERDICTS, XDG_CACHE_HOME=cache)
    if not out:
        raise RuntimeError(f"vanishing-jax {arguments[0]} printed nothing.")
    return seconds


def network_row(name: str, rounds: int) -> dict[str, Any]:
    """Return medians over the rounds of one network."""
    found = {"gradient": [], "diagnosis": []}
    for what in _timing.in_turn(list(found), rounds):
        found[what].append(process(name, what))
    gradients, diagnoses = found.values()
    ratios = (d["first"] / g["first"] for d, g in zip(diagnoses, gradients, strict=True))
    return {
        "case": name,
        "first_gradient_seconds": median(gradients, "first"),
        "first_diagnosis_seconds": median(diagnoses, "first"),
        "first_ratio": _timing.spread(ratios),
        "warm_gradient_seconds": median(diagnoses, "warm_gradient"),
        "warm_diagnosis_seconds": median(diagnoses, "warm_diagnosis"),
        "warm_ratio": _timing.spread(d["warm_ratio"] for d in diagnoses),
        "peak_gb": max(d["peak_bytes"] for d in diagnoses) / 1e9,
        "peak_gb_of_gradient": max(g["peak_bytes"] for g in gradients) / 1e9,
        "rounds": rounds,
    }


def median(rows: list[dict[str, float]], key: str) -> float:
    """Return the median of one number of all rounds."""
    return statistics.median(row[key] for row in rows)


def command_line_row(network: str, rounds: int) -> dict[str, Any]:
    """Return medians over the rounds of the command's first and second call."""
    found = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as cache:
            arguments = save_for_command_line(CASES[network], pathlib.Path(folder))
            unit = process(network, "gradient")["first"]
            first, second = (command_line(arguments, cache) for _ in range(2))
            found.append({"unit": unit, "first": first, "second": second})
    return {
        "case": COMMAND_LINE,
        "first_gradient_seconds": median(found, "unit"),
        "first_call_seconds": median(found, "first"),
        "second_call_seconds": median(found, "second"),
        "first_ratio": _timing.spread(row["first"] / row["unit"] for row in found),
        "second_ratio": _timing.spread(row["second"] / row["unit"] for row in found),
        "rounds": rounds,
    }


def measure(options) -> Iterator[dict[str, Any]]:
    """Give everything in the end."""
    names = [options.only] if options.only else [*NETWORKS, COMMAND_LINE]
    network = "LSTM 24, 16 x 100"
    if options.quick:
        names, network = [QUICK, COMMAND_LINE], QUICK
    else:
        for what in ("gradient", "diagnosis"):
            process(QUICK, what)  # the first of all writes bytecode
    rows = []
    for name in names:
        if name == COMMAND_LINE:
            rows.append(command_line_row(network, options.rounds))
        else:
            rows.append(network_row(name, options.rounds))
        progress(json.dumps(rows[-1]))
    yield {"rows": rows}


def add_options(parser) -> None:
    parser.set_defaults(rounds=5)
    parser.add_argument("--only", choices=[*NETWORKS, COMMAND_LINE], help="one case")


BENCHMARK = Benchmark("first_answer", __doc__, measure, add_options, {"rounds": 1})


if __name__ == "__main__":
    BENCHMARK.start()
