"""Accuracy of every log singular value and honesty of its error bound, against exact products.

Three parts. The grid: families of chains, sizes, lags and both directions, with and without a
tolerance. The bound: hundreds of random short chains of all families. The long runs: 10^5 steps
against closed forms and the determinant. References are exact integer products (`_exact.py`); one
error is |log sigma - exact|, the relative error of a singular value.

    python benchmarks/bench_accuracy.py [--quick] [--sizes 8,16,32] [--chains 600] [--cache DIR]
"""

import math
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import _chains
import jax
import mpmath
import numpy as np
from _exact import References, exact_log_determinants
from _main import Benchmark, add_cache, numbers, show
from jaxtyping import Float

import vanishing_jax as vj

TOLERANCES = (None, 1e-8, 1e-6)
DIRECTIONS = ("forward", "backward")

# --- ours: the two calls that are measured ----------------------------------------------------


class Ours(NamedTuple):
    """Log singular values and their bounds, each (lag, state), and what the result says of both.

    - `checked`: whether the sweep's own estimate showed that the tolerance was met; else the result
      says that it was not checked, and `met` is what the bound says.
    """

    logs: Float[np.ndarray, "lag state"]
    bound: Float[np.ndarray, "lag state"]
    checked: bool
    met: bool


def our_spectra(jacobians, lags, direction, tolerance) -> Ours:
    """Return what the package finds at each lag."""
    found = vj.log_singular_values(
        vj.JacobianChain(jacobians), lags=list(lags), direction=direction, tolerance=tolerance
    )
    checked = tolerance is None or bool(found.estimated_error <= tolerance)
    return Ours(found.log_singular_values, found.error_bound, checked, found.meets_tolerance)


def our_float32_spectrum(jacobians):
    """Return the log singular values in float32 arithmetic throughout."""
    with jax.enable_x64(False):
        values = vj.spectra.product_log_singular_values(jax.numpy.asarray(jacobians))
        return np.asarray(values, np.float64)


# --- comparing --------------------------------------------------------------------------------


def compare(found, bound, exact) -> dict[str, Any]:
    """Return what the numbers say about one spectrum: worst error, its bound, zeros, violations."""
    zero, found_zero = np.isneginf(exact), np.isneginf(found)
    with np.errstate(invalid="ignore"):
        error = np.abs(found - exact)  # -inf - -inf and NaN are settled in the next line
    error = np.where(zero & found_zero, 0.0, np.where(np.isnan(error), np.inf, error))
    worst = int(np.argmax(error))
    loose = (error > 0) & np.isfinite(error) & np.isfinite(bound)
    return {
        "max_error": float(error[worst]),
        "bound_there": float(bound[worst]),
        "max_bound": float(np.max(bound)),
        "median_bound_over_error": float(np.median(bound[loose] / error[loose]))
        if loose.any()
        else None,
        "worst_error_over_bound": float(np.max(_over(error, bound))),
        "violations": int(np.sum(error > bound)),
        "zeros": int(zero.sum()),
        "zeros_found": int(found_zero.sum()),
        "zeros_right": bool(np.array_equal(found_zero, zero)),
        "log_sigma_1": float(exact[0]),
        "log_sigma_last": float(np.min(exact[~zero])) if not zero.all() else -np.inf,
    }


def _over(error, bound):
    """Return error / bound: 0 for no error, however small its bound, or for an infinite bound."""
    known = (error > 0) & np.isfinite(bound)
    with np.errstate(divide="ignore"):
        return np.divide(error, bound, out=np.zeros_like(error), where=known)


# --- the grid ---------------------------------------------------------------------------------


def grid(options, references) -> list[dict[str, Any]]:
    """Return one row per family, size, direction, tolerance and lag."""
    rows = []
    for name in options.families:
        for n in options.sizes:
            jacobians = chain_of_family(name, n, max(options.lags))
            for direction in DIRECTIONS:
                exact = references.at(jacobians, options.lags, direction)
                for tolerance in TOLERANCES:
                    common = {
                        "family": name,
                        "n": n,
                        "direction": direction,
                        "tolerance": tolerance,
                    }
                    rows += [common | row for row in _spectra(jacobians, exact, options, common)]
            _progress(rows, name, n)
    return rows


