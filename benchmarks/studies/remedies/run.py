"""Do the remedies hold what they promise? Every seed, each recipe at its own tuned learning rate.

python benchmarks/study.py remedies --runs runs/remedies

Each recipe gets the same budget: every learning rate of a grid on two tuning seeds, which no
reported seed shares anything with; the rate with the lowest mean loss on held-out sequences then
trains the reported seeds. With `--runs`, every finished
recipe is kept in that folder and the same command goes on after an interruption.
"""

import json
import math
import pathlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

import _record
import jax
import numpy as np
from _main import Benchmark, progress
from studies.remedies.experiments import EXPERIMENTS, Experiment, is_tuned
from studies.remedies.why import why

import vanishing_jax as vj

TUNING_SEEDS = (1000, 1001)
_KEYS = {"tuning": 1, "final": 0}  # other sequences, initial weights and held-out sequences


def trained(
    one: Experiment, phase: str, folder: pathlib.Path, label: str, recipes: Sequence[str], **options
) -> tuple[Any, dict[str, Any]]:
    """Return what `vj.compare` returns, and the cost: as it was when it was really trained."""
    begin, cpu = time.perf_counter(), time.process_time()
    tuning = phase == "tuning"
    dataset = vj.compare(
        list(recipes),
        one.build_tuning_task() if tuning else one.build_task(),
        steps=one.tuning_steps if tuning else one.steps,
        seeds=TUNING_SEEDS if tuning else one.seeds,
        hidden_size=one.hidden_size,
        batch_size=one.batch_size,
        num_test=one.num_test,
        record_every=one.record_every,
        out=folder / one.name / phase,
        progress=False,
        key=jax.random.key(_KEYS[phase]),
        **options,
    )
    if "interrupted" in dataset.attrs:
        raise KeyboardInterrupt
    path = folder / one.name / f"cost of {phase} {label}.json"
    if not path.exists():
        cost = {
            "commit": _record.commit(),
            "cpu_seconds": time.process_time() - cpu,
            "wall_seconds": time.perf_counter() - begin,
            "runs": int(dataset.test_loss.size),
        }
        path.write_text(json.dumps(cost))
    return dataset, json.loads(path.read_text())


def tuned(one: Experiment, recipe: str, folder: pathlib.Path) -> tuple[float, list[dict]]:
    """Return the best rate, and a row for each rate and tuning seed."""
    names = {vj.recipes.parse(f"{recipe}+lr={rate!r}").name: rate for rate in one.rates}
    dataset, cost = trained(one, "tuning", folder, recipe, list(names))
    rows = []
    for name, rate in names.items():
        for seed in TUNING_SEEDS:
            run = dataset.sel(recipe=name, seed=seed)
            scores = {k: float(run[k]) for k in ("test_loss", "test_metric", "nonfinite_step")}
            rows.append({"experiment": one.name, "recipe": recipe, "learning_rate": rate})
            rows[-1] |= {"seed": seed, **scores, **_cost_per_run(cost)}
    return best_rate(rows), rows


def best_rate(rows: list[dict[str, Any]]) -> float:
    """Return the rate with the lowest mean test loss; a dead seed counts as infinite."""

    def mean(rate):
        losses = [row["test_loss"] for row in rows if row["learning_rate"] == rate]
        return float(np.mean([math.inf if math.isnan(x) else x for x in losses]))

    return min(dict.fromkeys(row["learning_rate"] for row in rows), key=mean)


def final(
    one: Experiment, recipe: str, rate: float | None, folder: pathlib.Path
) -> tuple[list[dict], list[dict]]:
    """Return a row for each reported seed, and its learning curve."""
    dataset, cost = trained(one, "final", folder, recipe, [recipe], learning_rate=rate)
    rows, curves = [], []
    for seed in dataset.seed.values:
        run = dataset.isel(recipe=0).sel(seed=seed)
        loss = run.loss.values
        reached = run.record.values[loss < one.target]
        common = {"experiment": one.name, "recipe": recipe, "seed": int(seed)}
        rows.append(
            {
                **common,
                "learning_rate": float(run.learning_rate),
                "test_loss": float(run.test_loss),
                "test_metric": float(run.test_metric),
                "steps_to_target": float(reached[0]) if len(reached) else math.nan,
                "nonfinite_step": float(run.nonfinite_step),
                "nonfinite_leaf": str(run.nonfinite_leaf.item()),
                **_cost_per_run(cost),
            }
        )
        curves.append({**common, "loss": [float(f"{x:.3g}") for x in loss]})
    return rows, curves


def _cost_per_run(cost):
    """Return seconds per seed, compilation included, and what the run was made with."""
    seconds = {k: round(cost[k] / cost["runs"], 2) for k in ("cpu_seconds", "wall_seconds")}
    return {**seconds, "commit": cost["commit"]}


def described(one: Experiment) -> dict[str, Any]:
    """Return the settings of an experiment for the record."""
    task = one.build_task()
    kept = ("name", "title", "hidden_size", "batch_size", "steps", "tuning_steps", "record_every")
    return {
        **{key: getattr(one, key) for key in (*kept, "target", "num_test")},
        "seeds": len(one.seeds),
        "rates": list(one.rates),
        "recipes": list(one.recipes),
        "length": task.length,
        "baseline": task.baseline,
        "metric": task.metric_name,
        "precision": str(jax.numpy.result_type(float)),
    }


def add_options(parser) -> None:
    parser.add_argument("--only", help="names of experiments, or why, separated by ;")
    parser.add_argument("--runs", type=pathlib.Path, help="folder that keeps every finished run")


def measure(options) -> Iterator[dict[str, Any]]:
    """Give all that is finished after each recipe."""
    chosen = [one for one in EXPERIMENTS if _is_chosen(one.name, options)]
    if options.quick:
        chosen = [one.toy() for one in chosen]
    with tempfile.TemporaryDirectory() as temporary:
        yield from run(chosen, options, options.runs or pathlib.Path(temporary))


def _is_chosen(name, options):
    return options.only is None or name in options.only.split(";")


def run(
    chosen: Sequence[Experiment], options: Any, folder: pathlib.Path
) -> Iterator[dict[str, Any]]:
    """Run the experiments, and then the variations that say why."""
    content: dict[str, Any] = {"experiments": [], "tuning": [], "final": [], "curves": []}
    content["settings"] = {"tuning_seeds": TUNING_SEEDS}
    for one in chosen:
        content["experiments"].append(described(one))
        for recipe in one.recipes:
            rate, rows = tuned(one, recipe, folder) if is_tuned(recipe) else (None, [])
            content["tuning"] += rows
            found, curves = final(one, recipe, rate, folder)
            content["final"] += found
            content["curves"] += curves
            yield content
            _progress(one, recipe, found)
    if _is_chosen("why", options):
        content["why"] = []
        for row in why(folder, options.quick):
            content["why"].append(row)
            yield content
            losses = ", ".join("NaN" if x is None else f"{x:.4g}" for x in row["test_loss"])
            progress(f"{row['name']:48s} loss {losses}")


def _progress(one, recipe, rows):
    losses = ", ".join(f"{row['test_loss']:.4g}" for row in rows)
    scores = ", ".join(f"{row['test_metric']:.4g}" for row in rows)
    first = rows[0]
    progress(
        f"{one.name:12s} {recipe:24s} rate {first['learning_rate']:g}  loss {losses}  score "
        f"{scores}  {first['cpu_seconds']:.1f} CPU s a seed"
    )


BENCHMARK = Benchmark("remedies", __doc__, measure, add_options)
