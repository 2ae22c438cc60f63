"""Speed of training recurrent networks, against PyTorch, Equinox, Flax and a plain scan.

One process on one core; the same weights and batch in all; outputs (by the loss) and gradients are
compared before anything is timed; all alternatives in turn, round by round; CPU time; the first
call, which compiles, apart. Three groups: `step` is one update of a fixed batch (forward, backward,
Adam), `run` is a short training with all that belongs to it, `seeds` are several of them.

    python benchmarks/bench_training.py [--quick] [--only step] [--cells tanh,lstm]
"""

import functools as ft
from collections.abc import Callable, Iterator
from typing import Any

import _timing
import jax
import jax.random as jr
import numpy as np
from _main import Benchmark, names, show
from _recurrent import GATES, IN_JAX, Case, Step, jax_step, our_model, weights_and_batch
from _tables import with_quartiles

import vanishing_jax as vj
from vanishing_jax.comparison import _seeds
from vanishing_jax.tasks import Adding
from vanishing_jax.training import train
from vanishing_jax.training._settings import Chunk, Settings

GROUPS = ("step", "run", "seeds")
OURS, TORCH, LOOP = "vanishing_jax", "PyTorch", "vanishing_jax, one after the other"

# (hidden, batch, time, inputs)
SIZES = [
    (16, 8, 100, 2),
    (64, 32, 100, 2),
    (128, 32, 100, 2),
    (128, 32, 400, 2),
    (256, 32, 100, 2),
    (128, 32, 100, 128),
]
RUNS = [(16, 8, 100, 2), (64, 32, 100, 2), (128, 32, 100, 2)]
SEEDS = [(16, 8, 100, 2), (64, 32, 100, 2)]
QUICK = dict(sizes=[(4, 3, 5, 2)], runs=[(4, 3, 5, 2)], seed_sizes=[(4, 3, 5, 2)], updates=4)
QUICK |= dict(rounds=2, seeds=2)


def torch_module():
    """Import the part that needs PyTorch."""
    import _recurrent_torch

    return _recurrent_torch


# --- one step ---------------------------------------------------------------------------------


def step_makers(case: Case) -> dict[str, Callable[[], Step]]:
    """Return name -> maker of a step."""
    weights, inputs, targets = weights_and_batch(case)

    def in_torch():
        return torch_module().torch_step(case, weights, inputs, targets)

    def in_jax(make):
        return jax_step(make(case, weights), inputs, targets)

    return {**{k: ft.partial(in_jax, make) for k, make in IN_JAX.items()}, TORCH: in_torch}


def difference(step: Step, reference: Step) -> float:
    """Return the largest difference of loss and gradients, relative to the largest entry of each.

    The bias of a library that has two is compared by the gradient that both have.
    """
    found = [abs(step.loss - reference.loss) / abs(reference.loss)]
    for name, expected in reference.gradient.items():
        found.append(np.max(np.abs(step.gradient[name] - expected)) / np.max(np.abs(expected)))
    return float(max(found))


def time_step(case: Case, rounds: int, read) -> list[dict[str, Any]]:
    """Return one row per alternative: compared with the plain scan, then timed in turn."""
    rows, calls, reference = [], {}, None
    makers = step_makers(case)
    for name in ["plain scan", *(n for n in makers if n != "plain scan")]:
        row: dict[str, Any] = {"method": name}
        rows.append(row)
        try:
            begin = read()
            step = makers[name]()
            row["first_call_seconds"] = read() - begin
        except ImportError as error:
            row["error"] = f"not installed: {error}"
            continue
        except NotImplementedError as error:
            row["error"] = str(error)
            continue
        reference = reference or step
        row["difference"] = difference(step, reference)
        row["temporary_bytes"] = step.temporary_bytes
        if row["difference"] < 1e-3:
            calls[name] = step.call
        else:
            row["error"] = f"wrong: gradients differ by {row['difference']:.1e}"
    return timed(rows, calls, rounds, read)


# --- a short run ------------------------------------------------------------------------------


def run_makers(case: Case, updates: int) -> dict[str, Callable[[], Callable[[], float]]]:
    """Return name -> maker of a call that trains and returns the loss over its second half."""
    weights, _, _ = weights_and_batch(case)
    task, key = Adding(case.time), jr.key(0)
    drawn = [task.sample(jr.fold_in(key, number), case.batch) for number in range(1, updates + 1)]

    def our_training():
        model = our_model(case, weights)

        def call():
            _, history = train(
                model,
                task,
                steps=updates,
                batch_size=case.batch,
                record_every=updates // 2,
                progress=False,
                key=key,
            )
            return history.loss[-1]

        return call

    def in_torch():
        torch = torch_module()
        batches = torch.batches_of(drawn)
        return lambda: torch.train(case, weights, batches)

    return {OURS: our_training, TORCH: in_torch}


def time_run(case: Case, updates: int, rounds: int, read) -> list[dict[str, Any]]:
    """Return one row per alternative; the losses are compared before timing."""
    rows, calls, reference = [], {}, None
    for name, make in run_makers(case, updates).items():
        row: dict[str, Any] = {"method": name, "updates": updates}
        rows.append(row)
        try:
            begin = read()
            call = make()
            row["last_loss"] = float(call())
            row["first_call_seconds"] = read() - begin
        except ImportError as error:
            row["error"] = f"not installed: {error}"
            continue
        reference = reference or row["last_loss"]
        row["difference"] = abs(row["last_loss"] / reference - 1)
        # Rounding grows over the updates.
        if row["difference"] < 1e-2:
            calls[name] = call
        else:
            row["error"] = f"wrong: ended in loss {row['last_loss']:.4g}, not {reference:.4g}"
    return timed(rows, calls, rounds, read)


