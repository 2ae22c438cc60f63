"""The table of causes and mitigations, executed: every claim measured."""

import functools as ft
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax.random as jr
import numpy as np

from ... import __version__, tasks
from ..._types import Array, Key
from ...comparison import compare
from ...comparison._result import versions
from ...comparison._settings import describe_key, describe_precision, describe_task
from ...comparison._train import built
from ...comparison.recipes import parse
from ...tasks import AbstractTask, Padded
from ...training._settings import check_counts
from .._json import found_or_made
from ._grid import CAUSES, EFFECTS, Cause, Row, placed, rows_of
from ._initial import QUANTITIES, measure_initial
from ._rules import IMPROVED_BELOW, Verdict, of_effect, of_mitigation, outcome, rules

if TYPE_CHECKING:
    import xarray as xr

_INPUTS = 2**32 - 2  # folded into the key for the measured sequences; `compare` has 2**32 - 1
_STATISTICS = 256  # sequences from which batch normalization gets its population statistics
_RECORDS = 50  # records of each seed, at most
_TRAINED = {
    "steps_to_solve": "updates until a record's loss is below the threshold; nan: never",
    "best_loss": "least mean loss of a record",
    "test_loss": "loss of the last model on fresh sequences",
    "test_metric": "metric of the last model on fresh sequences",
    "nonfinite_step": "update at which the loss became NaN or infinite; nan: never",
}


def mitigation_table(
    causes: Sequence[Cause] = CAUSES,
    *,
    task: str = "adding",
    length: int = 50,
    hidden_size: int = 32,
    steps: int = 2500,
    seeds: int = 4,
    batch_size: int = 32,
    num_sequences: int = 4,
    solved_below: float = 0.1,
    out: str | Path | None = None,
    progress: bool = True,
    key: Key,
) -> "xr.Dataset":
    """Return the table of causes of vanishing gradients and mitigations, with every claim measured.

    Each network is measured as it is initialized and then trained, all seeds of it, on a task that
    needs memory. Whether a claim holds follows by the rules in the attributes from the numbers
    alone. Seed k is the network and the data of seed k of `vj.compare` with the same key.

    At initialization, on `num_sequences` sequences of the task: the largest exponent (a random
    direction aligns over the first half of a sequence, its growth over the second half counts); the
    gain, which is the largest singular value of ds_T/ds_1; and the condition number of ds_50/ds_0,
    both from exact float64 Jacobians. Batch normalization is measured by population statistics,
    which it gets from one pass over 256 sequences, and trained by those of its batches.

    **Arguments:**

    - `causes`: rows of the table; `vanishing_jax.studies.table.CAUSES` by default. A further row is
      `CAUSES + (Cause(...),)`.
    - `task`: name of a task that takes a length, as in `vj.tasks.named`.
    - `length`: time steps T; an entry of the table may stretch it.
    - `hidden_size`, `steps`, `seeds`, `batch_size`: as in `vj.compare`, with each recipe's own
      learning rate.
    - `num_sequences`: measured at initialization, for each seed.
    - `solved_below`: a seed has solved the task when the loss of a record (1/50 of all updates)
      is below this share of the memoryless baseline.
    - `out`: folder for the finished runs, which the same call finds again.
    - `progress`: show a bar for each length of sequences.
    - `key`: the only source of randomness.

    **Returns:** an `xarray.Dataset` with dimensions row and seed. Coordinates of a row are `cause`,
    `effect` (the claim), `context` (the baseline network), `role` ("baseline", "unnormalized",
    "normalized"), `normalized`, `recipe` and `length`.

    - `exponent`, `log10_gain`, `log10_condition`, `saturated` (row, seed): at initialization; NaN
      where states overflow.
    - `steps_to_solve`, `best_loss`, `test_loss`, `test_metric`, `nonfinite_step`: of training.
    - `outcome` (row, seed): "solved", "improved" (on the memoryless baseline), "memoryless",
      "diverged" (a NaN).
    - `verdict` (row): "confirmed", "half", "refuted", for an effect "open"; `gradient` and
      `training` (row): "better", "same" or "worse" than the baseline.

    **Raises:** as `vj.compare`; `ValueError` for a cause with an unknown rule and for a task with
    padded sequences; `KeyboardInterrupt` when it is interrupted: with `out`, the same call goes on.

    **Cost:** the default takes about 10 minutes on one core (AMD EPYC), half of them for
    compilation and what is measured at initialization.

    **Example:** a table of one's own, which is not run here, for it compiles for long:

    ```python
    from vanishing_jax.studies.table import Cause, Context, write_mitigation_table
    saturation = Context("sigmoid", unnormalized=("tanh", "irnn"), normalized=("tanh+layernorm",))
    row = Cause("Sigmoid", "gradients decay", "tanh", "layer norm", "decay", (saturation,))
    table = vj.mitigation_table([row], length=30, seeds=3, key=jax.random.key(0))
    write_mitigation_table("runs/sigmoid", table)
    ```
    """
    check_counts(
        length=length, hidden_size=hidden_size, steps=steps, seeds=seeds, batch_size=batch_size,
        num_sequences=num_sequences,
    )  # fmt: skip
    causes = tuple(causes)
    rows = rows_of(causes, length)
    networks = [(row.recipe, row.length) for row in rows]
    networks += [placed(cause.reference, length) for cause in causes if cause.reference]
    plan = _Plan(task, hidden_size, steps, seeds, batch_size, num_sequences, solved_below, key)
    folder = None if out is None else Path(out)
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for each in sorted({length for _, length in networks}):
        recipes = list(dict.fromkeys(name for name, length in networks if length == each))
        measured = _measured(plan, recipes, each, folder, progress)
        trained = _trained(plan, recipes, each, folder, progress)
        found |= {(name, each): {**measured[name], **trained[name]} for name in recipes}
    return _dataset(rows, found, length, plan)


