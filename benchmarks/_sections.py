"""Sections of the benchmarks' page, from what the JSON files hold."""

import numpy as np
from _tables import provenance, short, table, with_quartiles
from _targets import baseline_of, by_case, target_rows


def targets(rows) -> str:
    """Return the table of targets and of what was measured for each."""
    headings = ["what", "n", "wanted", "against", "worst case", "best case", "met"]
    return table(headings, target_rows(rows))


_GROUPS = {
    "one trajectory": "One trajectory",
    "first call": "First calls, each in a fresh process",
    "top exponent": "The top exponent alone, Jacobians given",
    "batch": "Batches",
    "every lag": "A spectrum at every lag",
    "gradient": "The gradient of a spectrum",
}


def speed(result) -> str:
    """Return the sections about time."""
    rows, parts = result["rows"], []
    for group, title in _GROUPS.items():
        if any(row["group"] == group for row in rows):
            parts += [f"### {title}", _group_table(rows, group)]
    failed = [r for r in rows if "error" in r]
    if failed:
        parts.append("### Not measured")
        unique = dict.fromkeys((r["method"], r["error"]) for r in failed)
        parts.append(table(["method", "why"], unique))
    return "\n\n".join([provenance(result), _SPEED_NOTE, targets(rows), *parts])


_SPEED_NOTE = (
    "From the cell, the states and the inputs to the result, unless a name says that the Jacobians "
    "are given. The baseline is the faster of two QR recipes (`jacfwd`, product and QR at each "
    "step, under `jit`) where they run, else what is named first. Every other number is how many "
    "times faster than the baseline a method is: below 1 it is slower. Ours are bold: "
    '"spectrum" is `log_singular_values`, "exponents" `lyapunov_exponents`, with their default '
    'tolerances, "every step" without one, "1e-6" with that one. Brackets say by how much a result '
    'misses its tolerance. "Off by" is the largest error of ours, in nats, against exact products '
    "where they can be had, else the residual of the sum rule."
)


def _group_table(rows, group):
    """Return one line per case: the time of what is compared with, and how many times faster."""
    cases = {case: methods for case, methods in by_case(rows).items() if case[0] == group}
    names = list(dict.fromkeys(name for methods in cases.values() for name in methods))
    lines = []
    for (_, cell, n, batch), methods in cases.items():
        baseline, first = baseline_of(methods), next(iter(methods.values()))
        time = "–"
        if baseline:
            scale = 1 if group == "first call" else 1e6 / (first["steps"] * batch)
            time = short(scale * methods[baseline]["seconds_median"])
        speeds = [_speed(methods.get(name, {}), baseline) for name in names]
        error = short(max(map(_off_by, methods.values()), default=0.0))
        check = [] if group == "first call" else [error]
        lines.append([cell, n, batch, first["steps"], time, *speeds, *check])
    unit = "s" if group == "first call" else "µs per step"
    ours = {row["method"] for row in rows if row["role"] == "ours"}
    headings = ["cell", "n", "batch", "steps", f"baseline, {unit}"]
    headings += [f"**{name}**" if name in ours else name for name in names]
    return table(headings + (["off by"] if group != "first call" else []), lines)


def _speed(row, baseline) -> str:
    """Return how many times faster than the baseline, and whether the result is good enough."""
    ratio = row.get("ratios", {}).get(baseline)
    if not ratio:
        return "–"
    late = f" (off by {short(_off_by(row))})" if row.get("above_tolerance") else ""
    return f"{ratio['median']:.2f}{late}"


def _off_by(row) -> float:
    """Return the largest error of ours that was found, 0 for a method of others."""
    check = row.get("check", {}) if row["role"] == "ours" else {}
    names = ("max_error", "relative_error", "difference", "sum_rule")
    return float(next((check[name] for name in names if name in check), 0.0))


def accuracy(result) -> str:
    """Return the sections about error and bound."""
    first = result["float32"][0]
    parts = [
        provenance(result),
        _accuracy_note(result["settings"]),
        _family_table(result["by_family"]),
        "### The bound over random chains",
        _bound_table(result["slack"]),
        "![Error and bound](../figures/error_and_bound.png)",
        f"### float32 Jacobians, n = {first['n']}, {first['steps']} steps",
        _float32_table(result["float32"]),
        "### Long runs",
        _long_run_table(result["long_runs"]),
    ]
    return "\n\n".join(parts)


def _accuracy_note(settings):
    sizes, lags = (", ".join(map(str, settings[k])) for k in ("sizes", "lags"))
    return (
        f"Over n = {sizes}, lags {lags} and both directions: the worst error of any log σ, the "
        "bound reported there, the median of bound/error, the worst error/bound; how often a "
        "bound was below its error, over all spectra and tolerances; how often a tolerance was "
        "reported as met and was not; how often the sweep could not tell, and the result said that "
        "its tolerance was not checked until the bound was read; in how many spectra the exact "
        "zeros were found exactly."
    )


