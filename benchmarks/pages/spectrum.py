"""Tables of the page about speed: the numbers asked for, and all that was measured."""

from typing import Any, NamedTuple

from _pages import first_of_each, short, table, table_of

NUMPY = "NumPy QR loop, Jacobians given"
RECIPES = ("QR recipe, jacfwd in the scan", "QR recipe, vmap(jacfwd) first")
# What the others are compared with where the recipes do not run.
OTHERS = (
    "product and SVD per lag (wrong)",
    "forward, Jacobians given",
    "NumPy QR of one column",
)

GROUPS = {
    "one trajectory": "One trajectory",
    "first call": "First calls, each in a fresh process",
    "top exponent": "The top exponent alone, Jacobians given",
    "batch": "Batches",
    "every lag": "A spectrum at every lag",
    "gradient": "The gradient of a spectrum",
}


def by_case(rows):
    """Return (group, cell, n, batch) -> method -> row, of what was timed together."""
    found: dict[tuple, dict[str, Any]] = {}
    for row in rows:
        case = row["group"], row["cell"], row["n"], row["batch"]
        found.setdefault(case, {})[row["method"]] = row
    return found


def baseline_of(methods) -> str | None:
    """Return what the others of one case are compared with: the faster QR recipe, if it is one."""
    candidates = RECIPES if set(RECIPES) & set(methods) else OTHERS
    timed = [m for m in candidates if "seconds_median" in methods.get(m, {})]
    return min(timed, key=lambda m: methods[m]["seconds_median"]) if timed else None


def ratio_to(row, baseline) -> float | None:
    """Return the median of baseline over this row, None where either is missing."""
    ratio = row.get("ratios", {}).get(baseline)
    return ratio["median"] if ratio else None


# --- targets ----------------------------------------------------------------------------------


class Target(NamedTuple):
    """A number asked for: in which cases, of which methods, against what, and which way round."""

    text: str
    wanted: float
    group: str
    methods: tuple[str, ...]
    size: int | None = None
    at_least: bool = True
    baseline: str | None = None  # None: that of the case

    def met(self, value: float) -> bool:
        """Whether a measured value is good enough."""
        return value >= self.wanted if self.at_least else value <= self.wanted


def _by_size(text: str, wanted: dict[int, float], group: str, method: str) -> list[Target]:
    return [Target(text, value, group, (method,), n) for n, value in wanted.items()]


def _cost(text: str, wanted: float, group: str, method: str) -> Target:
    return Target(text, wanted, group, (method,), at_least=False)


ONE = "one trajectory"
TARGETS = [
    *_by_size("all singular values", {16: 0.9, 64: 1.6, 128: 1.9, 256: 1.6}, ONE, "spectrum"),
    *_by_size("QR exponents", {16: 1.0, 64: 1.9, 128: 2.5, 256: 2.1}, ONE, "exponents"),
    Target("singular values and exponents", 1, ONE, ("spectrum", "exponents"), baseline=NUMPY),
    _cost("first call of all singular values", 1, "first call", "spectrum"),
    *_by_size("batches of 8 to 32", {16: 1.6, 64: 1.5, 128: 2.2}, "batch", "spectra"),
    _cost("top exponent", 5, "top exponent", "exponents, k = 1"),
    _cost("spectrum at every lag", 2.5, "every lag", "spectrum at every lag"),
    _cost("value and gradient", 3, "gradient", "value and gradient, Jacobians given"),
]


def measured(target: Target, cases) -> list[tuple[float, str, str]]:
    """Return (value, where, baseline) of every case.

    A value is how many times faster than the baseline, or how many times its cost.
    """
    found = []
    for (group, cell, n, batch), methods in cases.items():
        if group != target.group or n != (target.size or n):
            continue
        baseline = target.baseline or baseline_of(methods)
        name = "faster QR recipe" if baseline in RECIPES else str(baseline)
        where = f"{cell}, n = {n}" + (f", batch {batch}" if batch > 1 else "")
        for method in target.methods:
            if ratio := ratio_to(methods.get(method, {}), baseline):
                found.append((ratio if target.at_least else 1 / ratio, where, name))
    return found


def found(result) -> str:
    """Return the table of targets: wanted, worst and best case, met or not."""
    cases, lines = by_case(result["rows"]), []
    for target in TARGETS:
        values = sorted(measured(target, cases), reverse=not target.at_least)
        what = "times faster, ≥" if target.at_least else "times the cost, ≤"
        line = [target.text, target.size or "all", f"{what} {target.wanted:g}"]
        if not values:
            lines.append([*line, "not measured", "", "", ""])
            continue
        worst, best = values[0], values[-1]
        met = [target.met(value) for value, *_ in values]
        share = "yes" if all(met) else f"{sum(met)} of {len(met)}"
        lines.append([*line, worst[2], f"{worst[0]:.2f} ({worst[1]})", f"{best[0]:.2f}", share])
    return table(["what", "n", "wanted", "against", "worst case", "best case", "met"], lines)


# --- all that was measured --------------------------------------------------------------------


def group_table(rows, group: str) -> str:
    """Return one line per case: the time of what is compared with, and how many times faster."""
    own = [row for row in rows if row["group"] == group]
    fresh = group == "first call"

    def seconds(methods):
        row = methods.get(baseline_of(methods))
        return short(row and row["seconds_median" if fresh else "microseconds_per_step"])

    def of_case(key):
        return lambda methods: next(iter(methods.values()))[key]

    cells = {key: of_case(key) for key in ("cell", "n", "batch", "steps")}
    cells["baseline, s" if fresh else "baseline, µs per step"] = seconds
    for name in first_of_each(own, "method"):
        ours = any(row["role"] == "ours" for row in own if row["method"] == name)
        cells[f"**{name}**" if ours else name] = lambda x, name=name: _speed(x, name)
    if not fresh:
        cells["off by"] = lambda methods: short(max(map(_off_by, methods.values())))
    return table_of(by_case(own).values(), cells)


def _speed(methods, name) -> str:
    """Return how many times faster than the baseline, and whether the result is good enough."""
    row = methods.get(name, {})
    ratio = ratio_to(row, baseline_of(methods))
    if not ratio:
        return "–"
    return f"{ratio:.2f}" + (
        f" (off by {short(_off_by(row))})" if row.get("above_tolerance") else ""
    )


def _off_by(row) -> float:
    """Return the largest error of ours that was found, 0 for a method of others."""
    check = row.get("check", {}) if row["role"] == "ours" else {}
    names = ("max_error", "relative_error", "difference", "sum_rule")
    return float(next((check[name] for name in names if name in check), 0.0))


def failed_table(rows) -> str:
    """Return what was not measured, and why."""
    failed = [(row["method"], row["error"]) for row in rows if "error" in row]
    return table(["method", "why"], dict.fromkeys(failed))
