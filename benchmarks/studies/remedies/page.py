"""Verdicts and tables of the page about remedies, and its figures, from what the study stored."""

import math

from _pages import first_of_each, short, table, table_of
from studies.remedies.experiments import EXPERIMENTS, Claim, Order
from studies.remedies.figures import draw as draw

from vanishing_jax.studies._verdicts import Share, wins


def names(result):
    """Return what the template names beside this module: every expectation and what came of it."""
    lines = [(one, e, verdict(e, one.name, result)) for one in EXPERIMENTS for e in one.expected]
    return {"lines": lines, "answers": [answer for *_, (answer, _) in lines]}


def of(rows, one) -> list:
    """Return the rows of an experiment."""
    return [row for row in rows if row["experiment"] == one["name"]]


# --- expectations -----------------------------------------------------------------------------


def verdict(expected: Claim | Order, name: str, result) -> tuple[str, str]:
    """Return ("yes", "no" or "not run yet", what came out)."""

    def scores(recipe, score):
        rows = of(result["final"], {"name": name})
        return [float(row[score]) for row in rows if row["recipe"] == recipe]

    if isinstance(expected, Order):
        high, low = (scores(recipe, "test_metric") for recipe in expected[1:])
        if not (high and low):
            return "not run yet", "–"
        pairs = wins(high, low, best="high")
        text = f"{pairs} pairs; {_range(high)} against {_range(low)}"
        return "yes" if pairs.value == 1 else "no", text
    values = scores(expected.recipe, expected.score)
    if not values:
        return "not run yet", "–"
    seeds = Share(sum(holds(x, expected) for x in values), len(values))
    enough = seeds.value >= expected.share - 1e-9
    return "yes" if enough != expected.fails else "no", f"{seeds} seeds; {_range(values)}"


def holds(value: float, claim: Claim) -> bool:
    """Return whether one seed's score is on the claimed side; NaN never is."""
    return value < claim.bound if claim.sign == "<" else value > claim.bound


def _range(values):
    finite = [x for x in values if math.isfinite(x)]
    if not finite:
        return "none has a value"
    ends = " to ".join(map(short, dict.fromkeys((min(finite), max(finite)))))
    missing = len(values) - len(finite)
    return ends + (f"; {missing} without a value" if missing else "")


def verdict_table(lines) -> str:
    """Return each expectation beside what came out."""
    rows = [
        [one.title, e.text, f"**{answer}**" if answer == "no" else answer, found]
        for one, e, (answer, found) in lines
    ]
    return table(["experiment", "expected", "held", "what came out"], rows)


# --- sections ---------------------------------------------------------------------------------


def minutes(result) -> str:
    """Return how long everything took."""
    seconds = sum(row["cpu_seconds"] for key in ("tuning", "final") for row in result[key])
    seconds += sum(row["cpu_seconds"] * len(row["seeds"]) for row in result.get("why", []))
    return f"{seconds / 60:.0f}"


def final_table(one, rows, curves) -> str:
    """Return a line for each recipe, with every seed."""

    def mine(recipe):
        return [row for row in rows if row["recipe"] == recipe]

    def every_seed(key):
        return lambda recipe: ", ".join(_cell(row[key]) for row in mine(recipe))

    def last_loss(recipe):
        return ", ".join(_cell(row["loss"][-1]) for row in curves if row["recipe"] == recipe)

    def met_nan(recipe):
        steps = {row["seed"]: float(row["nonfinite_step"]) for row in mine(recipe)}
        found = (f"seed {k} at {step:.0f}" for k, step in steps.items() if math.isfinite(step))
        return "; ".join(found) or "none"

    cells = {
        "recipe": lambda recipe: f"`{recipe}`",
        "rate": lambda recipe: f"{mine(recipe)[0]['learning_rate']:g}",
        "last training loss": last_loss,
        "test loss, every seed": every_seed("test_loss"),
        f"{one['metric']}, every seed": every_seed("test_metric"),
        "steps to target": every_seed("steps_to_target"),
        "met a NaN": met_nan,
        "s a seed": lambda recipe: short(mine(recipe)[0]["cpu_seconds"]),
    }
    return table_of(first_of_each(rows, "recipe"), cells)


def tuning_table(one, rows, final) -> str:
    """Return the losses of the tuning seeds at each rate, those of the chosen one bold."""
    chosen = {row["recipe"]: row["learning_rate"] for row in final}

    def cell(recipe, rate):
        mine = [r for r in rows if (r["recipe"], r["learning_rate"]) == (recipe, rate)]
        text = ", ".join(_cell(row["test_loss"]).replace("–", "NaN") for row in mine)
        return f"**{text}**" if rate == chosen.get(recipe) else text

    cells = {"recipe": lambda recipe: f"`{recipe}`"}
    cells |= {f"rate {x:g}": lambda recipe, x=x: cell(recipe, x) for x in one["rates"]}
    return table_of(first_of_each(rows, "recipe"), cells)


def edges(one, tuning, final) -> str:
    """Say whose rate lies at the edge of the grid: a rate beyond it might be better."""
    tuned, ends = first_of_each(tuning, "recipe"), (min(one["rates"]), max(one["rates"]))
    chosen = {row["recipe"]: row["learning_rate"] for row in final if row["recipe"] in tuned}
    listed = ", ".join(f"`{recipe}` at {x:g}" for recipe, x in chosen.items() if x in ends)
    return f"Chosen at the edge of the grid: {listed}.\n\n" if listed else ""


def why_table(rows) -> str:
    """Return the table of variations: what came of each seed, and how far W went."""

    def every_seed(key):
        return lambda row: ", ".join("–" if x is None else _cell(x) for x in row[key])

    def reached(row):
        steps = row["steps_to_target"]
        return f"{len(steps) - steps.count(None)} of {len(steps)}"

    def largest(row):
        return short(max((x for x in row["first_gradient_norm"] if x is not None), default=None))

    cells = {
        "variation": "name",
        "recipe": lambda row: f"`{row['recipe']}`",
        "below 0.05": reached,
        "test loss": every_seed("test_loss"),
        "first below 0.05": every_seed("steps_to_target"),
        "NaN at update": every_seed("nonfinite_step"),
        "spectral radius of W at the end": every_seed("spectral_radius"),
        "largest first gradient norm": largest,
        "s a seed": "cpu_seconds",
    }
    return table_of(rows, cells)


def _cell(value):
    value = float(value)
    # Numbers of updates as they are, not rounded to three digits.
    return "–" if math.isnan(value) else short(int(value) if 100 <= value < 1e6 else value)
