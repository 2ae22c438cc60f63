"""Interleaved timing of alternatives, and a record of where and with what it ran."""

import datetime
import gc
import importlib.metadata
import json
import os
import pathlib
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

RESULTS = pathlib.Path(__file__).parent / "results"

# Options that name a folder of this machine; they are left out of the record.
_PATHS = ("--out", "--cache", "--runs")

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
    paths = [str(RESULTS.parents[1]), os.environ.get("PYTHONPATH")]
    return found | _ONE_THREAD | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


def in_a_process(command: Sequence[str], **more: str) -> str:
    """Return what a command prints in a fresh process, `more` added to its environment."""
    run = {"env": environment() | more, "stdout": subprocess.PIPE, "text": True}
    return subprocess.run(command, check=True, **run).stdout


def use_one_core() -> None:
    """Bind this process to one core and BLAS to one thread; call before anything is computed.

    BLAS reads its settings when NumPy is imported, so the script starts itself again.
    """
    if "--both-cores" in sys.argv:
        return
    if _ONE_THREAD.items() - os.environ.items() or _UNUSUAL & os.environ.keys():
        os.execve(sys.executable, [sys.executable, *sys.argv], environment())
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {_idlest_core()})


def _idlest_core():
    """Return the core that was idle the longest over a tenth of a second."""

    def idle():
        words = [line.split() for line in pathlib.Path("/proc/stat").read_text().splitlines()]
        cores = [w for w in words if w and w[0].startswith("cpu") and w[0] != "cpu"]
        return {int(w[0][3:]): int(w[4]) for w in cores}

    allowed = os.sched_getaffinity(0)
    before = idle()
    time.sleep(0.1)
    after = idle()
    return max(allowed, key=lambda core: after[core] - before[core])


def clock(both_cores: bool) -> Callable[[], float]:
    """Return the clock to read: CPU time of this process, or wall time where work is elsewhere."""
    return time.perf_counter if both_cores or jax.default_backend() != "cpu" else time.process_time


class Timing:
    """Seconds per call of one alternative: the first call (it compiles), then one per round."""

    def __init__(self, first: float):
        self.first, self.repeats, self.rounds = first, 1, []

    def summary(self) -> dict[str, Any]:
        """Return median and quartiles as a dictionary for JSON."""
        q1, median, q3 = np.quantile(self.rounds, [0.25, 0.5, 0.75])
        return {
            "seconds_median": float(median),
            "seconds_quartiles": [float(q1), float(q3)],
            "first_call_seconds": self.first,
            "rounds": len(self.rounds),
        }


def measure(
    functions: dict[str, Callable[[], Any]], *, rounds: int, read: Callable[[], float]
) -> dict[str, Timing]:
    """Time the alternatives in turn, so that a slow spell of the machine hits all of them."""
    timings = {}
    for name, function in functions.items():
        timings[name] = Timing(_seconds(function, 1, read))
        again = _seconds(function, 1, read)
        timings[name].repeats = max(1, round(_SHORTEST / max(again, 1e-6)))
    gc.collect()
    gc.disable()
    try:
        for i in range(rounds):
            order = list(functions) if i % 2 == 0 else list(functions)[::-1]
            for name in order:
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


def ratio(baseline: Timing, ours: Timing) -> dict[str, Any]:
    """Return baseline over ours, round by round: median and quartiles."""
    ratios = np.asarray(baseline.rounds) / np.asarray(ours.rounds)
    q1, median, q3 = np.quantile(ratios, [0.25, 0.5, 0.75])
    return {"median": float(median), "quartiles": [float(q1), float(q3)]}


# --- records ----------------------------------------------------------------------------------


def write(path: pathlib.Path, question: str, settings: dict, **content: Any) -> None:
    """Write one benchmark's result, with all that is needed to read and repeat it."""
    record = {
        "question": question,
        "utc": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": command(),
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
        "settings": settings,
        **content,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_text(_plain(record)) + "\n")


def _text(record: dict[str, Any]) -> str:
    """Return JSON with one line per row: smaller than an indented file, and diffs tell."""
    lines = []
    for key, value in record.items():
        if isinstance(value, list):
            rows = ",\n  ".join(json.dumps(row) for row in value)
            lines.append(f" {json.dumps(key)}: [\n  {rows}\n ]")
        else:
            lines.append(f" {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}"


def command() -> str:
    """Return the command line of this run, relative to the repository."""
    script = pathlib.Path(sys.argv[0]).name
    return shlex.join(["python", f"benchmarks/{script}", *_without_paths(sys.argv[1:])])


def _without_paths(arguments: Sequence[str]):
    kept, skip = [], False
    for argument in arguments:
        if skip or argument in _PATHS:
            skip = not skip
        elif not argument.startswith(tuple(f"{path}=" for path in _PATHS)):
            kept.append(argument)
    return kept


def machine() -> dict[str, Any]:
    """Return what the speed depends on: processor, caches, accelerator."""
    devices = jax.devices()
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "caches": _caches(),
        "system": f"{platform.system()} {platform.machine()}",
        "backend": jax.default_backend(),
        "devices": [device.device_kind for device in devices],
    }


def _cpu_model():
    path = pathlib.Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    info = dict(tuple(map(str.strip, line.split(":", 1))) for line in lines if ":" in line)
    vectors = [f for f in ("avx2", "avx512f", "amx_tile") if f in info.get("flags", "").split()]
    name = info.get("model name", platform.processor() or "unknown")
    family = f"family {info['cpu family']} model {info['model']}" if "cpu family" in info else ""
    return ", ".join(filter(None, [name, family, " ".join(vectors)]))


def _caches():
    root = pathlib.Path("/sys/devices/system/cpu/cpu0/cache")
    found = {}
    for index in sorted(root.glob("index*")):
        level, kind, size = ((index / f).read_text().strip() for f in ("level", "type", "size"))
        found[f"L{level} {kind}"] = size
    return found


def versions() -> dict[str, str]:
    """Return the versions of Python and of every package that may take part."""
    names = ["jax", "jaxlib", "numpy", "scipy", "equinox", "optax", "vanishing_jax", "python-flint"]
    names += ["mpmath", "lyapax", "chaotax", "clvlib", "lyapynov", "torch", "flax"]
    names += ["keras", "dm-haiku", "onnx", "onnxruntime"]
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def commit() -> str:
    """Return the commit of this checkout, and whether it has changes."""

    def git(*arguments):
        folder = pathlib.Path(__file__).parent
        run = ["git", "-C", str(folder), *arguments]
        return subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short", "HEAD") + (" with changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _plain(x):
    """Return `x` as JSON types; infinities and NaN as text, for JSON knows none."""
    if isinstance(x, dict):
        return {str(k): _plain(v) for k, v in x.items()}
    if isinstance(x, list | tuple):
        return [_plain(v) for v in x]
    if isinstance(x, np.ndarray):
        return _plain(x.tolist())
    if isinstance(x, float | np.floating):
        return float(x) if np.isfinite(x) else repr(float(x))
    if isinstance(x, np.integer | np.bool_):
        return x.item()
    return x
