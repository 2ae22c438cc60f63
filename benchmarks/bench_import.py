"""Measure what importing costs: `import jax`, and this package with a first name of it.

python benchmarks/bench_import.py

CPU time of fresh processes, run in turn, and the ratio to `import jax` of the same round. Equinox,
which every cell is made of, has a row of its own: it is what no import of a cell can fall below.
"""

from collections.abc import Iterator

import _timing
from _main import Benchmark

JAX = "import jax"
CASES = [
    JAX,
    "import equinox",
    "import vanishing_jax as vj",
    "import vanishing_jax as vj; vj.cells.LSTMCell",
    "import vanishing_jax as vj; vj.as_cell",
    "import vanishing_jax as vj; vj.rollout",
    "import vanishing_jax as vj; vj.log_singular_values",
    "import vanishing_jax as vj; vj.diagnose",
    "import vanishing_jax as vj; vj.train",
]


def seconds(code: str) -> float:
    """Return the CPU time of a fresh process that runs `code`, startup included."""
    return _timing.in_a_process(["-c", code])[1]


def rows(cases: list[str], rounds: int) -> list[dict]:
    """Return each case's CPU seconds and its ratio to `import jax`."""
    timings = {code: _timing.Timing(seconds(code)) for code in cases}  # the first writes bytecode
    for code in _timing.in_turn(cases, rounds):
        timings[code].rounds.append(seconds(code))
    return [
        {"code": code, **timing.summary(), "ratio": _timing.ratio(timing, timings[JAX])}
        for code, timing in timings.items()
    ]


def measure(options) -> Iterator[dict]:
    """Give everything in the end."""
    found = rows(CASES[:3] if options.quick else CASES, options.rounds)
    yield {"rows": found, "settings": {"clock": "CPU time of each process"}}


BENCHMARK = Benchmark("import", __doc__, measure, quick={"rounds": 1})


if __name__ == "__main__":
    BENCHMARK.start()