class _Plan(NamedTuple):
    task: str
    hidden_size: int
    steps: int
    seeds: int
    batch_size: int
    num_sequences: int
    solved_below: float
    key: Key

    def settings(self, task: AbstractTask) -> dict[str, Any]:
        """Return what a measurement at initialization depends on."""
        return {
            **describe_task(task),
            "hidden_size": self.hidden_size,
            "seeds": self.seeds,
            "num_sequences": self.num_sequences,
            "key": describe_key(self.key),
            "precision": describe_precision(),
            "version": __version__,
        }

    def folder(self, out: Path | None, length: int) -> Path | None:
        """Return where the finished runs at one length are."""
        return None if out is None else out / f"T{length}"

    def at(self, length: int) -> AbstractTask:
        """Return the task at one length."""
        return tasks.named(self.task, length=length)


def _measured(
    plan: _Plan, recipes: list[str], length: int, out: Path | None, progress: bool
) -> dict[str, dict[str, list[float]]]:
    """Return what is measured at initialization, by recipe, quantity and seed."""
    from tqdm import tqdm

    task, folder = plan.at(length), plan.folder(out, length)
    key_inputs, key_statistics = jr.split(jr.fold_in(plan.key, _INPUTS))
    inputs = _inputs(task, key_inputs, plan.num_sequences)
    statistics_of = _inputs(task, key_statistics, _STATISTICS)

    def measure(name: str) -> dict[str, list[float]]:
        keys = [jr.fold_in(plan.key, seed) for seed in range(plan.seeds)]
        models = [built(parse(name), task, plan.hidden_size, None, key)[0] for key in keys]
        each = [measure_initial(model.cell, inputs, statistics_of) for model in models]
        return {quantity: [one[quantity] for one in each] for quantity in QUANTITIES}

    result = {}
    for name in tqdm(recipes, f"initial Jacobians, T = {length}", disable=not progress):
        path = None if folder is None else folder / name / "initial.json"
        result[name] = found_or_made(path, plan.settings(task), ft.partial(measure, name))
    return result