def _family_table(rows):
    """Return one line per family: its errors at each tolerance, and how its bounds held."""
    tolerances = list(dict.fromkeys(r["tolerance"] for r in rows))
    lines = []
    for family in dict.fromkeys(r["family"] for r in rows):
        mine = {r["tolerance"]: r for r in rows if r["family"] == family}
        first = next(iter(mine.values()))
        errors = [short(mine[t]["max_error"]) if t in mine else "failed" for t in tolerances]
        lines.append(
            [
                family,
                short(first["lowest_log_sigma"]),
                *errors,
                short(first["bound_there"]),
                short(first["median_bound_over_error"]),
                short(max(float(r["worst_error_over_bound"]) for r in mine.values())),
                sum(r["violations"] for r in mine.values()),
                sum(r["broken_promises"] for r in mine.values()),
                sum(r["not_checked"] for r in mine.values()),
                f"{sum(r['zeros_right'] for r in mine.values())} of "
                f"{sum(r['spectra'] for r in mine.values())}",
            ]
        )
    names = [f"tolerance {t:g}" if t else "no tolerance" for t in tolerances]
    headings = ["family", "lowest log σ", *names, "bound there", "bound/error"]
    headings += ["worst error/bound", "bound < error", "tolerance broken", "not checked"]
    return table([*headings, "zeros right"], lines)


def _bound_table(rows):
    lines = [
        [
            f"{r['tolerance']:g}" if r["tolerance"] else "none",
            r["chains"],
            r["singular_values"],
            f"{r['violations']} ({r['violations_ill_conditioned']} ill-conditioned)",
            short(r["worst_error_over_bound"]),
            r["broken_promises"],
            r["not_checked"],
            r["infinite_bounds"],
            f"{r['zeros_right']} of {r['chains']}",
            ", ".join(short(q) for q in r["slack_quantiles_5_50_95"]),
        ]
        for r in rows
    ]
    headings = ["tolerance", "chains", "singular values", "bound < error", "worst error/bound"]
    headings += ["tolerance broken", "not checked", "infinite bounds", "zeros right"]
    return table([*headings, "bound/error, quantiles 5, 50, 95 %"], lines)


def _float32_table(rows):
    lines = [
        [
            r["family"],
            short(r["max_error"]),
            short(r["bound_there"]),
            f"{r['zeros_found']} of {r['zeros']}",
            short(r["float32_arithmetic"]),
        ]
        for r in rows
    ]
    headings = ["family", "error", "bound there", "zeros found", "error in float32 arithmetic"]
    return table(headings, lines)


def _long_run_table(rows):
    lines = [
        [
            r["chain"],
            r["n"],
            r["steps"],
            r["reference"],
            short(r["log_sigma_1"]),
            short(r["log_sigma_last"]),
            short(r["error"]),
            short(r["relative_error"]),
            short(r["max_bound"]),
        ]
        for r in rows
    ]
    headings = ["chain", "n", "steps", "reference", "log σ₁", "lowest", "error", "relative"]
    return table([*headings, "largest bound"], lines)


def accuracy_found(result) -> str:
    """Return how errors and bounds of random chains of all families fared, at each tolerance."""
    lines = [
        [
            f"{r['tolerance']:g}" if r["tolerance"] else "none",
            r["chains"],
            short(_largest(row["max_error"] for row in _at(result, r["tolerance"]))),
            f"{r['violations']} of {r['singular_values']}",
            r["broken_promises"],
            f"{r['zeros_right']} of {r['chains']}",
        ]
        for r in result["slack"]
    ]
    headings = [
        "tolerance",
        "random chains",
        "largest error under a finite bound, nats",
        "bound below its error",
    ]
    return table([*headings, "tolerance broken", "zeros right"], lines)


def _largest(errors) -> float:
    return max((float(x) for x in errors if np.isfinite(float(x))), default=np.nan)


def _at(result, tolerance):
    rows = [r for r in result["random_chains"] if r["tolerance"] == tolerance]
    return [r for r in rows if np.isfinite(float(r.get("max_bound", "nan")))]


