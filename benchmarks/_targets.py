"""The numbers asked for, next to those measured by bench_spectrum.py."""

from typing import Any, NamedTuple

NUMPY = "NumPy QR loop, Jacobians given"
ONE_COLUMN = "NumPy QR of one column"
RECIPES = ("QR recipe, jacfwd in the scan", "QR recipe, vmap(jacfwd) first")
NAIVE_LAG = "product and SVD per lag (wrong)"
FORWARD = "forward, Jacobians given"


def case_of(row):
    """Return what identifies the group of rows that were timed together."""
    return row["group"], row["cell"], row["n"], row["batch"]


def by_case(rows):
    """Return case -> method -> row."""
    found: dict[tuple, dict[str, Any]] = {}
    for row in rows:
        found.setdefault(case_of(row), {})[row["method"]] = row
    return found


def baseline_of(methods) -> str | None:
    """Return what the others of one case are compared with: the faster QR recipe, if it is one."""
    candidates = RECIPES if set(RECIPES) & set(methods) else (NAIVE_LAG, FORWARD, ONE_COLUMN)
    timed = [m for m in candidates if "seconds_median" in methods.get(m, {})]
    return min(timed, key=lambda m: methods[m]["seconds_median"]) if timed else None


def ratio_to(row, baseline):
    """Return the median of baseline over this row, None where either is missing."""
    ratio = row.get("ratios", {}).get(baseline)
    return ratio["median"] if ratio else None


class Target(NamedTuple):
    """A number asked for: in which cases, of which methods, against what, and which way round."""

    text: str
    wanted: float
    group: str
    methods: tuple[str, ...]
    sizes: tuple[int, ...] = ()
    at_least: bool = True
    baseline: str | None = None  # None: that of the case

    def applies(self, case) -> bool:
        """Whether a case of (group, cell, n, batch) belongs to this target."""
        group, _, n, _ = case
        return group == self.group and n in (self.sizes or (n,))


def _by_size(text: str, wanted: dict[int, float], group: str, method: str) -> list[Target]:
    return [Target(text, value, group, (method,), (n,)) for n, value in wanted.items()]


ONE = "one trajectory"
TARGETS = [
    *_by_size("all singular values", {16: 0.9, 64: 1.6, 128: 1.9, 256: 1.6}, ONE, "spectrum"),
    *_by_size("QR exponents", {16: 1.0, 64: 1.9, 128: 2.5, 256: 2.1}, ONE, "exponents"),
    Target("singular values and exponents", 1, ONE, ("spectrum", "exponents"), baseline=NUMPY),
    Target("first call of all singular values", 1, "first call", ("spectrum",), at_least=False),
    *_by_size("batches of 8 to 32", {16: 1.6, 64: 1.5, 128: 2.2}, "batch", "spectra"),
    Target("top exponent", 5, "top exponent", ("exponents, k = 1",), at_least=False),
    Target("spectrum at every lag", 2.5, "every lag", ("spectrum at every lag",), at_least=False),
    Target(
        "value and gradient", 3, "gradient", ("value and gradient, Jacobians given",),
        at_least=False,
    ),
]  # fmt: skip


def measured(target: Target, cases) -> list[tuple[float, str, str]]:
    """Return (value, where, baseline) of every case.

    A value is how many times faster than the baseline, or how many times its cost.
    """
    found = []
    for case, methods in cases.items():
        if not target.applies(case):
            continue
        baseline = target.baseline or baseline_of(methods)
        for method in target.methods:
            ratio = ratio_to(methods.get(method, {}), baseline)
            if ratio:
                batch = f", batch {case[3]}" if case[3] > 1 else ""
                value = ratio if target.at_least else 1 / ratio
                name = "faster QR recipe" if baseline in RECIPES else str(baseline)
                found.append((value, f"{case[1]}, n = {case[2]}{batch}", name))
    return found


def target_rows(rows) -> list[list[str]]:
    """Return the table of targets: wanted, worst and best case, met or not."""
    cases, lines = by_case(rows), []
    for target in TARGETS:
        values = measured(target, cases)
        sizes = ", ".join(map(str, target.sizes)) or "all"
        what = "times faster" if target.at_least else "times the cost"
        sign = "≥" if target.at_least else "≤"
        line = [target.text, sizes, f"{what}, {sign} {target.wanted:g}"]
        if not values:
            lines.append([*line, "not measured", "", "", ""])
            continue
        worst, best = min(values), max(values)
        if not target.at_least:
            worst, best = best, worst
        met = [v >= target.wanted if target.at_least else v <= target.wanted for v, *_ in values]
        share = "yes" if all(met) else f"{sum(met)} of {len(met)}"
        lines.append([*line, worst[2], f"{worst[0]:.2f} ({worst[1]})", f"{best[0]:.2f}", share])
    return lines
