"""Accuracy of every log singular value and honesty of its error bound, against exact products.

Three parts. The grid: families of chains, sizes, lags and both directions, with and without a
tolerance. The bound: hundreds of random short chains of all families. The long runs: 10^5 steps
against closed forms and the determinant. References are exact integer products (`_exact.py`); one
error is |log sigma - exact|, the relative error of a singular value.

    python benchmarks/bench_accuracy.py [--quick] [--sizes 8,16,32] [--chains 600] [--cache DIR]
"""

import functools as ft
import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import _chains
import jax
import mpmath
import numpy as np
from _exact import References, exact_log_determinants
from _main import Benchmark, add_cache, attempt, numbers, progress
from jaxtyping import Float

import vanishing_jax as vj

TOLERANCES = (None, 1e-8, 1e-6)
DIRECTIONS = ("forward", "backward")


# --- ours -------------------------------------------------------------------------------------


class Ours(NamedTuple):
    """Log singular values and their bounds, each (lag, state), and what the result says of both.

    - `checked`: whether the sweep's own estimate showed that the tolerance was met; else the result
      says that it was not checked, and `met` is what the bound says.
    """

    logs: Float[np.ndarray, "lag state"]
    bound: Float[np.ndarray, "lag state"]
    checked: bool
    met: bool


def our_spectra(jacobians, lags, direction="forward", tolerance=None) -> Ours:
    """Return what the package finds at each lag."""
    found = vj.log_singular_values(
        vj.JacobianChain(jacobians), lags=list(lags), direction=direction, tolerance=tolerance
    )
    checked = tolerance is None or bool(found.estimated_error <= tolerance)
    return Ours(found.log_singular_values, found.error_bound, checked, found.meets_tolerance)


# --- comparing --------------------------------------------------------------------------------


def compare(found, bound, exact) -> dict[str, Any]:
    """Return what the numbers say about one spectrum: worst error, its bound, zeros, violations."""
    zero, found_zero = np.isneginf(exact), np.isneginf(found)
    with np.errstate(invalid="ignore"):
        error = np.abs(found - exact)  # -inf - -inf and NaN are settled in the next line
    error = np.where(zero & found_zero, 0.0, np.where(np.isnan(error), np.inf, error))
    worst = int(np.argmax(error))
    # No error counts as 0 of its bound, however small that is; so does any of an infinite bound.
    known = (error > 0) & np.isfinite(bound)
    with np.errstate(divide="ignore"):
        over = np.divide(error, bound, out=np.zeros_like(error), where=known)
    known &= np.isfinite(error)
    return {
        "max_error": float(error[worst]),
        "bound_there": float(bound[worst]),
        "max_bound": float(np.max(bound)),
        "median_bound_over_error": float(np.median(bound[known] / error[known]))
        if known.any()
        else None,
        "worst_error_over_bound": float(np.max(over)),
        "violations": int(np.sum(error > bound)),
        "zeros": int(zero.sum()),
        "zeros_found": int(found_zero.sum()),
        "zeros_right": bool(np.array_equal(found_zero, zero)),
        "log_sigma_1": float(exact[0]),
        "log_sigma_last": float(np.min(exact[~zero])) if not zero.all() else -np.inf,
    }


def compared(common, jacobians, lags, exact) -> Iterator[dict[str, Any]]:
    """Yield a row for each tolerance and lag: what is common to them, and how ours compare."""
    for tolerance in TOLERANCES:
        row = common | {"tolerance": tolerance}
        spectra = ft.partial(our_spectra, jacobians, lags, row["direction"], tolerance)
        ours = attempt(row, spectra)
        if ours is None:
            yield row
            continue
        row |= {"meets_tolerance": ours.met, "checked": ours.checked}
        for lag, *values in zip(lags, ours.logs, ours.bound, exact, strict=True):
            yield row | {"lag": lag, **compare(*values)}


def chain_of_family(name, n, steps, seed=0):
    """Return the Jacobians of one chain of the family."""
    # Its own generator per family, so that a new family does not change the others' chains.
    code = int.from_bytes(name.encode(), "big") % 2**32
    return _chains.FAMILIES[name](np.random.default_rng([seed, code, n]), n, steps)


# --- the four experiments ---------------------------------------------------------------------


