"""Which remedy helps on a task, answered by training all of them on several seeds."""

import functools as ft
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax.random as jr

from .._types import Key
from ..tasks import AbstractTask
from ..training import evaluate
from ..training._loop import show
from ..training._savepoints import Savepoints
from ..training._settings import check_counts, check_saving, read_settings
from ._result import joined, run_dataset
from ._seeds import Job, Trained, batched, check, train_seeds
from ._settings import describe_key, describe_task
from ._store import check_folder, load_runs, save_run
from ._train import HIDDEN_SIZE, task_of
from .recipes import Recipe, parse

if TYPE_CHECKING:
    import xarray as xr

_TEST = 2**32 - 1  # folded into the key for the sequences of evaluation; seeds are below 2**31


def compare(
    recipes: str | Recipe | Sequence[str | Recipe],
    task: str | AbstractTask,
    *,
    num_updates: int | None = None,
    steps: int | None = None,
    seeds: int | Sequence[int] = 5,
    length: int | None = None,
    batch_size: int = 32,
    hidden_size: int = HIDDEN_SIZE,
    learning_rate: float | Mapping[str, float] | None = None,
    record_every: int = 10,
    record: Sequence[str] = (),
    target: str | float | None = None,
    num_test: int = 1000,
    checkpoint: bool = False,
    out: str | Path | None = None,
    save_every: int | None = None,
    progress: bool = True,
    key: Key,
) -> "xr.Dataset":
    """Return learning curves and final scores of recipes on one task, every seed of each.

    Seed k of a recipe is `vj.train(recipe, task, ..., key=jax.random.fold_in(key, k))`, to
    rounding, whatever runs beside it: seed k of all recipes draws the same sequences. All seeds of
    a recipe train in one compiled program. A seed that meets a NaN diverged: its curves are NaN
    from there on, so are its scores, and `nonfinite_step` and `nonfinite_leaf` say when and where.

    With `out`, each finished seed is a file, `out/RECIPE/seed_K.nc`, written whole or not at all.
    The same call again loads what is there and trains the rest; more recipes or seeds may be asked
    for, other settings are refused. A recipe in training keeps its last two states in
    `out/RECIPE/unfinished`, and the same seeds go on from there to the same numbers bit for bit.
    Ctrl-C returns the recipes that were finished, with `interrupted` among the attributes.

    **Arguments:**

    - `recipes`: such as `["tanh", "irnn+clip", "lstm"]`; see `vj.recipes`.
    - `task`, `length`: as in `vj.train`.
    - `num_updates`: optimizer updates of each seed; `steps` is another name for it.
    - `seeds`: how many, 0, 1, ..., or which (5).
    - `batch_size`, `hidden_size`: sequences per update (32) and units of each cell (64).
    - `learning_rate`: in place of the recipes' own; one for all, or by recipe.
    - `record_every`, `record`, `target`, `checkpoint`: as in `vj.train`. A seed ends with the
      record that reaches the target, while the others go on.
    - `num_test`: fresh sequences for the final scores, the same for all (1000); a task with
      held-out data uses those.
    - `out`: folder for the results.
    - `save_every`: updates between two states of a recipe in training, as in `vj.train`.
    - `progress`: show a bar over all updates of all recipes, with loss and metric of the median
      seed.
    - `key`: the only source of randomness.

    **Returns:** an `xarray.Dataset` with dimensions recipe, seed, record (number of updates) and
    time (0..T), and one each for the entries of recorders:

    - `loss`, `metric`, `gradient_norm` and what `record` asked for, (recipe, seed, record, ...):
      as in `History`; NaN after a seed's end.
    - `test_loss`, `test_metric` (recipe, seed): of the final model. NaN for a diverged seed.
    - `steps_to_target`, `nonfinite_step` (recipe, seed): number of the update; NaN where it never
      was. `nonfinite_leaf`: what was not finite, or "".
    - `learning_rate` (recipe, seed).
    - `time_training`, `time_test` (recipe, seed): wall-clock seconds, compilation included; of
      training, of all seeds that ran together.

    Attributes name task, length, baseline, metric, settings and versions (JSON).

    **Raises:** as `vj.train`; `ValueError` for a recipe or seed given twice, a `learning_rate` for
    a recipe that is not compared, and results of other settings in `out`, with the differences;
    `KeyboardInterrupt` when no recipe was finished before Ctrl-C.

    **Cost:** one compilation per recipe; other learning rates, thresholds, keys and numbers of
    updates compile nothing anew. On a CPU small networks (`batch_size * hidden_size` below 512)
    run as a batch, in the memory of all seeds; larger ones one after the other, in that of one.
    With several devices (`jax.local_devices()`; CPUs by `JAX_NUM_CPU_DEVICES=2`) the seeds are
    divided among them, equal to one device's to rounding.

    **Example:**

    >>> import jax, vanishing_jax as vj
    >>> ds = vj.compare(
    ...     ["tanh", "tanh+lr=0.1"], "adding", length=5, hidden_size=3, num_updates=2,
    ...     seeds=2, record_every=1, num_test=10, progress=False, key=jax.random.key(0),
    ... )
    >>> dict(ds.loss.sizes)
    {'recipe': 2, 'seed': 2, 'record': 2}
    """
    settings = read_settings(
        num_updates, steps, batch_size, record_every, record, target, checkpoint
    )
    check_counts(hidden_size=hidden_size, num_test=num_test)
    check_saving(out, save_every)
    task, numbers, chosen = task_of(task, length), _numbers(seeds), _parsed(recipes)
    jobs = [
        Job(recipe, task, hidden_size, rate, settings)
        for recipe, rate in zip(chosen, _rates(chosen, learning_rate), strict=True)
    ]
    for job in jobs:
        check(job, key)
    plan = _Plan(jobs, numbers, num_test, None if out is None else Path(out), save_every, key)
    return _run(plan, progress)


