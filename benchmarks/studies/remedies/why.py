"""Why the IRNN came out otherwise than expected: variations of it, on seeds of their own."""

import functools as ft
import json
import math
import pathlib
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import _record
import equinox as eqx
import jax
import jax.random as jr
import numpy as np

import vanishing_jax as vj

SEEDS = tuple(range(2000, 2005))


class Variant(NamedTuple):
    """A recipe for the adding problem; `input_std` is that of the input weights, None as built."""

    name: str
    recipe: str
    input_std: float | None = None
    hidden_size: int = 64


VARIANTS = (
    Variant("as compared", "irnn+clip+lr=0.001"),
    Variant("singular values of W held within 0.01 of 1", "irnn+clip+band=0.01+lr=0.001"),
    Variant("clipped at 100", "irnn+clip=100+lr=0.001"),
    Variant("input weights ten times smaller", "irnn+clip+lr=0.001", 0.0174),
    Variant("input weights of Le et al.", "irnn+clip+lr=0.001", 0.001),
    Variant("100 units, input weights of the pilot runs", "irnn+clip+lr=0.001", 0.21, 100),
    Variant("not clipped", "irnn+lr=0.001"),
    Variant("clipped at 0.01", "irnn+clip=0.01+lr=0.001"),
)


def why(folder: pathlib.Path, quick: bool) -> Iterator[dict[str, Any]]:
    """Yield a row for each variant; those finished are read from the folder."""
    for variant in VARIANTS[:2] if quick else VARIANTS:
        path = folder / "why" / f"{variant.name}.json"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(_row(variant, quick)))
        yield json.loads(path.read_text())


def _row(variant: Variant, quick: bool) -> dict[str, Any]:
    begin = time.process_time()
    seeds = SEEDS[:2] if quick else SEEDS
    runs = [_run(variant, seed, quick) for seed in seeds]
    row: dict[str, Any] = {"name": variant.name, "recipe": variant.recipe, "seeds": list(seeds)}
    row |= {key: [run[key] for run in runs] for key in runs[0]}
    seconds = (time.process_time() - begin) / len(seeds)
    return {**row, "cpu_seconds": round(seconds, 2), "commit": _record.commit()}


def _run(variant: Variant, seed: int, quick: bool) -> dict[str, Any]:
    """Return scores of one seed, and how far W went: at the end, or before the NaN."""
    task = vj.tasks.Adding(10 if quick else 150)
    key_model, key_data, key_test = jr.split(jr.fold_in(jr.key(2), seed), 3)
    recipe = vj.recipes.parse(variant.recipe)
    size = 8 if quick else variant.hidden_size
    model, optimizer = recipe.build(task, size, key=key_model)
    if variant.input_std is not None:
        model = eqx.tree_at(
            lambda m: m.cell.weight_xh, model, replace_fn=ft.partial(_scaled, variant.input_std)
        )
    mitigation = recipe.mitigation(task)
    sizes = {"steps": 1500, "batch_size": 32, "record_every": 50}
    if quick:
        sizes = {"steps": 4, "batch_size": 4, "record_every": 2}
    model, history = vj.training.train(
        model,
        task,
        **sizes,
        optimizer=optimizer,
        project=mitigation.project,
        progress=False,
        key=key_data,
    )
    reached = history.step[history.loss < 0.05]
    inputs, targets = task.sample(key_test, 1000)
    errors = np.asarray(jax.vmap(model)(inputs)[:, 0] - targets, np.float64)
    diverged = history.nonfinite_step is not None
    return {
        "test_loss": None if diverged else float(np.mean(errors**2)),
        "offset_share": None if diverged else float(np.mean(errors) ** 2 / np.mean(errors**2)),
        "steps_to_target": int(reached[0]) if len(reached) else None,
        "nonfinite_step": history.nonfinite_step,
        "spectral_radius": _spectral_radius(model.cell.weight_hh),
        "first_gradient_norm": _plain(history.gradient_norm[0]),
    }


def _scaled(std: float, weight: jax.Array) -> jax.Array:
    """Return the weights stretched to a standard deviation of `std` about 0."""
    return weight * (std / math.sqrt(float((weight**2).mean())))


def _spectral_radius(weight: jax.Array) -> float:
    return float(np.max(np.abs(np.linalg.eigvals(np.asarray(weight)))))


def _plain(x):
    return float(x) if np.isfinite(x) else None
