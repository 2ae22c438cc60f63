"""What the committed results say about one recipe or one claim."""

import json
import math
import pathlib
from typing import Any

import numpy as np

from vanishing_jax import recipes
from vanishing_jax.studies._verdicts import Share

BENCHMARKS = pathlib.Path(__file__).parents[2]
SOURCES = {
    "table": "results/table",
    "claims": "results/claims",
    "training": "results/training",
    "remedies": "studies/remedies/result",
    "mean_field": "studies/mean_field/result",
    "depth": "studies/depth/result",
}


def loaded(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return this study's result, as "initial", and those of all others that the page draws on."""
    found = {name: (BENCHMARKS / f"{place}.json") for name, place in SOURCES.items()}
    return {"initial": result} | {name: json.loads(p.read_text()) for name, p in found.items()}


class Evidence:
    """All results that the page draws on."""

    def __init__(self, results: dict[str, dict[str, Any]]):
        self.results = results
        self.table = results["initial"]["settings"]
        rows = [r for r in results["initial"]["rows"] if r["length"] == self.table["length"]]
        self.networks = {row["recipe"]: row for row in rows}
        # Of `vanishing-jax table`, which trains networks with other lengths, too.
        trained, of = results["table"]["rows"], results["table"]["settings"]["seeds"]
        self.mitigations = [row["verdict"] for row in trained if row["role"] != "baseline"]
        own = [row for row in trained if row["length"] == self.table["length"]]
        self._solved = {row["recipe"]: Share(row["solved"], of) for row in own}

    # --- the table of causes and mitigations ---

    def solved(self, recipe: str) -> Share:
        """Return how many seeds of a network of the table solved its task."""
        return self._solved[recipes.parse(recipe).name]

    def none_solved(self, *names: str) -> bool:
        """Return whether no seed of these networks solved the task."""
        return all(self.solved(recipe).good == 0 for recipe in names)

    def is_trained(self, part: str) -> bool:
        """Return whether the table has a network with this part, and so seeds to show."""
        return any(part in recipe for recipe in self.networks)

    def decades(self, recipe: str) -> tuple[float, float]:
        """Return by how many decades the best-kept gradient changes: mean, standard error."""
        row = self.networks[recipes.parse(recipe).name]
        values = np.array([float(x) for x in row["log10_gain"]])
        return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))

    def distance(self, recipe: str) -> float:
        """Return by how many decades a gradient is off; infinite where states overflow."""
        mean = self.decades(recipe)[0]
        return math.inf if math.isnan(mean) else abs(mean)

    # --- tuned recipes ---

    def reached(self, experiment: str, recipe: str) -> Share:
        """Return how many seeds brought their training loss below the target of an experiment."""
        return self._finite(experiment, recipe, "steps_to_target")

    def diverged(self, experiment: str, recipe: str) -> Share:
        """Return how many seeds met a NaN."""
        return self._finite(experiment, recipe, "nonfinite_step")

    def scores(self, experiment: str, recipe: str) -> np.ndarray:
        """Return the score of every seed on held-out sequences."""
        return np.array([float(row["test_metric"]) for row in self._rows(experiment, recipe)])

    def seconds(self, experiment: str, recipe: str) -> float:
        """Return the CPU time of one seed, compilation included."""
        return float(self._rows(experiment, recipe)[0]["cpu_seconds"])

    def experiment(self, name: str) -> dict[str, Any]:
        """Return the settings of an experiment."""
        return next(one for one in self.results["remedies"]["experiments"] if one["name"] == name)

    def _finite(self, experiment: str, recipe: str, key: str) -> Share:
        rows = self._rows(experiment, recipe)
        return Share(sum(math.isfinite(float(row[key])) for row in rows), len(rows))

    def _rows(self, experiment: str, recipe: str) -> list[dict[str, Any]]:
        wanted = {"experiment": experiment, "recipe": recipe}.items()
        rows = [row for row in self.results["remedies"]["final"] if wanted <= row.items()]
        if not rows:
            raise ValueError(f"expected results of {recipe!r} in {experiment!r}; there are none.")
        return rows

    # --- claims, theory, depth, speed ---

    def finding(self, claim: str, case: str) -> float:
        """Return the value of the one finding of a claim whose case is, or begins with, `case`."""
        claims = {one["id"]: one for one in self.results["claims"]["claims"]}
        findings = {f["case"]: float(f["value"]) for f in claims[claim]["findings"]}
        if case in findings:
            return findings[case]
        (found,) = [value for name, value in findings.items() if name.startswith(case)]
        return found

    def exponent(self, gain: float, input_variance: float) -> float:
        """Return the measured exponent of wide tanh networks, in nats per step."""
        rows = self.results["mean_field"]["plain"]
        found = (r for r in rows if (r["gain"], r["input_variance"]) == (gain, input_variance))
        return next(found)["full"]["measured"]

    def layers(self, network: str) -> dict[str, Any]:
        """Return a row of the study of depth."""
        return next(row for row in self.results["depth"]["rows"] if row["network"] == network)

    def cost(self, cell: str) -> float:
        """Return the time of a training step over that of tanh: the median over sizes."""
        rows = [r for r in self.results["training"]["rows"] if r["method"] == "vanishing_jax"]

        def seconds(name):
            return np.array([row["seconds_median"] for row in rows if row["cell"] == name])

        return float(np.median(seconds(cell) / seconds("tanh")))
