"""The page about remedies, from what the study stored."""

import math
import pathlib
from typing import Any

from _tables import provenance, short, table
from studies.remedies.experiments import EXPERIMENTS, Claim, Order
from studies.remedies.figures import draw_curves, draw_rates

from vanishing_jax.studies._verdicts import Share, wins

HEAD = """<!-- Written by benchmarks/make_readme.py. Edit studies/remedies/, not this. -->
# Do the remedies do what is said of them?"""

WHY = "Variations of the IRNN, adding, T = 150"
TOY = "**Toy sizes (`--quick`): nothing on this page says anything.**"

METHOD = """## How it was measured

`python benchmarks/study.py remedies --runs runs/remedies` repeats everything ({cost}),
and goes on where it was interrupted; `--quick` tries it in two minutes at sizes that say nothing.
Every expectation and its bound were written down (`experiments.py`) before the experiment ran; the
last three sections were added afterwards, to find out why. Every seed is shown.

- Learning rate: all four of a grid, for every recipe, on two tuning seeds whose initial weights,
  training sequences and held-out sequences no reported seed shares. The rate with the lowest mean
  held-out loss trained the reported seeds; a seed that met a NaN counts as infinite. A recipe that
  names its rate (`lr=...`) was not tuned. On digits the rates were chosen on a part of the training
  images, not on the test images.
- Adam throughout; `clip` clips the gradient at global norm 1. {precision}.
- Loss and score are those of the last model on held-out sequences, the same for all recipes and
  seeds; not those of the best model. The last training loss is the mean over the last record.
  Seed k of each recipe sees the same training sequences.
- Steps to target: the first record whose mean training loss (fresh sequences, except for digits)
  is below the target; "–" never.
- Seconds: CPU time of one seed, compilation included (divided among the seeds trained together).
"""


def page(result: dict[str, Any]) -> str:
    """Return the page; what has not been run is said to be so.

    The notes begin with the findings in plain words, up to their first heading; these come first.
    """
    notes = pathlib.Path(__file__).with_name("notes.md").read_text()
    done = {one["name"]: one for one in result["experiments"]}
    lines = [(one, e, verdict(e, one.name, result)) for one in EXPERIMENTS for e in one.expected]
    findings, heading, explanations = notes.partition("\n## ")
    parts = [HEAD, TOY if result["settings"].get("quick") else "", findings, _summary(lines)]
    parts += [_verdict_table(lines), heading + explanations]
    if done:
        parts += [_method(result), provenance(result)]
        parts += ["![Learning curves](figures/remedies_curves.png)"]
        parts += ["![Learning rates](figures/remedies_rates.png)"]
    for one in EXPERIMENTS:
        body = _experiment(done[one.name], result) if one.name in done else "Not run yet."
        parts.append(f"## {one.title}\n\n{body}")
    found = result.get("why")
    parts.append(f"## {WHY}\n\n{_why_section(found) if found else 'Not run yet.'}")
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def draw(result: dict[str, Any], folder: pathlib.Path) -> None:
    """Draw the figures."""
    draw_curves(result, folder / "remedies_curves.png")
    draw_rates(result, folder / "remedies_rates.png")


# --- expectations -----------------------------------------------------------------------------


def verdict(expected: Claim | Order, name: str, result: dict[str, Any]) -> tuple[str, str]:
    """Return ("yes", "no" or "not run yet", what came out)."""
    rows = [row for row in result["final"] if row["experiment"] == name]
    of = {row["recipe"]: [r for r in rows if r["recipe"] == row["recipe"]] for row in rows}
    recipes = [expected.recipe] if isinstance(expected, Claim) else expected[1:]
    if any(recipe not in of for recipe in recipes):
        return "not run yet", "–"
    if isinstance(expected, Order):
        return _order(of[expected.better], of[expected.worse])
    values = [float(row[expected.score]) for row in of[expected.recipe]]
    seeds = Share(sum(holds(x, expected) for x in values), len(values))
    enough = seeds.value >= expected.share - 1e-9
    return "yes" if enough != expected.fails else "no", f"{seeds} seeds; {_range(values)}"


def holds(value: float, claim: Claim) -> bool:
    """Return whether one seed's score is on the claimed side; NaN never is."""
    return value < claim.bound if claim.sign == "<" else value > claim.bound


def _order(better, worse):
    high, low = ([float(row["test_metric"]) for row in rows] for rows in (better, worse))
    pairs = wins(high, low, best="high")
    text = f"{pairs} pairs; {_range(high)} against {_range(low)}"
    return "yes" if pairs.value == 1 else "no", text


def _range(values):
    finite = [x for x in values if math.isfinite(x)]
    if not finite:
        return "none has a value"
    ends = (
        short(min(finite)) if min(finite) == max(finite) else " to ".join(map(short, _ends(finite)))
    )
    missing = len(values) - len(finite)
    return ends + (f"; {missing} without a value" if missing else "")


def _ends(values):
    return min(values), max(values)


def _summary(lines):
    answers = [answer for _, _, (answer, _) in lines]
    text = f"{answers.count('yes')} of {len(answers)} expectations held, {answers.count('no')} did "
    text += "not"
    open_ones = answers.count("not run yet")
    return text + (f", {open_ones} have not been run yet." if open_ones else ".")


def _verdict_table(lines):
    rows = [
        [one.title, e.text, f"**{answer}**" if answer == "no" else answer, found]
        for one, e, (answer, found) in lines
    ]
    return table(["experiment", "expected", "held", "what came out"], rows)