class _Plan(NamedTuple):
    jobs: list[Job]
    seeds: list[int]
    num_test: int
    out: Path | None
    save_every: int | None
    key: Key

    @property
    def num_updates(self) -> int:
        return self.jobs[0].settings.num_updates

    def settings(self) -> dict[str, Any]:
        """Return what all runs have in common."""
        job = self.jobs[0]
        return {
            **describe_task(job.task),
            **job.settings.described(),
            "hidden_size": job.hidden_size,
            "num_test": self.num_test,
            "key": describe_key(self.key),
        }

    def settings_of(self, job: Job, seed: int) -> dict[str, Any]:
        """Return the settings of one run."""
        own = {"recipe": job.recipe.name, "seed": seed, "learning_rate": job.learning_rate}
        return {**self.settings(), **own}

    def savepoints(self, job: Job, seeds: list[int]) -> Savepoints:
        """Return where the states of these seeds of a recipe are kept while they train."""
        folder = None if self.out is None else self.out / job.recipe.name / "unfinished"
        own = {"recipe": job.recipe.name, "seeds": seeds, "learning_rate": job.learning_rate}
        return Savepoints(folder, {**self.settings(), **own}, self.save_every)


def _run(plan: _Plan, progress: bool) -> "xr.Dataset":
    """Load what is there, train the rest, and return all of it."""
    from tqdm import tqdm

    found = [{} for _ in plan.jobs] if plan.out is None else _load(plan, plan.out)
    complete = [all(k in runs for k in plan.seeds) for runs in found]
    interrupted = False
    total = len(plan.jobs) * plan.num_updates
    with tqdm(total=total, disable=not progress, unit=" updates") as bar:
        for i, job in enumerate(plan.jobs):
            bar.set_description(job.recipe.name)
            try:
                if complete[i]:
                    # What is left if it was cut off when its last seed was written.
                    plan.savepoints(job, plan.seeds).remove_own()
                else:
                    found[i] = _train(plan, job, found[i], bar)
                    complete[i] = True
            except KeyboardInterrupt:
                interrupted = True
                break
            bar.update((i + 1) * plan.num_updates - bar.n)
    finished = [runs for runs, whole in zip(found, complete, strict=True) if whole]
    rows = [[runs[k] for k in plan.seeds] for runs in finished]
    if not rows:
        raise KeyboardInterrupt("no recipe was finished")
    result = joined(rows)
    return result.assign_attrs(interrupted=1) if interrupted else result