# --- several seeds ----------------------------------------------------------------------------


def seed_makers(case: Case, updates: int, seeds: int):
    """Return name -> call that trains all seeds and returns their last losses, or None."""
    task = Adding(case.time)
    recipe = vj.recipes.parse(case.cell)
    settings = Settings(updates, Chunk(case.batch, updates // 2))
    job = _seeds.Job(recipe, task, case.hidden, recipe.learning_rate, settings)
    keys = [jr.key(seed) for seed in range(seeds)]
    weights, inputs, targets = weights_and_batch(case)

    def together():
        trained = _seeds.train_seeds(job, keys, lambda run: None)
        return [one.history.loss[-1] for one in trained]

    def alone(key):
        _, history = vj.train(
            recipe,
            task,
            steps=updates,
            batch_size=case.batch,
            hidden_size=case.hidden,
            record_every=updates // 2,
            progress=False,
            key=key,
        )
        return history.loss[-1]

    def in_torch():
        torch = torch_module()
        batches = torch.batches_of([(inputs, targets[:, 0])] * updates)
        for _ in keys:
            torch.train(case, weights, batches)

    return {OURS: together, LOOP: lambda: [alone(key) for key in keys], TORCH: in_torch}


def time_seeds(case: Case, updates: int, seeds: int, rounds: int, read) -> list[dict[str, Any]]:
    """Return one row per alternative; seeds together must end as they do alone."""
    rows, calls, reference = [], {}, None
    for name, call in seed_makers(case, updates, seeds).items():
        row: dict[str, Any] = {"method": name, "updates": updates, "seeds": seeds}
        rows.append(row)
        try:
            begin = read()
            losses = call()
            row["first_call_seconds"] = read() - begin
        except ImportError as error:
            row["error"] = f"not installed: {error}"
            continue
        if losses is not None:
            losses = np.asarray(losses)
            reference = losses if reference is None else reference
            row["difference"] = float(np.max(np.abs(losses / reference - 1)))
        if row.get("difference", 0) < 0.05:
            calls[name] = call
        else:
            row["error"] = f"wrong: seeds end apart by {row['difference']:.1e}"
    return timed(rows, calls, rounds, read)


# --- running ----------------------------------------------------------------------------------


def timed(rows, calls, rounds: int, read):
    """Add the times, and the ratio of each alternative's time to ours, to the rows."""
    timings = _timing.measure(calls, rounds=rounds, read=read)
    for row in rows:
        timing = timings.get(row["method"])
        if timing is None:
            continue
        summary = timing.summary()
        summary.pop("first_call_seconds")  # the first call of all was before the comparison
        row.update(summary)
        if OURS in timings:
            row["times_ours"] = _timing.ratio(timing, timings[OURS])
    return rows


def cases(options) -> list[tuple[str, Case]]:
    """Return the list of (group, case)."""
    sizes = {"step": options.sizes, "run": options.runs, "seeds": options.seed_sizes}
    return [
        (group, Case(cell, *size))
        for group in options.only
        for cell in options.cells
        for size in sizes[group]
    ]


def run_case(group: str, case: Case, options, read) -> list[dict[str, Any]]:
    """Return the rows of one case."""
    # Runs are long, so few of them tell as much.
    rounds = options.rounds if group == "step" else min(options.rounds, 5)
    if group == "step":
        rows = time_step(case, rounds, read)
    elif group == "run":
        rows = time_run(case, options.updates, rounds, read)
    else:
        rows = time_seeds(case, options.updates, options.seeds, rounds, read)
    return [{"group": group, **case._asdict(), **row} for row in rows]


def print_case(rows) -> None:
    first = rows[0]
    sizes = ", ".join(f"{key} {first[key]}" for key in Case._fields)
    shown = [
        {
            "method": row["method"],
            "ms": 1e3 * row["seconds_median"] if "seconds_median" in row else "",
            "times ours": with_quartiles(row.get("times_ours")),
            "first call, s": row.get("first_call_seconds", ""),
            "difference": row.get("error", row.get("difference", 0.0)),
        }
        for row in rows
    ]
    show(shown, title=f"{first['group']}: {sizes}")


def add_options(parser) -> None:
    def sizes(text):
        return [tuple(int(x) for x in size.split("/")) for size in text.split(",")]

    parser.add_argument("--only", type=names, default=list(GROUPS), help="groups to run")
    parser.add_argument("--cells", type=names, default=list(GATES))
    what = "hidden/batch/time/inputs, with commas between"
    parser.add_argument("--sizes", type=sizes, default=SIZES, help=f"of single steps: {what}")
    parser.add_argument("--runs", type=sizes, default=RUNS, help="of runs")
    parser.add_argument("--seed-sizes", type=sizes, default=SEEDS, help="of several seeds")
    parser.add_argument("--updates", type=int, default=40, help="of a run")
    parser.add_argument("--seeds", type=int, default=8)


def measure(options) -> Iterator[dict[str, Any]]:
    """Give all rows after every case."""
    read, rows = _timing.clock(options.both_cores), []
    with jax.enable_x64(False):
        for group, case in cases(options):
            found = run_case(group, case, options, read)
            print_case(found)
            rows += found
            yield {"rows": rows}


BENCHMARK = Benchmark("training", __doc__, measure, add_options, QUICK)


if __name__ == "__main__":
    BENCHMARK.start()
