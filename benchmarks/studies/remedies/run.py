"""Do the remedies hold what they promise? Every seed, each recipe at its own tuned learning rate.

python benchmarks/study.py remedies --runs runs/remedies

Each recipe gets the same budget: every learning rate of a grid on two tuning seeds, which no
reported seed shares anything with; the rate with the lowest mean loss on held-out sequences then
trains the reported seeds. With `--runs`, every finished recipe is kept in that folder and the same
command goes on after an interruption.
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
    rows = [
        row(one, recipe, dataset.sel(recipe=name, seed=seed), cost) | {"learning_rate": rate}
        for name, rate in names.items()
        for seed in TUNING_SEEDS
    ]
    return best_rate(rows), rows


def row(one: Experiment, recipe: str, run, cost) -> dict[str, Any]:
    """Return the scores of one seed and what it cost, compilation included."""
    scores = ("test_loss", "test_metric", "nonfinite_step", "learning_rate")
    return {
        "experiment": one.name,
        "recipe": recipe,
        "seed": int(run.seed),
        **{name: float(run[name]) for name in scores},
        **{k: round(cost[k] / cost["runs"], 2) for k in ("cpu_seconds", "wall_seconds")},
        "commit": cost["commit"],
    }


def best_rate(rows: list[dict[str, Any]]) -> float:
    """Return the rate with the lowest mean test loss; one that diverged counts as infinite."""

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
        rows.append(row(one, recipe, run, cost))
        rows[-1]["steps_to_target"] = float(reached[0]) if len(reached) else math.nan
        rows[-1]["nonfinite_leaf"] = str(run.nonfinite_leaf.item())
        curve = {"experiment": one.name, "recipe": recipe, "seed": int(seed)}
        curves.append({**curve, "loss": [float(f"{x:.3g}") for x in loss]})
    return rows, curves


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
    """Give all that is finished after each recipe, and after each variation that says why."""

    def is_chosen(name):
        return options.only is None or name in options.only.split(";")

    chosen = [one.toy() if options.quick else one for one in EXPERIMENTS if is_chosen(one.name)]
    content: dict[str, Any] = {"experiments": [], "tuning": [], "final": [], "curves": []}
    content["settings"] = {"tuning_seeds": TUNING_SEEDS}
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.runs or pathlib.Path(temporary)
        for one in chosen:
            content["experiments"].append(described(one))
            for recipe in one.recipes:
                rate, rows = tuned(one, recipe, folder) if is_tuned(recipe) else (None, [])
                content["tuning"] += rows
                rows, curves = final(one, recipe, rate, folder)
                content["final"] += rows
                content["curves"] += curves
                progress(f"{one.name}, {recipe}: loss {[row['test_loss'] for row in rows]}")
                yield content
        if is_chosen("why"):
            content["why"] = []
            for variation in why(folder, options.quick):
                content["why"].append(variation)
                progress(f"{variation['name']}: loss {variation['test_loss']}")
                yield content


BENCHMARK = Benchmark("remedies", __doc__, measure, add_options)
