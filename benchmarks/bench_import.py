"""Measure what importing costs: `import jax`, and this package with a first name of it.

python benchmarks/bench_import.py

CPU time of fresh processes, run in turn, and the ratio to `import jax` of the same round. Equinox,
which every cell is made of, has a row of its own: it is what no import of a cell can fall below.
"""

import argparse
import os
import resource
import subprocess
import sys

import _timing

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
    # Where bytecode may not be written, a checkout would be compiled again by each process.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    root = str(_timing.RESULTS.parents[1])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    begin = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    return end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime


def rows(cases: list[str], rounds: int) -> list[dict]:
    """Return each case's CPU seconds and its ratio to `import jax`."""
    timings = {code: _timing.Timing(seconds(code)) for code in cases}  # the first writes bytecode
    for i in range(rounds):
        for code in cases if i % 2 == 0 else cases[::-1]:
            timings[code].rounds.append(seconds(code))
    return [
        {"code": code, **timing.summary(), "ratio": _timing.ratio(timing, timings[JAX])}
        for code, timing in timings.items()
    ]


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    _timing.add_arguments(parser, "import")
    options = parser.parse_args(arguments)
    cases, rounds = (CASES[:3], 2) if options.quick else (CASES, options.rounds)
    measured = rows(cases, rounds)
    settings = {"quick": options.quick, "rounds": rounds, "clock": "CPU time of each process"}
    _timing.write(options.out, "import", settings, rows=measured)
    for row in measured:
        ratio = f"{row['ratio']['median']:.2f}"
        print(f"{row['code']:52s} {row['seconds_median']:.3f} s  {ratio} x import jax")
    return 0


if __name__ == "__main__":
    _timing.use_one_core()
    sys.exit(main())