def grid(options, references) -> list[dict[str, Any]]:
    """Return one row per family, size, direction, tolerance and lag."""
    rows = []
    for name in options.families:
        for n in options.sizes:
            jacobians = chain_of_family(name, n, max(options.lags))
            for direction in DIRECTIONS:
                exact = references.at(jacobians, options.lags, direction)
                common = {"family": name, "n": n, "direction": direction}
                rows += compared(common, jacobians, options.lags, exact)
            worst = max(row.get("max_error", 0.0) for row in rows if row["family"] == name)
            progress(f"{name}, up to n = {n}: worst error {worst:.1e}")
    return rows


def random_chains(options, references) -> list[dict[str, Any]]:
    """Return one row per random chain and tolerance: small sizes, all families in turn."""
    rng = np.random.default_rng(2024 + options.seed)
    rows = []
    for i in range(options.chains):
        name = options.families[i % len(options.families)]
        shapes = ([4], [10]) if options.quick else ([4, 6, 8], [8, 20, 40, 60])
        n, steps = (int(rng.choice(sizes)) for sizes in shapes)
        direction = DIRECTIONS[int(rng.integers(2))]
        jacobians = chain_of_family(name, n, steps, seed=10_000 * options.seed + i + 1)
        exact = references.at(jacobians, [steps], direction)
        common = {"family": name, "n": n, "steps": steps, "direction": direction}
        rows += compared(common, jacobians, [steps], exact)
    return rows


def float32_runs(options, references) -> list[dict[str, Any]]:
    """Return rows for float32 Jacobians, in float64 arithmetic and in float32 arithmetic."""
    rows = []
    n, steps = (4, 10) if options.quick else (16, 1000)
    for name in options.families:
        jacobians = chain_of_family(name, n, steps).astype(np.float32)
        exact = references.at(jacobians.astype(np.float64), [steps])[0]
        ours = our_spectra(jacobians, [steps])
        row = {"family": name, "n": n, "steps": steps}
        row |= compare(ours.logs[0], ours.bound[0], exact)
        with jax.enable_x64(False):
            single = vj.spectra.product_log_singular_values(jax.numpy.asarray(jacobians))
        single = compare(np.asarray(single, np.float64), np.full(n, np.inf), exact)
        rows.append(row | {"float32_arithmetic": single["max_error"]})
    return rows


def long_runs(options) -> Iterator[dict[str, Any]]:
    """Yield rows for chains too long for exact products: closed forms, and the determinant."""
    steps, n = options.long, 4 if options.quick else 16
    rng = np.random.default_rng(0)
    diagonal = np.linspace(0.3, 1.4, n)
    G = rng.standard_normal((n, n)) / np.sqrt(n)
    signed = np.eye(n)[rng.permutation(n)] * rng.choice([-1.0, 1.0], n)
    for name, J, exact in (
        ("diagonal", np.diag(diagonal), np.log(diagonal[::-1])),
        ("symmetric linear cell", G + G.T, _exact_log_eigenvalues(G + G.T)),
        ("signed permutation", signed, np.zeros(n)),
    ):
        ours, exact = our_spectra(np.repeat(J[None], steps, axis=0), [steps]), steps * exact
        error = np.abs(ours.logs[0] - exact)
        row = _long_run(name, n, steps, "closed form", exact, np.max(error), ours.bound)
        row["relative_error"] = row["error"] / max(1.0, np.max(np.abs(exact)))
        yield row | {"violations": int(np.sum(error > ours.bound[0]))}
    for name in ("tanh, gain 1.5", "LSTM", "both graded"):
        jacobians = chain_of_family(name, n, steps)
        ours = our_spectra(jacobians, [steps])
        error = abs(float(np.sum(ours.logs)) - math.fsum(exact_log_determinants(jacobians)))
        row = _long_run(name, n, steps, "exact determinants", ours.logs[0], error, ours.bound)
        yield row | {"relative_error": error / float(np.sum(np.abs(ours.logs)))}


def _long_run(chain, n, steps, reference, logs, error, bound) -> dict[str, Any]:
    row = {"chain": chain, "n": n, "steps": steps, "reference": reference}
    row |= {"log_sigma_1": logs[0], "log_sigma_last": logs[-1], "error": float(error)}
    return row | {"max_bound": float(np.max(bound))}


def _exact_log_eigenvalues(symmetric):
    with mpmath.workdps(60):
        values = mpmath.eigsy(mpmath.matrix(symmetric.tolist()), eigvals_only=True)
        return np.array(sorted((float(mpmath.log(abs(v))) for v in values), reverse=True))