def _load(plan: _Plan, out: Path) -> "list[dict[int, xr.Dataset]]":
    """Return the finished runs of each recipe by seed, after a look at what they were made with."""
    check_folder(out, plan.settings())
    return [load_runs(out, job.recipe.name, ft.partial(plan.settings_of, job)) for job in plan.jobs]


def _train(
    plan: _Plan, job: Job, found: "Mapping[int, xr.Dataset]", bar: Any
) -> "dict[int, xr.Dataset]":
    """Return the runs of all seeds of a recipe, of which some may have been found."""
    missing = [k for k in plan.seeds if k not in found]
    # A batch of another size may round differently, so that all of it is trained again.
    together = batched(job.settings.chunk.batch_size, job.hidden_size)
    numbers = plan.seeds if together else missing
    keys = [jr.fold_in(plan.key, k) for k in numbers]
    savepoints = plan.savepoints(job, numbers)
    start = time.perf_counter()
    trained = train_seeds(job, keys, ft.partial(show, bar, job.task, before=bar.n), savepoints)
    seconds = time.perf_counter() - start
    runs = dict(found)
    for k in missing:
        runs[k] = _finished(plan, job, k, trained[numbers.index(k)], seconds)
        if plan.out is not None:
            save_run(plan.out, runs[k])
    savepoints.remove()
    return runs


def _finished(plan: _Plan, job: Job, seed: int, trained: Trained, seconds: float) -> "xr.Dataset":
    """Return a trained seed as a Dataset, with the scores of its model."""
    start, history = time.perf_counter(), trained.history
    test = None
    if history.nonfinite_step is None:
        key = jr.fold_in(plan.key, _TEST)
        test = evaluate(trained.model, job.task, num_sequences=plan.num_test, key=key)
    times = {"time_training": seconds, "time_test": time.perf_counter() - start}
    return run_dataset(history, test, job.task, plan.settings_of(job, seed), times)


def _parsed(recipes: str | Recipe | Sequence[str | Recipe]) -> list[Recipe]:
    """Return the recipes, each once."""
    listed = [recipes] if isinstance(recipes, str | Recipe) else list(recipes)
    parsed = [one if isinstance(one, Recipe) else parse(one) for one in listed]
    if not parsed:
        raise ValueError("expected at least one recipe; got none. vj.recipes.names() lists some.")
    _check_once("recipe", [one.name for one in parsed])
    return parsed


def _numbers(seeds: int | Sequence[int]) -> list[int]:
    """Return which seeds."""
    numbers = list(range(seeds)) if isinstance(seeds, int) else [int(k) for k in seeds]
    if not numbers or not all(0 <= k < 2**31 for k in numbers):
        raise ValueError(
            f"expected `seeds` as a count of at least 1 or as numbers from 0 to 2**31 - 1; got "
            f"{seeds!r}."
        )
    _check_once("seed", numbers)
    return numbers


def _check_once(what: str, names: Sequence[Any]) -> None:
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise ValueError(f"expected each {what} once; got {twice[0]!r} more than once.")


def _rates(recipes: list[Recipe], rates: float | Mapping[str, float] | None) -> list[float]:
    """Return the learning rate of each recipe."""
    if not isinstance(rates, Mapping):
        return [one.learning_rate if rates is None else float(rates) for one in recipes]
    by_name = {parse(text).name: float(rate) for text, rate in rates.items()}
    unknown = [name for name in by_name if name not in [one.name for one in recipes]]
    if unknown:
        raise ValueError(
            f"expected `learning_rate` for recipes that are compared, "
            f"{', '.join(repr(one.name) for one in recipes)}; got one for {unknown[0]!r}."
        )
    return [by_name.get(one.name, one.learning_rate) for one in recipes]
