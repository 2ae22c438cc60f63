"""Speed of training recurrent networks, against PyTorch and a plain scan.

One update of a fixed batch (forward, backward, Adam), in one process on one core; the same weights
and batch in all; outputs (by the loss) and gradients are compared before anything is timed; all
alternatives in turn, round by round; CPU time; the first call, which compiles, apart.

    python benchmarks/bench_training.py [--quick] [--cells tanh,lstm]
"""

from collections.abc import Iterator
from typing import Any

import _timing
import jax
import numpy as np
from _main import Benchmark, attempt, names, progress
from _recurrent import GATES, Case, Step, jax_step, ours, plain_scan, torch_step, weights_and_batch

OURS = "vanishing_jax"

# (hidden, batch, time, inputs)
SIZES = [
    (16, 8, 100, 2),
    (64, 32, 100, 2),
    (128, 32, 100, 2),
    (128, 32, 400, 2),
    (256, 32, 100, 2),
    (128, 32, 100, 128),
]


def difference(step: Step, reference: Step) -> float:
    """Return the largest difference of loss and gradients, relative to the largest entry of each.

    The bias of a library that has two is compared by the gradient that both have.
    """
    found = [abs(step.loss - reference.loss) / abs(reference.loss)]
    for name, expected in reference.gradient.items():
        found.append(np.max(np.abs(step.gradient[name] - expected)) / np.max(np.abs(expected)))
    return float(max(found))


def run_case(case: Case, rounds: int, read) -> list[dict[str, Any]]:
    """Return one row per alternative: compared with the plain scan, then timed in turn."""
    weights, inputs, targets = weights_and_batch(case)
    makers = {
        "plain scan": lambda: jax_step(plain_scan(case, weights), inputs, targets),
        OURS: lambda: jax_step(ours(case, weights), inputs, targets),
        "PyTorch": lambda: torch_step(case, weights, inputs, targets),
    }
    rows, calls, reference = [], {}, None
    for name, make in makers.items():
        row: dict[str, Any] = {**case._asdict(), "method": name}
        rows.append(row)
        begin = read()
        step = attempt(row, make)
        if step is None:
            continue
        row["first_call_seconds"] = read() - begin
        reference = reference or step
        row["difference"] = difference(step, reference)
        row["temporary_bytes"] = step.temporary_bytes
        if row["difference"] < 1e-3:
            calls[name] = step.call
        else:
            row["error"] = f"wrong: gradients differ by {row['difference']:.1e}"
    timings = _timing.measure(calls, rounds=rounds, read=read)
    for row in rows:
        if timing := timings.get(row["method"]):
            row |= timing.summary() | {"times_ours": _timing.ratio(timing, timings[OURS])}
    return rows


def add_options(parser) -> None:
    def sizes(text):
        return [tuple(int(x) for x in size.split("/")) for size in text.split(",")]

    parser.add_argument("--cells", type=names, default=list(GATES))
    what = "hidden/batch/time/inputs, with commas between"
    parser.add_argument("--sizes", type=sizes, default=SIZES, help=what)


def measure(options) -> Iterator[dict[str, Any]]:
    """Give all rows after every case."""
    read, rows = _timing.clock(options.both_cores), []
    with jax.enable_x64(False):
        for cell in options.cells:
            for size in options.sizes:
                rows += run_case(Case(cell, *size), options.rounds, read)
                progress(rows[-2:])
                yield {"rows": rows}


BENCHMARK = Benchmark(
    "training", __doc__, measure, add_options, {"sizes": [(4, 3, 5, 2)], "rounds": 2}
)


if __name__ == "__main__":
    BENCHMARK.start()
