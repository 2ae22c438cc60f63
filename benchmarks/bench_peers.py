"""Accuracy, cost and failures of tools for Lyapunov exponents and singular values.

Accuracy: all tools at the same states (see `_tools.py`). What a tool adds up, log |R_ii| of a QR
factorization, is compared with the exact one for the tool's own first basis; and with the exact log
singular values, which are another quantity. Cost: CPU time in turn. Failures: one function each,
with the number that shows it.

    python benchmarks/bench_peers.py [--quick] [--only accuracy,cost,failures]
    python benchmarks/bench_peers.py --failure clvlib-off-by-one
"""

import importlib.metadata
import json
from collections.abc import Iterator
from typing import Any

import _failures
import _timing
import _tools
import jax
import numpy as np
from _exact import exact_log_determinants, exact_log_growth, exact_log_singular_values
from _forced import logistic_map, lorenz, network
from _main import Benchmark, names, show

PARTS = ("accuracy", "cost", "failures")


def problems(quick: bool):
    """Return the common problems."""
    n, steps = (4, 8) if quick else (16, 200)
    names = ["tanh 1.5", "tanh 5", "tanh 12", "lstm", "relu"]
    made = [network(name, n, steps) for name in names]
    return [*made, logistic_map(5 * steps), lorenz(10 * steps)]


# --- accuracy ---------------------------------------------------------------------------------


def accuracy(options) -> list[dict[str, Any]]:
    """Return one row per problem and tool."""
    rows = []
    for p in problems(options.quick):
        truth = exact_log_singular_values(p.jacobians)
        log_det = float(np.sum(exact_log_determinants(p.jacobians)))
        own_truths = {}
        for tool in _tools.TOOLS:
            row = {"problem": p.name, "n": p.size, "steps": p.num_steps, "tool": tool.name}
            found = _accuracy_of(tool, p, truth, log_det, own_truths)
            rows.append(row | {"fed": tool.fed} | found)
    return rows


def _accuracy_of(tool, p, truth, log_det, own_truths):
    reason = missing(tool.package)
    if reason:
        return {"error": reason}
    try:
        found = _descending(np.asarray(tool.make(p)()) * p.num_steps)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {str(error).splitlines()[0][:150]}"}
    extra = [0.0] if tool.is_extended else []
    sigma = _descending([*truth, *extra])
    row = {
        "zeros": int(np.isneginf(sigma).sum()),
        "zeros_found": int(np.isneginf(found).sum()),
        "off_from_singular_values": off_by(found, sigma),
        "sum_rule": abs(float(np.sum(found)) - log_det) if np.isfinite(log_det) else None,
    }
    if tool.start is not None:
        start = tool.start(p)
        key = start.tobytes()  # most tools start from the identity
        if key not in own_truths:
            own_truths[key] = _own_truth(tool, p, start)
        row["own_error"] = off_by(found, own_truths[key])
    elif tool.name == "vanishing_jax, spectrum":
        row["own_error"] = row["off_from_singular_values"]
    return row


def _own_truth(tool, p, start):
    """Return what the tool would have found without rounding."""
    jacobians = p.jacobians
    if tool.is_extended:
        jacobians = np.zeros((p.num_steps, p.size + 1, p.size + 1))
        jacobians[:, :-1, :-1], jacobians[:, -1, -1] = p.jacobians, 1
    return _descending(exact_log_growth(jacobians, start))


def _descending(values):
    return np.sort(np.asarray(values, np.float64))[::-1]


def off_by(found, exact) -> float:
    """Return the largest difference; inf where one is -inf and the other is not, or NaN."""
    with np.errstate(invalid="ignore"):
        error = np.abs(found - exact)
    both = np.isneginf(found) & np.isneginf(exact)
    return float(np.max(np.where(both, 0.0, np.where(np.isnan(error), np.inf, error))))


def missing(package: str) -> str | None:
    """Return why a package cannot be used, or None."""
    try:
        importlib.metadata.version(package)
        __import__(package)
        return None
    except importlib.metadata.PackageNotFoundError:
        return f"not installed: no distribution named {package}"
    except Exception as error:
        return f"does not import: {type(error).__name__}: {str(error).splitlines()[0][:150]}"


# --- cost -------------------------------------------------------------------------------------


def cost(options, read) -> list[dict[str, Any]]:
    """Return one row per network and tool: seconds, and how many times ours."""
    rows = []
    for name, n, steps in [("tanh 1.5", 8, 16)] if options.quick else COST:
        p, calls, mine = network(name, n, steps), {}, []
        for tool in _tools.TOOLS:
            row = {"problem": name, "n": n, "steps": steps, "tool": tool.name, "fed": tool.fed}
            mine.append(row)
            reason = missing(tool.package)
            if reason:
                row["error"] = reason
                continue
            try:
                call, begin = tool.make(p), read()
                jax.block_until_ready(call())
                row["first_call_seconds"] = read() - begin
                calls[tool.name] = call
            except Exception as error:
                row["error"] = f"{type(error).__name__}: {str(error).splitlines()[0][:150]}"
        timings = _timing.measure(calls, rounds=options.rounds, read=read)
        for row in mine:
            if row["tool"] not in timings:
                continue
            summary = timings[row["tool"]].summary()
            summary.pop("first_call_seconds")
            row |= summary
            row["microseconds_per_step"] = 1e6 * summary["seconds_median"] / steps
            for ours in ("spectrum", "exponents"):
                timing = timings.get(f"vanishing_jax, {ours}")
                if timing is not None:
                    row[f"times_our_{ours}"] = _timing.ratio(timings[row["tool"]], timing)
        rows += mine
    return rows


COST = [("tanh 1.5", 16, 2048), ("tanh 1.5", 64, 512), ("lstm", 64, 512)]


# --- failures ---------------------------------------------------------------------------------


def failures(names, quick: bool) -> list[dict[str, Any]]:
    """Return one row per failure: what was expected, what was found, and what we find."""
    rows = []
    for name in names:
        package, check = _failures.FAILURES[name]
        row = {"name": name, "command": f"python benchmarks/bench_peers.py --failure {name}"}
        reason = missing(package)
        if reason:
            row["error"] = reason
        else:
            try:
                row |= check(quick)
            except Exception as error:
                row["error"] = f"{type(error).__name__}: {str(error).splitlines()[0][:150]}"
        rows.append(row)
    return rows


# --- running ----------------------------------------------------------------------------------


def add_options(parser) -> None:
    parser.add_argument("--only", type=names, default=list(PARTS))
    parser.add_argument("--failure", choices=list(_failures.FAILURES), help="show this one only")


def measure(options) -> Iterator[dict[str, Any]]:
    """Give everything in the end."""
    with jax.enable_x64(True):
        if options.failure:
            print(json.dumps(failures([options.failure], options.quick)[0], indent=1))
            return
        content = {}
        if "accuracy" in options.only:
            content["accuracy"] = accuracy(options)
        if "cost" in options.only:
            content["cost"] = cost(options, _timing.clock(options.both_cores))
        if "failures" in options.only:
            content["failures"] = failures(_failures.FAILURES, options.quick)
    yield content
    for name, rows in content.items():
        show(rows, title=name)


BENCHMARK = Benchmark("peers", __doc__, measure, add_options)


if __name__ == "__main__":
    BENCHMARK.start()