# --- summary ----------------------------------------------------------------------------------


def is_broken_promise(row) -> bool:
    """Whether a tolerance was reported as met that was not."""
    tolerance = row["tolerance"]
    return tolerance is not None and row["meets_tolerance"] and row["max_error"] > tolerance


def counted(rows) -> dict[str, Any]:
    """Return how often a bound, a tolerance or a zero was wrong over rows without an error."""
    return {
        "worst_error_over_bound": max((r["worst_error_over_bound"] for r in rows), default=0.0),
        "violations": sum(r["violations"] for r in rows),
        "broken_promises": sum(map(is_broken_promise, rows)),
        "not_checked": sum(not r["checked"] for r in rows),
        "zeros_right": sum(r["zeros_right"] for r in rows),
    }


def slack(rows) -> list[float]:
    """Return how many times its error each bound is, where there is an error."""
    return [r["median_bound_over_error"] for r in rows if r["median_bound_over_error"]]


def by_tolerance(rows) -> Iterable[tuple[float | None, list, list]]:
    """Yield each tolerance, its rows and those of them without an error."""
    for tolerance in TOLERANCES:
        mine = [row for row in rows if row["tolerance"] == tolerance]
        yield tolerance, mine, [row for row in mine if "max_error" in row]


def summary_by_family(rows) -> Iterator[dict[str, Any]]:
    """Yield one row per family and tolerance: the worst over sizes, lags and directions."""
    for family in dict.fromkeys(r["family"] for r in rows):
        of_family = [row for row in rows if row["family"] == family]
        for tolerance, mine, good in by_tolerance(of_family):
            if not good:
                continue
            worst = max(good, key=lambda r: r["max_error"])
            yield {
                "family": family,
                "tolerance": tolerance,
                "spectra": len(mine),
                "failed": len(mine) - len(good),
                "lowest_log_sigma": min(r["log_sigma_last"] for r in good),
                "max_error": worst["max_error"],
                "bound_there": worst["bound_there"],
                "median_bound_over_error": float(np.median(slack(good))) if slack(good) else None,
                **counted(good),
            }


def slack_statistics(rows) -> Iterator[dict[str, Any]]:
    """Yield, per tolerance, how often the bound failed and how loose it was."""
    for tolerance, mine, good in by_tolerance(rows):
        ill = [row for row in good if row["family"] in _chains.ILL_CONDITIONED]
        quantiles = np.quantile(slack(good), [0.05, 0.5, 0.95]) if slack(good) else [np.nan] * 3
        yield {
            "tolerance": tolerance,
            "chains": len(good),
            "failed": len(mine) - len(good),
            "singular_values": sum(r["n"] for r in good),
            **counted(good),
            "violations_ill_conditioned": sum(r["violations"] for r in ill),
            "infinite_bounds": sum(not np.isfinite(r["max_bound"]) for r in good),
            "slack_quantiles_5_50_95": [float(q) for q in quantiles],
        }


QUICK = dict(sizes=[4], lags=[3, 10], long=1000, chains=20)


def add_options(parser) -> None:
    families = list(_chains.FAMILIES)
    add_cache(parser)
    parser.add_argument("--sizes", type=numbers, default=[8, 16, 32])
    parser.add_argument("--lags", type=numbers, default=[10, 100, 1000])
    parser.add_argument("--families", type=lambda text: text.split(";"), default=families)
    parser.add_argument("--chains", type=int, default=600, help="random chains for the bound")
    parser.add_argument("--seed", type=int, default=0, help="other random chains for the bound")
    parser.add_argument("--long", type=int, default=100_000, help="steps of the long runs")


def measure(options) -> Iterator[dict[str, Any]]:
    """Give everything in the end."""
    references = References(options.cache)
    content = {"grid": grid(options, references)}
    content["by_family"] = list(summary_by_family(content["grid"]))
    content["random_chains"] = random_chains(options, references)
    content["slack"] = list(slack_statistics(content["random_chains"]))
    content["float32"] = float32_runs(options, references)
    content["long_runs"] = list(long_runs(options))
    yield content


BENCHMARK = Benchmark("accuracy", __doc__, measure, add_options, QUICK)


if __name__ == "__main__":
    BENCHMARK.start()
