"""Does a parallel scan pay for linear recurrences? `rollout` by both methods, and its gradient.

The same cell, weights and inputs; states and gradients are compared, too; the two in turn, round by
round; CPU time on one core, wall time on an accelerator; the first call, which compiles, apart. A
ratio above 1 says that the parallel scan is faster than the scan. One stage of it works on whole
sequences at once, which a single core of a CPU cannot; there it also reads and writes more memory.

    python benchmarks/bench_associative.py [--quick]
"""

import functools as ft
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import _timing
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from _main import Benchmark, names, progress

import vanishing_jax as vj

METHODS = ("scan", "associative")
INPUTS = 2


def calls(kind: str, size: tuple[int, int, int], quantity: str) -> dict[str, Callable[[], Any]]:
    """Return by each method a call for the states of a batch, or the gradient of a loss."""
    hidden, batch, time = size
    cell = getattr(vj.cells, kind)(INPUTS, hidden, dtype=jnp.float32, key=jax.random.key(0))
    inputs = jax.random.normal(jax.random.key(1), (batch, time, INPUTS), jnp.float32)

    def states(cell, method):
        def one(x):
            return vj.rollout(cell, cell.initial_state(), x, method=method).states

        return jax.vmap(one)(inputs)

    def loss(cell, method):
        return jnp.sum(jnp.square(vj.cells.hidden_output(cell, states(cell, method))))

    what = states if quantity == "states" else eqx.filter_grad(loss)
    compiled = {method: jax.jit(ft.partial(what, method=method)) for method in METHODS}
    return {method: ft.partial(call, cell) for method, call in compiled.items()}


def difference(one: Any, other: Any) -> float:
    """Return the largest difference of two trees, relative to the largest entry of each leaf."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return max(float(np.max(np.abs(a - b)) / np.max(np.abs(a))) for a, b in pairs)


def measure(options) -> Iterator[dict[str, Any]]:
    """Give all rows after every one."""
    read, rows = _timing.clock(options.both_cores), []
    cases = itertools.product(options.cells, options.sizes, ("states", "gradient"))
    for kind, size, quantity in cases:
        functions = calls(kind, size, quantity)
        timings = _timing.measure(functions, rounds=options.rounds, read=read)
        row = {"cell": kind, **dict(zip(("hidden", "batch", "time"), size, strict=True))}
        row |= {"quantity": quantity, "difference": difference(*(f() for f in functions.values()))}
        for method, timing in timings.items():
            row[method] = {**timing.summary(), "first_call_seconds": timing.first}
        row["ratio"] = _timing.ratio(timings["scan"], timings["associative"])
        progress(f"{kind} {size} {quantity}: scan / associative {row['ratio']['median']:.2f}")
        rows.append(row)
        yield {"rows": rows, "settings": {"inputs": INPUTS, "dtype": "float32"}}


def add_options(parser) -> None:
    parser.set_defaults(sizes=[(64, 1, 1000), (64, 32, 400)])  # (hidden, batch, time)
    parser.add_argument("--cells", type=names, default=["LRUCell", "MinGRUCell"])


BENCHMARK = Benchmark("associative", __doc__, measure, add_options, {"sizes": [(3, 2, 7)]})


if __name__ == "__main__":
    BENCHMARK.start()