def _inputs(task: AbstractTask, key: Key, number: int) -> Array:
    inputs, _ = task.sample(key, number)
    if isinstance(inputs, Padded):
        raise ValueError(
            f"expected a task whose sequences have one length; those of {task.name!r} are padded."
        )
    return inputs


def _trained(
    plan: _Plan, recipes: list[str], length: int, out: Path | None, progress: bool
) -> dict[str, dict[str, list[Any]]]:
    """Return what became of training, by recipe, quantity and seed."""
    task = plan.at(length)
    ds = compare(
        recipes, task, steps=plan.steps, seeds=plan.seeds, batch_size=plan.batch_size,
        hidden_size=plan.hidden_size, record_every=-(-plan.steps // _RECORDS),
        target=f"loss < {plan.solved_below * task.baseline!r}", out=plan.folder(out, length),
        progress=progress, key=plan.key,
    )  # fmt: skip
    if ds.attrs.get("interrupted"):
        raise KeyboardInterrupt
    ds = ds.rename(steps_to_target="steps_to_solve").assign(best_loss=ds.loss.min("record"))
    result: dict[str, dict[str, list[Any]]] = {}
    for name in recipes:
        numbers = {one: ds[one].sel(recipe=name).values.tolist() for one in _TRAINED}
        deciding = (numbers[one] for one in ("steps_to_solve", "best_loss", "nonfinite_step"))
        seeds = zip(*deciding, strict=True)
        outcomes = [outcome(steps, loss, end, task.baseline) for steps, loss, end in seeds]
        result[name] = numbers | {"outcome": outcomes}
    return result


def _dataset(rows: list[Row], found: Any, length: int, plan: _Plan) -> "xr.Dataset":
    import xarray as xr

    numbers = [found[row.recipe, row.length] for row in rows]
    verdicts = [_verdict(row, found, length) for row in rows]
    data: dict[str, Any] = {
        name: (("row", "seed"), np.array([one[name] for one in numbers]))
        for name in (*QUANTITIES, *_TRAINED, "outcome")
    }
    data |= {
        name: ("row", [getattr(verdict, name) for verdict in verdicts]) for name in Verdict._fields
    }
    texts = [_texts(row) for row in rows]
    coords: dict[str, Any] = {name: ("row", [one[name] for one in texts]) for name in texts[0]}
    coords["seed"] = np.arange(plan.seeds)
    ds = xr.Dataset(data, coords, _attributes(plan, length))
    for name, meaning in (QUANTITIES | _TRAINED).items():
        ds[name].attrs["long_name"] = meaning
    return ds


def _texts(row: Row) -> dict[str, Any]:
    """Return what is claimed of a network, and which one it is."""
    cause = row.cause
    return {
        "cause": cause.name,
        "effect": cause.effect,
        "rule": cause.rule,
        "claim": cause.effect if row.role == "baseline" else getattr(cause, row.role),
        "context": row.context,
        "role": row.role,
        "normalized": row.role == "normalized",
        "recipe": row.recipe,
        "length": row.length,
    }


def _verdict(row: Row, found: Any, length: int) -> Verdict:
    mine, start = found[row.recipe, row.length], found[row.start]
    if row.role != "baseline":
        return of_mitigation(mine, start)
    reference = row.cause.reference
    return of_effect(row.cause.rule, mine, found[placed(reference, length)] if reference else None)


def _attributes(plan: _Plan, length: int) -> dict[str, Any]:
    task, settings = plan.at(length), plan._asdict()
    for name in ("task", "seeds", "key"):
        del settings[name]
    return {
        "task": task.name,
        "length": length,
        "baseline": task.baseline,
        **settings,
        "improved_below": IMPROVED_BELOW,
        "rules": json.dumps(rules(plan.seeds)),
        "effects": json.dumps(EFFECTS),
        "versions": json.dumps(versions()),
    }
