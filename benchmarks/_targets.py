"""The numbers asked for, next to those measured by bench_spectrum.py."""

from typing import Any, NamedTuple

NUMPY = "NumPy QR loop, Jacobians given"
FLOOR = "one GEMM per step, Jacobians given"
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


def recipe(methods) -> str | None:
    """Return the faster of the two QR recipes of one case."""
    timed = [m for m in RECIPES if "seconds_median" in methods.get(m, {})]
    return min(timed, key=lambda m: methods[m]["seconds_median"]) if timed else None


def ratio_to(row, baseline):
    """Return the median of baseline over this row, None where either is missing."""
    ratio = row.get("ratios", {}).get(baseline)
    return ratio["median"] if ratio else None


class Target(NamedTuple):
    """A number asked for: in which cases, of which method, against what, and which way round."""

    text: str
    wanted: float
    at_least: bool
    group: str
    methods: tuple[str, ...]
    baseline: str  # "recipe" or the name of a method
    sizes: tuple[int, ...] = ()
    cells: str = "tanh"

    def applies(self, case) -> bool:
        """Whether a case of (group, cell, n, batch) belongs to this target."""
        group, cell, n, _ = case
        return group == self.group and cell.startswith(self.cells) and n in (self.sizes or (n,))


SPECTRUM, ONE = ("spectrum, 1e-10", "spectrum, 1e-6"), "one trajectory"
EXPONENTS = ("exponents, 1e-10", "exponents, 1e-6")
PER_LAG = ("spectrum at every lag, 1e-10",)
GRADIENT = ("value and gradient, Jacobians given",)
BATCH = ("spectra, 1e-10", "spectra, 1e-6")

TARGETS = [
    Target("all singular values to 1e-10", 2, True, ONE, SPECTRUM[:1], "recipe", (64, 128)),
    Target("all singular values to 1e-10", 1.5, True, ONE, SPECTRUM[:1], "recipe", (16, 256)),
    Target("all singular values to 1e-6", 4, True, ONE, SPECTRUM[1:], "recipe", (16, 64, 128)),
    Target("exponents to 1e-10", 2.5, True, ONE, EXPONENTS[:1], "recipe", (64, 128)),
    Target("exponents to 1e-6", 5, True, ONE, EXPONENTS[1:], "recipe", (64, 128)),
    Target("LSTM, all singular values", 1.5, True, ONE, SPECTRUM[:1], "recipe", (), "lstm"),
    Target("batches of 8 to 32, spectra to 1e-10", 6, True, "batch", BATCH[:1], "recipe"),
    Target("batches of 8 to 32, spectra to 1e-6", 6, True, "batch", BATCH[1:], "recipe"),
    Target(
        "spectra and exponents, never slower", 1, True, ONE, SPECTRUM + EXPONENTS, NUMPY, (), ""
    ),
    Target("exponents to 1e-6, cost", 1.5, False, ONE, EXPONENTS[1:], FLOOR, (128, 256)),
    Target("spectrum at every lag, cost", 2.5, False, "every lag", PER_LAG, NAIVE_LAG, (), ""),
    Target("value and gradient, cost", 3, False, "gradient", GRADIENT, FORWARD, (), ""),
]


def measured(target: Target, cases) -> list[tuple[float, str]]:
    """Return (value, where) of every case: a ratio baseline/ours, or ours/baseline as a cost."""
    found = []
    for case, methods in cases.items():
        if not target.applies(case):
            continue
        baseline = recipe(methods) if target.baseline == "recipe" else target.baseline
        for method in target.methods:
            ratio = ratio_to(methods.get(method, {}), baseline)
            if ratio:
                batch = f", batch {case[3]}" if case[3] > 1 else ""
                value = ratio if target.at_least else 1 / ratio
                found.append((value, f"{case[1]}, n = {case[2]}{batch}"))
    return found


def target_rows(rows):
    """Return the table of targets: wanted, worst and best case, met or not."""
    cases, lines = by_case(rows), []
    for target in TARGETS:
        values = measured(target, cases)
        sizes = ", ".join(map(str, target.sizes)) or "all"
        sign = "≥" if target.at_least else "≤"
        line = [target.text, sizes, _against(target), f"{sign} {target.wanted:g}×"]
        if not values:
            lines.append([*line, "not measured", "", ""])
            continue
        worst, best = min(values), max(values)
        if not target.at_least:
            worst, best = best, worst
        met = worst[0] >= target.wanted if target.at_least else worst[0] <= target.wanted
        text = f"{worst[0]:.2f}× ({worst[1]})"
        share = sum(
            v >= target.wanted if target.at_least else v <= target.wanted for v, _ in values
        )
        lines.append(
            [*line, text, f"{best[0]:.2f}×", "yes" if met else f"{share} of {len(values)}"]
        )
    return lines


def _against(target):
    return "faster QR recipe" if target.baseline == "recipe" else target.baseline
