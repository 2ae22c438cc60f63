"""How often the bound that looks at every step is below the error, how far above, and its cost.

Random short chains of all families, and larger ones of each family, against exact products; and its
time over that of the default, in turn in one process. One bound is that of one log singular value.

    python benchmarks/bench_sharp_bound.py [--quick] [--seed 82] [--cache DIR]
"""

import argparse
import functools as ft
import sys
import time
from typing import Any

import _chains
import _timing
import numpy as np
from _exact import References
from bench_accuracy import DIRECTIONS, chain_of_family, compare

import vanishing_jax as vj


def bounded(name, jacobians, direction, references) -> dict[str, Any]:
    """Return the row of one chain, looked at with the sharp bound and with the default one."""
    steps, n = jacobians.shape[:2]
    row = {"family": name, "n": n, "steps": steps, "direction": direction}
    exact = references.at(jacobians, [steps], direction)[0]
    chain = vj.JacobianChain(jacobians)
    for key, sharp in (("sharp", True), ("default", False)):
        found = vj.log_singular_values(chain, direction=direction, sharp_bound=sharp)
        row[key] = compare(found.log_singular_values, found.error_bound, exact)
    return row


def random_chains(options, references) -> list[dict[str, Any]]:
    """Return one row per random chain: small sizes, all families in turn."""
    rng, rows = np.random.default_rng(2024 + options.seed), []
    names = list(_chains.FAMILIES)
    shapes = ([4], [10]) if options.quick else ([4, 6, 8], [8, 20, 40, 60])
    for i in range(options.chains):
        n, steps = (int(rng.choice(sizes)) for sizes in shapes)
        direction = DIRECTIONS[int(rng.integers(2))]
        name = names[i % len(names)]
        seed = 10_000 * options.seed + i + 1
        jacobians = chain_of_family(name, n, steps, seed=seed)
        rows.append(bounded(name, jacobians, direction, references))
    return rows


def grid(options, references) -> list[dict[str, Any]]:
    """Return one row per family and direction at each larger size."""
    rows = []
    for n, steps in options.sizes:
        for name in _chains.FAMILIES:
            jacobians = chain_of_family(name, n, steps)
            rows += [bounded(name, jacobians, d, references) for d in DIRECTIONS]
            print(name, n, steps, file=sys.stderr, flush=True)
    return rows


def cost(options) -> list[dict[str, Any]]:
    """Return the time of the sharp bound over that of the default."""
    rows = []
    for n, steps in ((4, 10),) if options.quick else ((16, 1024), (64, 1024)):
        chain = vj.JacobianChain(chain_of_family("tanh, gain 1.5", n, steps))
        calls: dict[str, Any] = {
            "default": ft.partial(vj.log_singular_values, chain),
            "sharp": ft.partial(vj.log_singular_values, chain, sharp_bound=True),
        }
        read = _timing.clock(options.both_cores)
        timings = _timing.measure(calls, rounds=options.rounds, read=read)
        ratio = _timing.ratio(timings["sharp"], timings["default"])
        rows.append({"n": n, "steps": steps, "sharp_over_default": ratio})
    return rows


def summary(rows, key) -> dict[str, Any]:
    """Return how often bounds failed and how loose they were."""
    found = [row[key] for row in rows]
    slack = [r["median_bound_over_error"] for r in found if r["median_bound_over_error"]]
    return {
        "bound": key,
        "chains": len(rows),
        "singular_values": sum(row["n"] for row in rows),
        "violations": sum(r["violations"] for r in found),
        "worst_error_over_bound": max(r["worst_error_over_bound"] for r in found),
        "infinite_bounds": sum(not np.isfinite(r["max_bound"]) for r in found),
        "slack_quantiles_5_50_95": np.quantile(slack, [0.05, 0.5, 0.95]).tolist(),
    }


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    _timing.add_arguments(parser, "sharp_bound")
    parser.add_argument("--chains", type=int, default=600, help="random chains")
    parser.add_argument("--seed", type=int, default=82, help="of the random chains")
    options = parser.parse_args(arguments)
    options.sizes = ((16, 300), (32, 100))
    if options.quick:
        options.chains, options.sizes = 3, ()
    return options


def main(arguments=None) -> int:
    options = parse(arguments)
    references, begin = References(options.cache), time.process_time()
    found = {"random_chains": random_chains(options, references)}
    found["grid"] = grid(options, references)
    found["summary"] = [
        {"part": part, **summary(found[part], key)}
        for part in ("random_chains", "grid")
        if found[part]
        for key in ("sharp", "default")
    ]
    found["cost"] = cost(options)
    settings = {k: v for k, v in vars(options).items() if k not in ("out", "cache")}
    settings["cpu_seconds"] = time.process_time() - begin
    _timing.write(options.out, "sharp_bound", settings, **found)
    for row in found["summary"] + found["cost"]:
        print(row)
    return 0


if __name__ == "__main__":
    _timing.use_one_core()
    sys.exit(main())
