"""Measure gradients at first in the networks that `vanishing-jax table` trains.

python benchmarks/bench_initial.py --runs runs/table/runs

What that command measures of each network before it trains it, seed by seed, as JSON. `--runs` is a
folder of finished runs, such as that command's OUT/runs: what is there is not measured again.
"""

import argparse
import pathlib
import sys
from typing import Any

import _timing
import jax

from vanishing_jax.studies.table import CAUSES
from vanishing_jax.studies.table._grid import rows_of
from vanishing_jax.studies.table._mitigation_table import _measured, _Plan

SIZES = {"task": "adding", "length": 50, "hidden_size": 32, "seeds": 4, "num_sequences": 4}
QUICK = {**SIZES, "length": 6, "hidden_size": 3, "seeds": 2}


def measure(sizes: dict[str, Any], folder: pathlib.Path | None, most: int) -> list[dict[str, Any]]:
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


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    out = _timing.RESULTS / "initial.json"
    parser.add_argument("--quick", action="store_true", help="toy sizes, to see that it runs")
    parser.add_argument("--runs", type=pathlib.Path, help="folder that keeps what is finished")
    parser.add_argument("--out", type=pathlib.Path, default=out, help="JSON file to write")
    options = parser.parse_args(arguments)
    sizes = QUICK if options.quick else SIZES
    rows = measure(sizes, options.runs, 1 if options.quick else 1000)
    _timing.write(options.out, "initial", {"quick": options.quick, **sizes}, rows=rows)
    print(f"wrote {options.out}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    _timing.use_one_core()
    sys.exit(main())
