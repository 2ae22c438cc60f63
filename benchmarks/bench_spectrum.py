"""Speed of spectra and exponents of Jacobian chains, against what else one could run.

One process; all alternatives in turn, round by round; CPU time of the process on one core (wall
time with --both-cores or on an accelerator). Every alternative's result is checked before anything
is timed. From the cell, the states and the inputs to the result, except where a name says that the
Jacobians are given. First calls, which compile, are a group of their own: each in a fresh process,
so that none finds compiled what another has compiled before it.

    python benchmarks/bench_spectrum.py [--quick] [--only 'every lag'] [--sizes 64,128]
"""

import argparse
import functools as ft
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import _alternatives as alt
import _timing
import jax
import numpy as np
from _exact import References
from _main import Benchmark, add_cache, attempt, names, numbers, progress
from _problems import Problem, problem

import vanishing_jax as vj

GROUPS = ("one trajectory", "first call", "top exponent", "batch", "every lag", "gradient")
CELLS = ("tanh 0.9", "tanh 1.5", "lstm")

# Groups whose cases stop at this size, and those that leave out the first cell.
_LARGEST = {"batch": 128, "every lag": 128, "gradient": 128}
_FEWER_CELLS = ("first call", "batch", "every lag", "gradient")


class Entry(NamedTuple):
    """One alternative: what it is called, its role, what it returns, and how to make the call.

    - `tolerance`: what each value of ours may be off by; 0 where it has none.
    """

    name: str
    role: str  # "ours", "baseline", "floor" or "peer"
    returns: str
    make: Callable[[Problem], Callable[[], Any]]
    tolerance: float = 0.0


# --- which alternatives answer which question -------------------------------------------------

_QR, _QR_AFTER = (ft.partial(alt.qr_exponents, jacobians_first=x) for x in (False, True))

RECIPES = [
    Entry("QR recipe, jacfwd in the scan", "baseline", "exponents", _QR),
    Entry("QR recipe, vmap(jacfwd) first", "baseline", "exponents", _QR_AFTER),
]
GIVEN = [
    Entry("NumPy QR loop, Jacobians given", "baseline", "exponents", alt.numpy_exponents),
    Entry("one GEMM per step, Jacobians given", "floor", "nothing", alt.gemm_floor),
]
PEERS = [
    Entry("lyapax", "peer", "own exponents", alt.lyapax_exponents),
    Entry("chaotax (compiles at every call)", "peer", "own exponents", alt.chaotax_exponents),
]
SPECTRUM = Entry("spectrum", "ours", "spectrum", alt.our_spectrum, 1e-8)
EXPONENTS = Entry("exponents", "ours", "exponents", alt.our_exponents, 1e-10)


def _ours(like: Entry, more: str, tolerance: float | None) -> Entry:
    """Return an entry with another tolerance."""
    make = ft.partial(like.make, tolerance=tolerance)
    return like._replace(name=f"{like.name}, {more}", make=make, tolerance=tolerance or 0.0)


ENTRIES = {
    "one trajectory": [
        *RECIPES,
        *GIVEN,
        *PEERS,
        SPECTRUM,
        _ours(SPECTRUM, "every step", None),
        _ours(SPECTRUM, "1e-6", 1e-6),
        EXPONENTS,
        _ours(EXPONENTS, "every step", None),
    ],
    "first call": [*RECIPES, SPECTRUM, EXPONENTS],
    "top exponent": [
        Entry("NumPy QR of one column", "baseline", "one exponent", alt.numpy_top_exponent),
        Entry("exponents, k = 1", "ours", "one exponent", alt.our_top_exponent),
    ],
    "batch": [*RECIPES, *GIVEN, SPECTRUM._replace(name="spectra", make=alt.our_batch)],
    "every lag": [
        Entry("product and SVD per lag (wrong)", "baseline", "nothing", alt.product_svd_per_lag),
        SPECTRUM._replace(
            name="spectrum at every lag",
            returns="spectrum per lag",
            make=ft.partial(alt.our_spectrum, every=1),
        ),
    ],
    "gradient": [
        Entry("forward, Jacobians given", "baseline", "spectrum", alt.our_product),
        Entry("value and gradient, Jacobians given", "ours", "gradient", alt.our_gradient),
    ],
}

# Microseconds per step of the QR recipe, roughly: so that a call takes some tenths of a second.
_STEP = {16: 14, 32: 40, 64: 160, 128: 820, 256: 4300}
_SHARE = {"every lag": 0.3, "gradient": 0.3}