def peers_found(result) -> str:
    """Return one line per tool: its largest error, and its time in units of ours."""
    lines = []
    accuracy, cost = result.get("accuracy", []), result.get("cost", [])
    for tool in dict.fromkeys(row["tool"] for row in (*accuracy, *cost)):
        mine = [row for row in (*accuracy, *cost) if row["tool"] == tool]
        errors = [row["own_error"] for row in mine if row.get("own_error") is not None]
        missed = sum(row["zeros"] - row["zeros_found"] for row in mine if "zeros_found" in row)
        times = [r["times_our_exponents"]["median"] for r in mine if r.get("times_our_exponents")]
        failed = next((row["error"] for row in mine if "error" in row), "–")
        lines.append([tool, short(_largest(errors)) if errors else failed, missed, _range(times)])
    headings = [
        "tool",
        "largest finite error of what it computes, nats",
        "zeros missed",
        "times the cost of our exponents",
    ]
    note = f"And {len(result.get('failures', []))} failures, each with the command that shows it."
    return f"{table(headings, lines)}\n\n{note}"


def _range(values) -> str:
    return f"{short(min(values))} to {short(max(values))}" if values else "–"


def parallel_scan(rows) -> str:
    """Return how many times faster the parallel scan is."""
    lines = [
        [
            *(row[name] for name in ("cell", "hidden", "batch", "time", "quantity")),
            with_quartiles(row["ratio"]),
        ]
        for row in rows
    ]
    return table(["cell", "H", "B", "T", "what", "times faster than the scan (quartiles)"], lines)


def associative(result) -> str:
    """Return the section about the parallel scan."""
    lines = [
        [
            *(row[name] for name in ("cell", "hidden", "batch", "time", "quantity")),
            *(short(1e3 * row[method]["seconds_median"]) for method in ("scan", "associative")),
            *(short(row[method]["first_call_seconds"]) for method in ("scan", "associative")),
            short(row["difference"]),
        ]
        for row in result["rows"]
    ]
    headings = ["cell", "H", "B", "T", "what", "scan, ms", "parallel, ms"]
    headings += ["first call, s", "first call of the parallel, s", "difference"]
    return "\n\n".join([provenance(result), parallel_scan(result["rows"]), table(headings, lines)])


def peers(result) -> str:
    """Return the sections about other tools."""
    parts = [provenance(result)]
    sections = {"accuracy": _peer_accuracy, "cost": _peer_cost, "failures": _failures}
    for key, section in sections.items():
        if key in result:
            parts += [f"### {key.capitalize()}", section(result[key])]
    return "\n\n".join(parts)


def _peer_accuracy(rows):
    lines = [
        [
            r["problem"],
            r["steps"],
            r["tool"],
            r["fed"],
            *(
                [r["error"], "", "", ""]
                if "error" in r
                else [
                    short(r.get("own_error")),
                    short(r["off_from_singular_values"]),
                    short(r["sum_rule"]),
                    f"{r['zeros_found']} of {r['zeros']}",
                ]
            ),
        ]
        for r in rows
    ]
    headings = ["problem", "steps", "tool", "fed", "error of what it computes"]
    headings += ["off from log σ", "sum rule off by", "zeros found"]
    note = (
        "In nats over the whole run. What it computes: sums of log |R_ii| against the exact ones "
        "for the tool's own first basis (for us also the singular values against exact ones). All "
        "tools are linearized at the same states; those fed the function differentiate it "
        "themselves, those fed Jacobians get the exact ones.\n\n"
        "![Accuracy and cost](../figures/accuracy_and_cost.png)\n\n"
    )
    return note + table(headings, lines)


def _peer_cost(rows):
    lines = [
        [
            r["problem"],
            r["n"],
            r["steps"],
            r["tool"],
            r["fed"],
            short(r.get("microseconds_per_step")) if "error" not in r else r["error"],
            short(r.get("first_call_seconds")),
            with_quartiles(r.get("times_our_spectrum")),
            with_quartiles(r.get("times_our_exponents")),
        ]
        for r in rows
    ]
    headings = ["problem", "n", "steps", "tool", "fed", "µs/step", "first call, s"]
    return table([*headings, "times our spectrum", "times our exponents"], lines)


def _failures(rows):
    lines = []
    for r in rows:
        known = ("name", "command", "what", "expected", "found", "ours", "error")
        more = "; ".join(
            f"{k.replace('_', ' ')}: {_text(v)}" for k, v in r.items() if k not in known
        )
        found = _text(r.get("found")) if "error" not in r else r["error"]
        values = [_text(r.get("expected")), found, _text(r.get("ours")), more]
        lines.append([f"`{r['name']}`", r.get("what", ""), *values])
    note = "Each row: `python benchmarks/bench_peers.py --failure NAME`.\n\n"
    return note + table(["name", "what", "expected", "found", "ours", "more"], lines)


def _text(value):
    if isinstance(value, dict):
        return ", ".join(f"{k}: {_text(v)}" for k, v in value.items())
    return short(value)