def _spectra(jacobians, exact, options, common):
    direction, tolerance = common["direction"], common["tolerance"]
    try:
        ours = our_spectra(jacobians, options.lags, direction, tolerance)
    except Exception as error:
        return [{"error": f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"}]
    said = {"meets_tolerance": ours.met, "checked": ours.checked}
    return [
        {"lag": lag, **said, **compare(*values)}
        for lag, *values in zip(options.lags, ours.logs, ours.bound, exact, strict=True)
    ]


def chain_of_family(name, n, steps, seed=0):
    """Return the Jacobians of one chain of the family."""
    # Its own generator per family, so that a new family does not change the others' chains.
    code = int.from_bytes(name.encode(), "big") % 2**32
    return _chains.FAMILIES[name](np.random.default_rng([seed, code, n]), n, steps)


def _progress(rows, name, n):
    mine = [r for r in rows if r["family"] == name and r["n"] == n and "max_error" in r]
    worst = {t: max(r["max_error"] for r in mine if r["tolerance"] == t) for t in TOLERANCES}
    text = ", ".join(f"{t}: {e:.1e}" for t, e in worst.items())
    bad = sum(r["violations"] for r in mine)
    print(f"{name:24s} n = {n:2d}  worst error {text}  violations {bad}", file=sys.stderr)


# --- the bound over random chains -------------------------------------------------------------


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
        exact = references.at(jacobians, [steps], direction)[0]
        for tolerance in TOLERANCES:
            row = {"family": name, "n": n, "steps": steps, "direction": direction}
            row["tolerance"] = tolerance
            try:
                ours = our_spectra(jacobians, [steps], direction, tolerance)
                row |= {"meets_tolerance": ours.met, "checked": ours.checked}
                row |= compare(ours.logs[0], ours.bound[0], exact)
            except Exception as error:
                row["error"] = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
            rows.append(row)
    return rows


# --- long runs --------------------------------------------------------------------------------


def long_runs(options) -> list[dict[str, Any]]:
    """Return rows for chains too long for exact products: closed forms, and the determinant."""
    steps, n = options.long, 4 if options.quick else 16
    rng = np.random.default_rng(0)
    rows = []
    diagonal = np.diag(np.linspace(0.3, 1.4, n))
    closed = steps * np.log(np.sort(np.diagonal(diagonal))[::-1])
    rows.append(_against_closed_form("diagonal", diagonal, closed, steps))
    G = rng.standard_normal((n, n)) / np.sqrt(n)
    symmetric = G + G.T
    closed = steps * _exact_log_eigenvalues(symmetric)
    rows.append(_against_closed_form("symmetric linear cell", symmetric, closed, steps))
    signed = np.eye(n)[rng.permutation(n)] * rng.choice([-1.0, 1.0], n)
    rows.append(_against_closed_form("signed permutation", signed, np.zeros(n), steps))
    for name in ("tanh, gain 1.5", "LSTM", "both graded"):
        jacobians = chain_of_family(name, n, steps)
        found, bound, *_ = our_spectra(jacobians, [steps], "forward", None)
        expected = math.fsum(exact_log_determinants(jacobians))
        rows.append(
            {
                "chain": name,
                "n": n,
                "steps": steps,
                "reference": "exact determinants",
                "log_sigma_1": found[0, 0],
                "log_sigma_last": found[0, -1],
                "error": abs(float(np.sum(found[0])) - expected),
                "relative_error": abs(float(np.sum(found[0])) - expected)
                / float(np.sum(np.abs(found[0]))),
                "max_bound": float(np.max(bound)),
            }
        )
    return rows


def _against_closed_form(name, J, closed, steps):
    found, bound, *_ = our_spectra(np.repeat(J[None], steps, axis=0), [steps], "forward", None)
    error = np.abs(found[0] - closed)
    return {
        "chain": name,
        "n": len(J),
        "steps": steps,
        "reference": "closed form",
        "log_sigma_1": closed[0],
        "log_sigma_last": closed[-1],
        "error": float(np.max(error)),
        "relative_error": float(np.max(error) / max(1.0, np.max(np.abs(closed)))),
        "max_bound": float(np.max(bound)),
        "violations": int(np.sum(error > bound[0])),
    }


def _exact_log_eigenvalues(symmetric):
    with mpmath.workdps(60):
        values = mpmath.eigsy(mpmath.matrix(symmetric.tolist()), eigvals_only=True)
        return np.array(sorted((float(mpmath.log(abs(v))) for v in values), reverse=True))


def float32_runs(options, references) -> list[dict[str, Any]]:
    """Return rows for float32 Jacobians, in float64 arithmetic and in float32 arithmetic."""
    rows = []
    for name in options.families:
        n, steps = (4, 10) if options.quick else (16, 1000)
        jacobians = chain_of_family(name, n, steps).astype(np.float32)
        exact = references.at(jacobians.astype(np.float64), [steps], "forward")[0]
        found, bound, *_ = our_spectra(jacobians, [steps], "forward", None)
        row = {"family": name, "n": n, "steps": steps, **compare(found[0], bound[0], exact)}
        try:
            single = our_float32_spectrum(jacobians)
            row["float32_arithmetic"] = compare(single, np.full(n, np.inf), exact)["max_error"]
        except Exception as error:
            row["float32_arithmetic"] = f"{type(error).__name__}: {str(error)[:100]}"
        rows.append(row)
    return rows


# --- summary ----------------------------------------------------------------------------------


def is_broken_promise(row) -> bool:
    """Whether a tolerance was reported as met that was not."""
    tolerance = row["tolerance"]
    return tolerance is not None and row["meets_tolerance"] and row["max_error"] > tolerance


def summary_by_family(rows) -> list[dict[str, Any]]:
    """Return one row per family and tolerance: the worst over sizes, lags and directions."""
    found = []
    for family in dict.fromkeys(r["family"] for r in rows):
        for tolerance in TOLERANCES:
            mine = [r for r in rows if r["family"] == family and r["tolerance"] == tolerance]
            good = [r for r in mine if "max_error" in r]
            if not good:
                continue
            worst = max(good, key=lambda r: r["max_error"])
            slack = [r["median_bound_over_error"] for r in good if r["median_bound_over_error"]]
            found.append(
                {
                    "family": family,
                    "tolerance": tolerance,
                    "spectra": len(mine),
                    "failed": len(mine) - len(good),
                    "lowest_log_sigma": min(r["log_sigma_last"] for r in good),
                    "max_error": worst["max_error"],
                    "bound_there": worst["bound_there"],
                    "median_bound_over_error": float(np.median(slack)) if slack else None,
                    "worst_error_over_bound": max(r["worst_error_over_bound"] for r in good),
                    "violations": sum(r["violations"] for r in good),
                    "broken_promises": sum(map(is_broken_promise, good)),
                    "not_checked": sum(not r["checked"] for r in good),
                    "zeros_right": sum(r["zeros_right"] for r in good),
                    "with_zeros": sum(r["zeros"] > 0 for r in good),
                }
            )
    return found


def slack_statistics(rows) -> list[dict[str, Any]]:
    """Return, per tolerance, how often the bound failed and how loose it was."""
    found = []
    for tolerance in TOLERANCES:
        good = [r for r in rows if r["tolerance"] == tolerance and "max_error" in r]
        slack = [r["median_bound_over_error"] for r in good if r["median_bound_over_error"]]
        quantiles = np.quantile(slack, [0.05, 0.5, 0.95]) if slack else [np.nan] * 3
        found.append(
            {
                "tolerance": tolerance,
                "chains": len(good),
                "failed": sum(r["tolerance"] == tolerance for r in rows) - len(good),
                "singular_values": sum(r["n"] for r in good),
                "worst_error_over_bound": max(
                    (r["worst_error_over_bound"] for r in good), default=0.0
                ),
                "violations": sum(r["violations"] for r in good),
                "violations_ill_conditioned": sum(
                    r["violations"] for r in good if r["family"] in _chains.ILL_CONDITIONED
                ),
                "broken_promises": sum(map(is_broken_promise, good)),
                "not_checked": sum(not r["checked"] for r in good),
                "infinite_bounds": sum(not np.isfinite(r["max_bound"]) for r in good),
                "zeros_right": sum(r["zeros_right"] for r in good),
                "slack_quantiles_5_50_95": [float(q) for q in quantiles],
            }
        )
    return found


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
    content["by_family"] = summary_by_family(content["grid"])
    content["random_chains"] = random_chains(options, references)
    content["slack"] = slack_statistics(content["random_chains"])
    content["float32"] = float32_runs(options, references)
    content["long_runs"] = long_runs(options)
    yield content
    for key in ("by_family", "slack", "float32", "long_runs"):
        show(content[key], title=key)


BENCHMARK = Benchmark("accuracy", __doc__, measure, add_options, QUICK)


if __name__ == "__main__":
    BENCHMARK.start()
