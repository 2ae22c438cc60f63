"""The page "How to choose a remedy", from what all benchmarks stored."""

import math
import re

from _tables import table
from studies.choosing.evidence import STUDIES, Evidence, loaded
from studies.choosing.failures import FAILURES
from studies.choosing.figure import NEAR
from studies.choosing.figure import draw as draw_networks
from studies.choosing.steps import STEPS
from studies.choosing.text import filled, minus, rate

HEAD = """<!-- Written by benchmarks/make_readme.py; edit benchmarks/studies/choosing/. -->
# How to choose a remedy

Measure, choose, check by training:

| question | command |
|---|---|
| Do gradients vanish in my network, and why? | `print(vj.diagnose(cell, inputs, loss=loss))` |
| What would another do, before I build it? | `vj.recipes.predict("tanh+he", 1.0, hidden_size=64)` |
| Which one trains? | `vj.compare(["tanh+clip", "gru+clip"], "adding", num_updates=2000, key=key)` |

The second is a matter of seconds:

```python
import vanishing_jax as vj

for name in ("tanh", "tanh+critical"):
    predicted = vj.recipes.predict(name, 1.0, hidden_size=64)  # inputs of variance 1
    print(f"{name}: {predicted.top_exponent:+.2f} nats per step")
```

```text
tanh: -0.10 nats per step
tanh+critical: +0.01 nats per step
```

Find the verdict of `vj.diagnose` below, and the cause that it names first. Every number is read
from the committed [results](../../benchmarks/results) by the script that writes this page; it
refuses to write a line that they do not support."""

RANKED = """## The remedies, ranked

![Gradient at initialization and seeds that solved the task, network by network](choosing.png)
"""

METHOD = """## Where the numbers are from

{sources}

{limits}
"""


def page(result) -> str:
    """Return the page from this study's result and the others."""
    return text(loaded(result))


def draw(result, folder) -> None:
    """Draw the figure."""
    draw_networks(loaded(result), folder / "choosing.png")


def text(results) -> str:
    """Return the page; raise ValueError where the results do not support what it says."""
    e = Evidence(results)
    steps = [make(e) for make in STEPS]
    failures = [make(e) for make in FAILURES]
    for line in (*steps, *failures):
        if not line.holds:
            raise ValueError(f"the results do not support this line of the page any more: {line}")
    headings = [
        "`vj.diagnose` says",
        "try first",
        "what that gave here",
        "it costs",
        "does not help",
    ]
    parts = [HEAD, table(headings, [step[:5] for step in steps])]
    parts += [KEY.format(thousandth=rate(math.log(1e-3) / 100))]
    parts += [RANKED, _ranked(e), "## What does not help", _failed(failures)]
    parts += [METHOD.format(sources=_sources(e), limits=_limits(e))]
    return "\n\n".join(part.strip() for part in parts) + "\n"


KEY = """*m of k*: seeds that solved the task. Rates are in nats per step at initialization: 0 is
kept, below 0 vanishes; {thousandth} leaves a thousandth after 100 steps. A recipe (`gru+clip`) is
what `vj.train` and `vj.compare` take; Adam throughout. INCONCLUSIVE asks for more sequences or
steps, and says which."""


def _failed(failures) -> str:
    headings = ["tried", "what it does to the gradient", "to training", "measured in"]
    return table(headings, [line[:4] for line in failures])


def _ranked(e: Evidence) -> str:
    """Return in words what the figure shows."""
    from scipy.stats import spearmanr

    size = {name: _size(e, name) for name in e.networks}
    solved = {name: e.solved(name).good for name in e.networks}
    near, far = ([n for n in size if (size[n] <= NEAR) == side] for side in (True, False))
    found = spearmanr(list(size.values()), list(solved.values())).statistic
    if not (any(solved[n] == 0 for n in near) and any(solved[n] for n in far)):
        raise ValueError("the results do not say any more that the gradient does not decide.")
    first = (
        f"Each row is one network of `vanishing-jax table`: {e.table['task']}, T = "
        f"{e.table['length']}, {e.table['hidden_size']} units, {e.table['seeds']} seeds, at most "
        f"{e.updates} updates at the recipe's own learning rate. Left: by how many decades the "
        "best-kept gradient changes over the sequence, as initialized (mean ± standard error; "
        f"gray: within {NEAR:g}). Right: seeds that solved the task."
    )
    second = (
        f"**The initial gradient does not decide training.** Of {len(near)} networks that keep it "
        f"within {NEAR:g} decades, {sum(solved[n] > 0 for n in near)} solved the task in some "
        f"seed; of the {len(far)} others, {sum(solved[n] > 0 for n in far)}. Rank correlation of "
        f"decades and seeds that solved it: {minus(f'{found:+.2f}')}. Of "
        f"{len(e.mitigations)} mitigations in the [table](../findings/table.md), "
        f"{e.mitigations.count('confirmed')} made gradient and training better, "
        f"{e.mitigations.count('half')} one of the two, {e.mitigations.count('refuted')} "
        "neither. So: diagnose again after some training, and compare by training."
    )
    return f"{filled(first)}\n\n{filled(second)}"


def _size(e: Evidence, name: str) -> float:
    """Return by how many decades a gradient is off; infinite where states overflow."""
    mean = e.decades(name)[0]
    return math.inf if math.isnan(mean) else abs(mean)


LINKS = {
    "initial": "the networks of the table, as initialized",
    "remedies": "[remedies](../../benchmarks/remedies.md)",
    "claims": "[claims](../findings/claims.md)",
    "mean_field": "[mean field](../../benchmarks/mean_field.md)",
    "depth": "[depth](../../benchmarks/depth.md)",
    "training": "[speed of training](../../benchmarks/README.md)",
}


def _sources(e: Evidence) -> str:
    rows = [["[table](../findings/table.md): training", "`vanishing-jax table`"]]
    rows += [[link, f"`{_command(name, e.results[name])}`"] for name, link in LINKS.items()]
    rows.append(["this page", "`python benchmarks/make_readme.py`"])
    return table(["results", "made by"], rows)


def _command(name: str, result) -> str:
    if name == "claims":
        return "vanishing-jax claims" + " --quick" * result["settings"]["quick"]
    return f"python benchmarks/study.py {STUDIES[name]}" if name in STUDIES else result["command"]


def _limits(e: Evidence) -> str:
    """Return what the sizes, tasks, seeds and machines leave open."""
    experiments = e.results["remedies"]["experiments"]
    processors = {r["machine"]["cpu"] for r in e.results.values() if "machine" in r}
    titles = (one["title"].partition(",")[0] for one in experiments)
    tasks = list(
        dict.fromkeys(re.sub(r"^Sequential 8 x 8 ", "", title).lower() for title in titles)
    )
    units = max(e.table["hidden_size"], *(one["hidden_size"] for one in experiments))
    steps = max(e.table["length"], *(one["length"] for one in experiments))
    few, most = sorted({e.table["seeds"], *(one["seeds"] for one in experiments)})
    return filled(
        f"What they cannot say: networks trained here have at most {units} units and {steps} "
        f"steps, on {len(tasks)} tasks ({', '.join(tasks)}), with {few} or {most} seeds: {most} of "
        f"{most} is a rate above {0.05 ** (1 / most):.0%}, 0 of {few} one below "
        f"{1 - 0.05 ** (1 / few):.0%}, each with 95 % confidence. All ran on CPUs "
        f"({len(processors)} models), in float32. The table trains at each recipe's own learning "
        "rate; only remedies tunes it, on a grid of four. Another task ranks remedies otherwise, "
        "as the lines above on digits and on copy memory show."
    )