def num_steps(group: str, n: int, batch: int, options) -> int:
    """Return a power of two of steps within limits; a trajectory alone is no shorter than 128."""
    step = 1e-6 * (_STEP.get(n) or 5 + 4300 * (n / 256) ** 3)
    wanted = _SHARE.get(group, 1.0) * options.seconds / (step * batch)
    least = 7 if group in ("one trajectory", "first call") else 5
    return int(2 ** np.clip(np.round(np.log2(wanted)), least, 13))


# --- checks -----------------------------------------------------------------------------------


class Reference:
    """What is known about a problem's right answers: exact where affordable, else sum rules."""

    def __init__(self, p: Problem, exact: References | None):
        jacobians = np.asarray(p.jacobians())
        self.problem = p
        self.chains = jacobians if p.batch > 1 else jacobians[None]
        self.log_det = np.linalg.slogdet(self.chains)[1]
        self.exact = None
        if exact is not None:
            self.exact = np.stack([exact.at(chain, [p.steps])[0] for chain in self.chains])

    def check(self, entry: Entry, value) -> dict[str, Any]:
        """Return how far `value` is off by each yardstick that applies, and whether it passes."""
        if entry.returns == "nothing":
            return {}
        if entry.returns == "own exponents":  # another trajectory: only roughly comparable
            found, expected = float(np.sum(value)), float(np.mean(self.log_det))
            return {"passed": bool(np.isfinite(found)), "sum": found, "sum on ours": expected}
        if entry.returns == "gradient":
            return self._check_gradient(*value)
        if entry.returns == "one exponent":  # of the same start, so that both are the same number
            error = float(abs(value[0] - alt.numpy_top_exponent(self.problem)()[0]))
            return {"passed": error <= 1e-10, "difference": error}
        return self._check_values(entry, np.asarray(value))

    def _check_values(self, entry: Entry, values: np.ndarray) -> dict[str, Any]:
        """Compare with the determinants and, where they are known, with the exact values."""
        factor = self.problem.steps if entry.returns == "exponents" else 1
        if entry.returns == "spectrum per lag":
            values, log_det = values[None], np.cumsum(self.log_det, axis=1)
        else:
            values = values.reshape(len(self.chains), -1)
            log_det = np.sum(self.log_det, axis=1)
        residual = np.abs(np.sum(values, axis=-1) * factor - log_det)
        scale = np.sum(np.abs(values), axis=-1) * factor
        found = {"sum_rule": float(np.max(residual)), "sum_rule_scale": float(np.max(scale))}
        allowed = entry.tolerance * self.problem.size * factor
        passed = np.all(residual <= 1e-9 * scale + np.maximum(1e-6, allowed))
        if self.exact is not None and entry.returns != "exponents":
            last = values[:, -1] if entry.returns == "spectrum per lag" else values
            found["max_error"] = float(np.max(np.abs(last - self.exact)))
            passed = passed and found["max_error"] <= 1e-5
        return {"passed": bool(passed), **found}

    def _check_gradient(self, _, gradient):
        """Compare with the derivative along one direction by central differences."""
        weights = np.random.default_rng(0).standard_normal(self.problem.size)
        step = 3e-6  # between the rounding of the two spectra and the third derivative
        J = self.chains[0]
        # J_t (1 + h X): relative changes, for tiny rows do not survive absolute ones.
        direction = J @ np.random.default_rng(1).standard_normal(J.shape) / self.problem.size

        def loss(jacobians):
            spectrum = vj.log_singular_values(vj.JacobianChain(jacobians))
            return weights @ spectrum.log_singular_values

        expected = (loss(J + step * direction) - loss(J - step * direction)) / (2 * step)
        shares = np.sum(np.asarray(gradient) * direction, axis=(1, 2))
        # The shares of the steps may cancel; the differences carry rounding of either sign of each.
        error = float(abs(shares.sum() - expected) / (abs(expected) + np.linalg.norm(shares)))
        return {"passed": error < 1e-4, "relative_error": error}


# --- running ----------------------------------------------------------------------------------


