"""Does a parallel scan pay for linear recurrences? `rollout` by both methods, and its gradient.

The same cell, weights and inputs; states and gradients are compared, too; the two in turn, round by
round; CPU time on one core, wall time on an accelerator; the first call, which compiles, apart. A
ratio above 1 says that the parallel scan is faster than the scan. One stage of it works on whole
sequences at once, which a single core of a CPU cannot; there it also reads and writes more memory.

    python benchmarks/bench_associative.py [--quick]
"""

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import _timing
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from _main import Benchmark

import vanishing_jax as vj

METHODS = ("scan", "associative")
CELLS = ("LRUCell", "MinGRUCell")
INPUTS = 2

# (hidden, batch, time)
SIZES = [(64, 1, 1000), (64, 32, 400)]
QUICK = [(3, 2, 7)]


def make(kind: str, size: tuple[int, int, int], quantity: str) -> dict[str, Callable[[], Any]]:
    """Return name -> function that computes the states of a batch, or the gradient of a loss."""
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

    def function(method):
        compiled = jax.jit(lambda cell: what(cell, method))
        return lambda: compiled(cell)

    return {method: function(method) for method in METHODS}


def difference(one: Any, other: Any) -> float:
    """Return the largest difference of two trees, relative to the largest entry of each leaf."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return max(float(np.max(np.abs(a - b)) / np.max(np.abs(a))) for a, b in pairs)


def rows_of(arguments: argparse.Namespace, read: Callable[[], float]) -> list[dict[str, Any]]:
    """Return one row for each cell, size and quantity."""
    rows = []
    for kind in arguments.cells.split(","):
        for size in QUICK if arguments.quick else SIZES:
            for quantity in ("states", "gradient"):
                functions = make(kind, size, quantity)
                timings = _timing.measure(functions, rounds=arguments.rounds, read=read)
                apart = difference(*(functions[method]() for method in METHODS))
                row = {
                    "cell": kind,
                    "hidden": size[0],
                    "batch": size[1],
                    "time": size[2],
                    "quantity": quantity,
                    "difference": apart,
                    **{method: timing.summary() for method, timing in timings.items()},
                    "ratio": _timing.ratio(timings["scan"], timings["associative"]),
                }
                print(f"{kind} {size} {quantity}: scan / associative {row['ratio']['median']:.2f}")
                rows.append(row)
    return rows


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the cells."""
    parser.add_argument("--cells", default=",".join(CELLS), help="comma-separated classes")


def measure(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Give everything in the end."""
    rows = rows_of(options, _timing.clock(options.both_cores))
    yield {"rows": rows, "settings": {"inputs": INPUTS, "dtype": "float32"}}


BENCHMARK = Benchmark("associative", __doc__, measure, add_options)


if __name__ == "__main__":
    BENCHMARK.start()
