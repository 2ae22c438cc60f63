"""Small trainings that several claims share: the adding task, short and long."""

import functools as ft
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.random as jr
import numpy as np

from ... import tasks
from ..._rollout import rollout
from ..._types import Array
from ...comparison import compare
from ...comparison._seeds import Job, train_seeds
from ...comparison._train import built
from ...comparison.recipes import parse
from ...training._settings import Chunk
from ...training._settings import Settings as TrainingSettings
from ._figure import Curve, Figure
from ._finding import Finding, all_seeds
from ._networks import Settings

SOLVED = 0.2  # of the memoryless baseline: where training ends


class Sizes(NamedTuple):
    """Of the trainings: lengths of the task, updates, units, sequences per update, seeds."""

    short: int
    long: int
    steps: int
    units: int
    batch: int
    seeds: int


def sizes(settings: Settings) -> Sizes:
    """Return the sizes of all trainings."""
    return Sizes(8, 30, 1200, 20, 24, 4) if settings.quick else Sizes(10, 50, 2000, 32, 32, 4)


class Trained(NamedTuple):
    """Of each seed: best and last loss over the memoryless baseline, and updates to the solution.

    Unsolved seeds count with all updates they had; `curve` is the median loss over the baseline.
    """

    best: np.ndarray
    last: np.ndarray
    updates: np.ndarray
    curve: tuple[tuple[float, ...], tuple[float, ...]]


@ft.lru_cache(maxsize=64)
def trained(settings: Settings, recipe: str, length: str) -> Trained:
    """Train one recipe on the short or the long task."""
    size = sizes(settings)
    task = tasks.named("adding", length=getattr(size, length))
    ds = compare(
        recipe, task, steps=size.steps, seeds=size.seeds, batch_size=size.batch,
        hidden_size=size.units, record_every=size.steps // 20, num_test=20,
        target=f"loss < {SOLVED * task.baseline!r}", progress=False, key=jr.key(settings.seed),
    )  # fmt: skip
    loss = ds.loss.values[0] / task.baseline
    # A seed that met a NaN has not learned; one that reached the target has no later records.
    ended = np.isfinite(ds.nonfinite_step.values[0])
    last = np.array([row[np.isfinite(row)][-1:].sum() for row in loss])
    updates = np.nan_to_num(ds.steps_to_target.values[0], nan=size.steps)
    worst = np.where(ended, np.inf, 0.0)
    median = np.nanmedian(np.where(np.isfinite(loss), loss, last[:, None]), axis=0)
    curve = tuple(map(float, ds.record.values)), tuple(map(float, median))
    return Trained(
        np.maximum(np.nanmin(loss, axis=1), worst), np.maximum(last, worst), updates, curve
    )


def learns(settings: Settings, names: Mapping[str, str], length: str = "long") -> list[Finding]:
    """Return the findings that recipes, by their names in words, learn: half of the baseline."""
    return _best_losses(settings, names, length, below=0.5)


def fails(settings: Settings, names: Mapping[str, str], length: str = "long") -> list[Finding]:
    """Return the findings that recipes, by their names in words, do not."""
    return _best_losses(settings, names, length, above=0.5)


def _best_losses(
    settings: Settings, names: Mapping[str, str], length: str, **bounds: float
) -> list[Finding]:
    steps = getattr(sizes(settings), length)
    return [
        all_seeds(f"{words} on {steps} steps", "best loss over the baseline",
                  trained(settings, recipe, length).best, **bounds)
        for recipe, words in names.items()
    ]  # fmt: skip


def learning_curves(
    settings: Settings, title: str, recipes: Iterable[str], lengths: Iterable[str] = ("long",)
) -> Figure:
    """Return the learning curves of recipes on the short or the long task, or on both."""
    curves = tuple(
        Curve(f"{recipe}, T = {getattr(sizes(settings), length)}",
              *trained(settings, recipe, length).curve)
        for recipe in recipes
        for length in lengths
    )  # fmt: skip
    return Figure(title, "updates", "loss over the memoryless baseline", curves, 1.0)


@ft.lru_cache(maxsize=8)
def drifted(settings: Settings, recipe: str) -> dict[str, np.ndarray]:
    """Return per seed how the states' distribution changes in the first updates of training.

    - `shift`: root mean square over units of the change of their means, in standard deviations.
    - `derivative`: change of the mean of tanh'.
    """
    size, chosen = sizes(settings), parse(recipe)
    task = tasks.named("adding", length=size.short)
    inputs, _ = task.sample(jr.key(settings.seed + 1), 200)
    # As many seeds at once, and as many updates in a chunk, as `trained` has: the same program.
    asked = TrainingSettings(150, Chunk(size.batch, size.steps // 20))
    job = Job(chosen, task, size.units, chosen.learning_rate, asked)
    keys = [jr.fold_in(jr.key(settings.seed), seed) for seed in range(2 * size.seeds)]
    before = [built(chosen, task, size.units, None, key).model for key in keys]
    halves = keys[: size.seeds], keys[size.seeds :]
    after = [one.model for half in halves for one in train_seeds(job, half, lambda run: None)]
    found: dict[str, list[float]] = {"shift": [], "derivative": []}
    for models in zip(before, after, strict=True):
        old, new = (_states(model.cell, inputs) for model in models)
        moved = (new.mean(0) - old.mean(0)) / np.maximum(old.std(0), 1e-3)
        found["shift"].append(float(np.sqrt(np.mean(np.square(moved)))))
        found["derivative"].append(float(np.mean(old**2) - np.mean(new**2)))
    return {name: np.array(values) for name, values in found.items()}


@eqx.filter_jit
def _rollouts(cell: Any, inputs: Array) -> Any:
    return jax.vmap(lambda x: rollout(cell, cell.initial_state(), x).states)(inputs)


def _states(cell: Any, inputs: Array) -> np.ndarray:
    """Return the states of all sequences and steps, one row each."""
    states = _rollouts(cell, inputs)
    hidden = np.asarray(jax.tree.leaves(states)[0])[:, 1:]
    return hidden.reshape(-1, hidden.shape[-1])