class Case(NamedTuple):
    """What is timed together."""

    group: str
    cell: str
    n: int
    batch: int
    steps: int

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per alternative, to be filled."""
        entries = ENTRIES[self.group]
        return [{**self._asdict(), "method": e.name, "role": e.role} for e in entries]


def run_case(case: Case, rounds: int, read, exact: References | None) -> list[dict[str, Any]]:
    """Return one row per alternative: checked, then timed in turn."""
    p = problem(case.cell, case.n, case.steps, case.batch)
    reference = Reference(p, exact)
    rows, calls = case.rows(), {}
    for row, entry in zip(rows, ENTRIES[case.group], strict=True):
        call = attempt(row, ft.partial(_checked, entry, p, reference, row))
        if call is None:
            continue
        error = row["check"].get("max_error", 0.0)
        row["above_tolerance"] = error > (entry.tolerance or np.inf)
        if row["check"].get("passed", True):
            calls[entry.name] = call
        else:
            row["error"] = f"wrong: {row['check']}"
    return with_timings(rows, _timing.measure(calls, rounds=rounds, read=read))


def _checked(entry: Entry, p: Problem, reference: Reference, row) -> Callable[[], Any]:
    call = entry.make(p)
    row["check"] = reference.check(entry, jax.block_until_ready(call()))
    return call


def first_calls(case: Case, rounds: int, seconds: float) -> list[dict[str, Any]]:
    """Return one row per alternative: its first call, in as many fresh processes as rounds."""
    timings = {entry.name: _timing.Timing() for entry in ENTRIES[case.group]}
    command = [__file__, "--cells", case.cell, "--sizes", str(case.n)]
    command += ["--seconds", str(seconds), "--first-call"]
    for name in _timing.in_turn(list(timings), rounds):
        out, _ = _timing.in_a_process([*command, name])
        timings[name].rounds.append(json.loads(out)["seconds"])
    return with_timings(case.rows(), timings)


def first_call(name: str, options) -> float:
    """Return what the first call of one alternative costs in this process."""
    n, cell = options.sizes[0], options.cells[0]
    entry = next(entry for entry in ENTRIES["first call"] if entry.name == name)
    call = entry.make(problem(cell, n, num_steps("first call", n, 1, options)))
    read = _timing.clock(options.both_cores)
    begin = read()
    jax.block_until_ready(call())
    return read() - begin


def with_timings(rows, timings: dict[str, _timing.Timing]) -> list[dict[str, Any]]:
    """Return the rows with medians and with the ratios to every baseline."""
    baselines = [r["method"] for r in rows if r["role"] != "ours" and r["method"] in timings]
    for row in rows:
        if timing := timings.get(row["method"]):
            row |= timing.summary()
            steps = row["steps"] * row["batch"]
            row["microseconds_per_step"] = 1e6 * row["seconds_median"] / steps
            row["ratios"] = {name: _timing.ratio(timings[name], timing) for name in baselines}
    return rows


def cases(options) -> Iterator[Case]:
    """Yield what is to be timed."""
    for group in options.only:
        if group == "top exponent":
            yield Case(group, "tanh 1.5", options.top_size, 1, options.top_steps)
            continue
        for cell in options.cells:
            if cell == "tanh 0.9" and group in _FEWER_CELLS:
                continue
            for n in options.sizes:
                for batch in options.batches if group == "batch" else [1]:
                    if n <= _LARGEST.get(group, n):
                        yield Case(group, cell, n, batch, num_steps(group, n, batch, options))


QUICK = dict(cells=["tanh 1.5"], sizes=[8], batches=[2], seconds=2e-4, rounds=2)
QUICK |= dict(fresh_rounds=1, top_size=8, top_steps=50)


def add_options(parser) -> None:
    add_cache(parser)
    parser.add_argument("--only", type=names, default=list(GROUPS), help="groups to run")
    parser.add_argument("--cells", type=names, default=list(CELLS))
    parser.add_argument("--sizes", type=numbers, default=[16, 64, 128, 256])
    parser.add_argument("--batches", type=numbers, default=[8, 32])
    parser.add_argument("--seconds", type=float, default=0.25, help="aim for one call")
    parser.add_argument("--fresh-rounds", type=int, default=3, help="processes per first call")
    parser.add_argument("--first-call", help=argparse.SUPPRESS)
    parser.add_argument("--top-size", type=int, default=200, help="for the top exponent")
    parser.add_argument("--top-steps", type=int, default=1000, help="for the top exponent")
    parser.add_argument("--exact-up-to", type=int, default=64, help="size of exact references")


def measure(options) -> Iterator[dict[str, Any]]:
    """Give all rows after every case."""
    with jax.enable_x64(True):
        if options.first_call:
            print(json.dumps({"seconds": first_call(options.first_call, options)}))
            return
        read, rows = _timing.clock(options.both_cores), []
        for case in cases(options):
            if case.group == "first call":
                found = first_calls(case, options.fresh_rounds, options.seconds)
            else:
                size = case.n * case.steps * case.batch
                affordable = case.n <= options.exact_up_to and size <= 2**18
                exact = References(options.cache) if affordable else None
                found = run_case(case, options.rounds, read, exact)
            for row in found:
                what = f"{', '.join(map(str, case))}: {row['method']}"
                progress(f"{what}: {row.get('microseconds_per_step', row.get('error'))}")
            rows += found
            yield {"rows": rows}


BENCHMARK = Benchmark("spectrum", __doc__, measure, add_options, QUICK)


if __name__ == "__main__":
    BENCHMARK.start()
