"""Interleaved timing of alternatives, in this process or in fresh ones."""

import gc
import os
import pathlib
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import numpy as np

# A call shorter than this is repeated inside one measurement.
_SHORTEST = 0.05


# One BLAS thread, as each alternative has one core.
_ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")

# What a user's environment seldom has: BLAS kernels of another processor, modules compiled by every
# process anew, programs found compiled.
_UNUSUAL = frozenset(
    {
        "OPENBLAS_CORETYPE",
        "OPENBLAS_L2_SIZE",
        "PYTHONDONTWRITEBYTECODE",
        "JAX_COMPILATION_CACHE_DIR",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES",
    }
)


def environment() -> dict[str, str]:
    """Return the environment in which everything is measured: one BLAS thread, a user's else."""
    found = {name: value for name, value in os.environ.items() if name not in _UNUSUAL}
    paths = [str(pathlib.Path(__file__).parents[1]), os.environ.get("PYTHONPATH")]
    return found | _ONE_THREAD | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


def in_a_process(
    command: Sequence[str], *, accepted: Iterable[int] = (0,), **more: str
) -> tuple[str, float]:
    """Return what a fresh process prints, and its CPU seconds; `more` is added to its environment.

    Raises RuntimeError where it ends with a code that is not accepted.
    """
    begin = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = {"env": environment() | more, "stdout": subprocess.PIPE, "text": True}
    done = subprocess.run([sys.executable, *command], **run)
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in accepted:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}.")
    return done.stdout, end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime


def in_turn(names: Sequence[str], rounds: int) -> Iterable[str]:
    """Yield all names round by round, every other round backward: a slow spell hits all."""
    for i in range(rounds):
        yield from names if i % 2 == 0 else names[::-1]


def use_one_core() -> None:
    """Bind this process to one core and BLAS to one thread; call before anything is computed.

    BLAS reads its settings when NumPy is imported, so the script starts itself again.
    """
    if "--both-cores" in sys.argv:
        return
    if _ONE_THREAD.items() - os.environ.items() or _UNUSUAL & os.environ.keys():
        os.execve(sys.executable, [sys.executable, *sys.argv], environment())
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def clock(both_cores: bool) -> Callable[[], float]:
    """Return the clock to read: CPU time of this process, or wall time where work is elsewhere."""
    return time.perf_counter if both_cores or jax.default_backend() != "cpu" else time.process_time


class Timing:
    """Seconds per call of one alternative: the first call (it compiles), then one per round."""

    def __init__(self, first: float = np.nan):
        self.first, self.repeats, self.rounds = first, 1, []

    def summary(self) -> dict[str, Any]:
        """Return median and quartiles as a dictionary for JSON."""
        found = spread(self.rounds)
        return {
            "seconds_median": found["median"],
            "seconds_quartiles": found["quartiles"],
            "rounds": len(self.rounds),
        }


def measure(
    functions: dict[str, Callable[[], Any]], *, rounds: int, read: Callable[[], float]
) -> dict[str, Timing]:
    """Time the alternatives in turn."""
    timings = {}
    for name, function in functions.items():
        timings[name] = Timing(_seconds(function, 1, read))
        again = _seconds(function, 1, read)
        timings[name].repeats = max(1, round(_SHORTEST / max(again, 1e-6)))
    gc.collect()
    gc.disable()
    try:
        for name in in_turn(list(functions), rounds):
            timing = timings[name]
            timing.rounds.append(_seconds(functions[name], timing.repeats, read))
    finally:
        gc.enable()
    return timings


def _seconds(function, repeats, read):
    begin = read()
    for _ in range(repeats):
        jax.block_until_ready(function())
    return (read() - begin) / repeats


def spread(values: Iterable[float]) -> dict[str, Any]:
    """Return median and quartiles."""
    low, median, high = np.quantile(list(values), [0.25, 0.5, 0.75])
    return {"median": float(median), "quartiles": [float(low), float(high)]}


def ratio(baseline: Timing, ours: Timing) -> dict[str, Any]:
    """Return baseline over ours, round by round: median and quartiles."""
    return spread(np.asarray(baseline.rounds) / np.asarray(ours.rounds))
