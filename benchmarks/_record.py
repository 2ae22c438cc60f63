"""A record of what was measured, where and with what."""

import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

# Options that name a folder of this machine; they are left out of the record.
_PATHS = ("--out", "--cache", "--runs")

# Every package that may take part.
_PACKAGES = (
    "jax jaxlib numpy scipy equinox optax vanishing_jax python-flint mpmath lyapax chaotax clvlib "
    "lyapynov torch flax keras dm-haiku onnx onnxruntime"
)


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
    found = {"python": platform.python_version()}
    for name in _PACKAGES.split():
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
