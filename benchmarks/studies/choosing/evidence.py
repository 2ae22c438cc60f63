"""What the committed results say about one recipe or one claim, as numbers and as text."""

import json
import math
import pathlib
from typing import Any

import numpy as np

from vanishing_jax import recipes
from vanishing_jax.studies._verdicts import Share

SOURCES = ("table", "initial", "remedies", "claims", "mean_field", "depth", "training")
ROOT = pathlib.Path(__file__).parents[3]

# The sources that are studies, by the name of the study; the others are files of results/.
STUDIES = {"initial": "choosing", "remedies": "remedies", "mean_field": "mean_field"}
STUDIES["depth"] = "depth"


def loaded(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return all results, with that of this study as given."""
    found = {}
    for name in SOURCES:
        place = f"studies/{STUDIES[name]}/result" if name in STUDIES else f"results/{name}"
        found[name] = json.loads((ROOT / f"benchmarks/{place}.json").read_text())
    return found | {"initial": result}


class Evidence:
    """All results that the page draws on, by the names of their files."""

    def __init__(self, results: dict[str, dict[str, Any]]):
        self.results = results
        self.claims = {one["id"]: one for one in results["claims"]["claims"]}
        self.table = results["initial"]["settings"]
        rows = [r for r in results["initial"]["rows"] if r["length"] == self.table["length"]]
        self.networks = {row["recipe"]: row for row in rows}
        self.updates = results["table"]["settings"]["steps"]
        # Of `vanishing-jax table`, which trains networks with other lengths, too.
        trained, of = results["table"]["rows"], results["table"]["settings"]["seeds"]
        self.mitigations = [row["verdict"] for row in trained if row["role"] != "baseline"]
        own = [row for row in trained if row["length"] == self.table["length"]]
        self._solved = {row["recipe"]: Share(row["solved"], of) for row in own}

    # --- the table of causes and mitigations ---

    def solved(self, recipe: str) -> Share:
        """Return how many seeds of a network of the table solved its task."""
        return self._solved[recipes.parse(recipe).name]

    def decades(self, recipe: str) -> tuple[float, float]:
        """Return by how many decades the best-kept gradient changes: mean, standard error."""
        row = self.networks[recipes.parse(recipe).name]
        values = np.array([float(x) for x in row["log10_gain"]])
        return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))

    # --- tuned recipes ---

    def reached(self, experiment: str, recipe: str) -> Share:
        """Return how many seeds brought their training loss below the target of an experiment."""
        rows = self._rows(experiment, recipe)
        return Share(sum(math.isfinite(float(r["steps_to_target"])) for r in rows), len(rows))

    def dead(self, experiment: str, recipe: str) -> Share:
        """Return how many seeds met a NaN."""
        rows = self._rows(experiment, recipe)
        return Share(sum(math.isfinite(float(r["nonfinite_step"])) for r in rows), len(rows))

    def scores(self, experiment: str, recipe: str) -> np.ndarray:
        """Return the score of every seed on held-out sequences."""
        return np.array([float(row["test_metric"]) for row in self._rows(experiment, recipe)])

    def seconds(self, experiment: str, recipe: str) -> float:
        """Return the CPU time of one seed, compilation included."""
        return float(self._rows(experiment, recipe)[0]["cpu_seconds"])

    def experiment(self, name: str) -> dict[str, Any]:
        """Return the settings of an experiment."""
        return next(one for one in self.results["remedies"]["experiments"] if one["name"] == name)

    def _rows(self, experiment: str, recipe: str) -> list[dict[str, Any]]:
        rows = [
            row
            for row in self.results["remedies"]["final"]
            if (row["experiment"], row["recipe"]) == (experiment, recipe)
        ]
        if not rows:
            raise ValueError(f"expected results of {recipe!r} in {experiment!r}; there are none.")
        return rows

    # --- claims, theory, depth, speed ---

    def finding(self, claim: str, case: str) -> float:
        """Return the value of the one finding of a claim whose case is, or begins with, `case`."""
        findings = {f["case"]: float(f["value"]) for f in self.claims[claim]["findings"]}
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
        """Return a row of the benchmark of depth."""
        return next(row for row in self.results["depth"]["rows"] if row["network"] == network)

    def cost(self, cell: str) -> float:
        """Return the time of a training step over that of tanh: the median over sizes."""
        rows = [r for r in self.results["training"]["rows"] if r["method"] == "vanishing_jax"]
        rows = [row for row in rows if row["group"] == "step"]

        def seconds(name):
            return np.array([row["seconds_median"] for row in rows if row["cell"] == name])

        return float(np.median(seconds(cell) / seconds("tanh")))
