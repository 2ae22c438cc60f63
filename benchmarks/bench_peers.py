"""Accuracy and cost of tools for Lyapunov exponents and singular values.

Accuracy: all tools at the same states (see `_tools.py`). What a tool adds up, log |R_ii| of a QR
factorization, is compared with the exact one for the tool's own first basis; and with the exact log
singular values, which are another quantity. Cost: CPU time in turn.

    python benchmarks/bench_peers.py [--quick] [--only accuracy,cost]
"""

import functools as ft
from collections.abc import Iterator
from typing import Any

import _timing
import jax
import numpy as np
from _exact import exact_log_determinants, exact_log_growth, exact_log_singular_values
from _forced import network
from _main import Benchmark, attempt, names, progress
from _tools import TOOLS

PARTS = ("accuracy", "cost")
COST = [("tanh 1.5", 16, 2048), ("tanh 1.5", 64, 512), ("lstm", 64, 512)]


# --- accuracy ---------------------------------------------------------------------------------


def accuracy(options) -> list[dict[str, Any]]:
    """Return one row per problem and tool."""
    n, steps = (4, 8) if options.quick else (16, 200)
    networks = ("tanh 1.5", "tanh 5", "tanh 12", "lstm", "relu")
    rows = []
    for p in (network(name, n, steps) for name in networks):
        truth = exact_log_singular_values(p.jacobians)
        log_det = float(np.sum(exact_log_determinants(p.jacobians)))
        for tool in TOOLS:
            row = {"problem": p.name, "n": p.size, "steps": p.num_steps, "tool": tool.name}
            rows.append(row | {"fed": tool.fed})
            rates = attempt(rows[-1], ft.partial(_rates, tool, p))
            if rates is not None:
                rows[-1] |= errors(tool, p, rates * p.num_steps, truth, log_det)
            progress(rows[-1])
    return rows


def _rates(tool, p) -> np.ndarray:
    return np.asarray(tool.make(p)())


def errors(tool, p, found, truth, log_det) -> dict[str, Any]:
    """Return how far a tool's sums are off from what they can be compared with."""
    found = _descending(found)
    sigma = _descending([*truth, 0.0] if tool.is_extended else truth)
    row = {
        "zeros": int(np.isneginf(sigma).sum()),
        "zeros_found": int(np.isneginf(found).sum()),
        "off_from_singular_values": off_by(found, sigma),
        "sum_rule": abs(float(np.sum(found)) - log_det) if np.isfinite(log_det) else None,
    }
    if tool.start is not None:
        row["own_error"] = off_by(found, _own_truth(tool, p))
    elif tool.name == "vanishing_jax, spectrum":
        row["own_error"] = row["off_from_singular_values"]
    return row


def _own_truth(tool, p):
    """Return what the tool would have found without rounding."""
    jacobians = p.jacobians
    if tool.is_extended:
        jacobians = np.zeros((p.num_steps, p.size + 1, p.size + 1))
        jacobians[:, :-1, :-1], jacobians[:, -1, -1] = p.jacobians, 1
    return _descending(exact_log_growth(jacobians, tool.start(p)))


def _descending(values):
    return np.sort(np.asarray(values, np.float64))[::-1]


def off_by(found, exact) -> float:
    """Return the largest difference; inf where one is -inf and the other is not, or NaN."""
    with np.errstate(invalid="ignore"):
        error = np.abs(found - exact)
    both = np.isneginf(found) & np.isneginf(exact)
    return float(np.max(np.where(both, 0.0, np.where(np.isnan(error), np.inf, error))))


# --- cost -------------------------------------------------------------------------------------


def cost(options, read) -> list[dict[str, Any]]:
    """Return one row per network and tool: seconds, and how many times ours."""
    rows = []
    for name, n, steps in [("tanh 1.5", 8, 16)] if options.quick else COST:
        p, calls, mine = network(name, n, steps), {}, []
        for tool in TOOLS:
            row = {"problem": name, "n": n, "steps": steps, "tool": tool.name, "fed": tool.fed}
            mine.append(row)
            call = attempt(row, ft.partial(_called, tool, p, row, read))
            if call is not None:
                calls[tool.name] = call
        timings = _timing.measure(calls, rounds=options.rounds, read=read)
        for row in mine:
            if timing := timings.get(row["tool"]):
                row |= timing.summary()
                row["microseconds_per_step"] = 1e6 * row["seconds_median"] / steps
                for ours in ("spectrum", "exponents"):
                    own = timings[f"vanishing_jax, {ours}"]
                    row[f"times_our_{ours}"] = _timing.ratio(timing, own)
        rows += mine
    return rows


def _called(tool, p, row, read):
    call, begin = tool.make(p), read()
    jax.block_until_ready(call())
    row["first_call_seconds"] = read() - begin
    return call


def add_options(parser) -> None:
    parser.add_argument("--only", type=names, default=list(PARTS))


def measure(options) -> Iterator[dict[str, Any]]:
    """Give everything in the end."""
    content = {}
    with jax.enable_x64(True):
        if "accuracy" in options.only:
            content["accuracy"] = accuracy(options)
        if "cost" in options.only:
            content["cost"] = cost(options, _timing.clock(options.both_cores))
    yield content


BENCHMARK = Benchmark("peers", __doc__, measure, add_options)


if __name__ == "__main__":
    BENCHMARK.start()