# --- sections ---------------------------------------------------------------------------------


def _method(result):
    first = result["experiments"][0]
    seconds = sum(row["cpu_seconds"] for key in ("tuning", "final") for row in result[key])
    seconds += sum(row["cpu_seconds"] * len(row["seeds"]) for row in result.get("why", []))
    return METHOD.format(
        cost=f"{seconds / 60:.0f} min of one core",
        precision=f"All in {first['precision']}",
    )


def _experiment(one, result):
    final, tuning = (
        [row for row in result[key] if row["experiment"] == one["name"]]
        for key in ("final", "tuning")
    )
    tuned = f" (tuning: {one['tuning_steps']})" if one["tuning_steps"] else ""
    text = (
        f"{one['length']} steps, {one['hidden_size']} units, batches of {one['batch_size']}, "
        f"{one['steps']} updates{tuned}, {one['seeds']} seeds. Loss "
        f"without any memory: {one['baseline']:.4f}; target of the training loss: "
        f"{one['target']:g}; score: {one['metric']}."
    )
    curves = [row for row in result["curves"] if row["experiment"] == one["name"]]
    parts = [text, _final_table(one, final, curves)]
    if tuning:
        parts += ["Learning rates, loss of both tuning seeds (chosen: bold):"]
        parts += [_tuning_table(one, tuning, final), _edges(one, tuning, final)]
    commits = ", ".join(dict.fromkeys(row["commit"] for row in [*tuning, *final]))
    return "\n\n".join([*filter(None, parts), f"Trained at commit {commits}."])


def _final_table(one, rows, curves):
    lines = []
    for recipe in dict.fromkeys(row["recipe"] for row in rows):
        mine = [row for row in rows if row["recipe"] == recipe]
        dead = [
            f"seed {row['seed']} at {float(row['nonfinite_step']):.0f}"
            for row in mine
            if math.isfinite(float(row["nonfinite_step"]))
        ]
        lines.append(
            [
                f"`{recipe}`",
                f"{mine[0]['learning_rate']:g}",
                ", ".join(_cell(row["loss"][-1]) for row in curves if row["recipe"] == recipe),
                *(
                    ", ".join(_cell(row[key]) for row in mine)
                    for key in ("test_loss", "test_metric", "steps_to_target")
                ),
                "; ".join(dead) or "none",
                short(mine[0]["cpu_seconds"]),
            ]
        )
    headings = ["recipe", "rate", "last training loss", "test loss, every seed"]
    headings += [f"{one['metric']}, every seed", "steps to target", "met a NaN", "s a seed"]
    return table(headings, lines)


def _edges(one, tuning, final):
    """Say whose rate lies at the edge of the grid: a rate beyond it might be better."""
    tuned = {row["recipe"] for row in tuning}
    ends = (min(one["rates"]), max(one["rates"]))
    at = {
        row["recipe"]: row["learning_rate"]
        for row in final
        if row["recipe"] in tuned and row["learning_rate"] in ends
    }
    listed = ", ".join(f"`{recipe}` at {rate:g}" for recipe, rate in at.items())
    return f"Chosen at the edge of the grid: {listed}." if at else ""


def _why_section(rows):
    """Return the table of variations: what came of each seed, and how far W went."""
    keys = ("test_loss", "steps_to_target", "nonfinite_step", "spectral_radius")
    lines = []
    for row in rows:
        reached = sum(step is not None for step in row["steps_to_target"])
        cells = [", ".join("–" if x is None else _cell(x) for x in row[key]) for key in keys]
        gradient = max((x for x in row["first_gradient_norm"] if x is not None), default=None)
        head = [row["name"], f"`{row['recipe']}`", f"{reached} of {len(row['seeds'])}"]
        lines.append([*head, *cells, short(gradient), short(row["cpu_seconds"])])
    headings = [
        "variation",
        "recipe",
        "below 0.05",
        "test loss",
        "first below 0.05",
        "NaN at update",
    ]
    headings += ["spectral radius of W at the end", "largest first gradient norm", "s a seed"]
    commits = ", ".join(dict.fromkeys(row["commit"] for row in rows))
    return (
        "1,500 updates, Adam at 1e-3, five seeds that the comparison does not use. The radius is "
        "that of the last model, before the NaN if there was one; the first gradient norm is the "
        f"mean over the first 50 updates, before clipping.\n\n{table(headings, lines)}\n\n"
        f"Trained at commit {commits}."
    )


def _cell(value):
    value = float(value)
    # Numbers of updates as they are, not rounded to three digits.
    return "–" if math.isnan(value) else short(int(value) if 100 <= value < 1e6 else value)


def _tuning_table(one, rows, final):
    chosen = {row["recipe"]: row["learning_rate"] for row in final}
    lines = []
    for recipe in dict.fromkeys(row["recipe"] for row in rows):
        cells = []
        for rate in one["rates"]:
            mine = [r for r in rows if r["recipe"] == recipe and r["learning_rate"] == rate]
            text = ", ".join(_cell(row["test_loss"]).replace("–", "NaN") for row in mine)
            cells.append(f"**{text}**" if rate == chosen.get(recipe) else text)
        lines.append([f"`{recipe}`", *cells])
    return table(["recipe", *(f"rate {rate:g}" for rate in one["rates"])], lines)
