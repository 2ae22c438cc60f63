"""Measure gradients at first in the networks that `vanishing-jax table` trains.

python benchmarks/study.py choosing --runs runs/table/runs

What that command measures of each network before it trains it, seed by seed, as JSON. `--runs` is a
folder of finished runs, such as that command's OUT/runs: what is there is not measured again.
"""

import pathlib
from collections.abc import Iterator
from typing import Any

import jax
from _main import Benchmark

from vanishing_jax.studies.table import CAUSES
from vanishing_jax.studies.table._grid import rows_of
from vanishing_jax.studies.table._mitigation_table import _measured, _Plan

SIZES = {"task": "adding", "length": 50, "hidden_size": 32, "seeds": 4, "num_sequences": 4}
QUICK = {**SIZES, "length": 6, "hidden_size": 3, "seeds": 2}


def rows_at(sizes: dict[str, Any], folder: pathlib.Path | None, most: int) -> list[dict[str, Any]]:
    """Return a row of numbers, each a list over seeds, for each network of the table."""
    plan = _Plan(
        sizes["task"], sizes["hidden_size"], 1, sizes["seeds"], 1, sizes["num_sequences"], 0.1,
        jax.random.key(0),
    )  # fmt: skip
    rows = []
    networks = dict.fromkeys((row.recipe, row.length) for row in rows_of(CAUSES, sizes["length"]))
    for length in sorted({length for _, length in networks}):
        recipes = [name for name, each in networks if each == length][:most]
        found = _measured(plan, recipes, length, folder, progress=True)
        rows += [{"recipe": name, "length": length, **found[name]} for name in recipes]
    return rows


def add_options(parser) -> None:
    parser.add_argument("--runs", type=pathlib.Path, help="folder that keeps what is finished")


def measure(options) -> Iterator[dict[str, Any]]:
    """Give everything in the end."""
    sizes = QUICK if options.quick else SIZES
    yield {"rows": rows_at(sizes, options.runs, 1 if options.quick else 1000), "settings": sizes}


BENCHMARK = Benchmark("choosing", __doc__, measure, add_options)
