# %% [markdown]
# # The claims of an article, tested
#
# [Open in Colab][colab] (there, first `%pip install vanishing-jax[notebooks]`)
#
# [colab]: https://colab.research.google.com/github/vanishing-jax/vanishing_jax/blob/main/notebooks/09_claims.ipynb
#
# **What you will learn:** how a sentence about vanishing gradients becomes a measurement, how a
# verdict follows from intervals by one rule, what came of all claims of an article and of its
# summary table, and how to put a claim of your own to the same test.
#
# The article, “Gradient Vanishing in Unnormalized RNN Architectures”, sums up what is commonly
# said. `vj.claims` has one experiment for each of its claims.

# %%
import json
import os
import pathlib
import textwrap

import numpy as np
from matplotlib import pyplot as plt

import vanishing_jax as vj

TOY = "VANISHING_JAX_TOY" in os.environ  # the tests run this page small
LIVE = ("C35d",) if TOY else ("C3", "C4", "C7", "C19")
settings = vj.claims.Settings(quick=True)
for id in LIVE:
    claim = vj.claims.CLAIMS[id]
    print(f"{id}: {claim.statement}\n    true if: {claim.rule}")

# %% [markdown]
# ## Run some of them
#
# Each experiment draws a few random networks, measures, and returns *findings*: one number each,
# with its interval over the networks and the range in which it has to lie if the claim is true.

# %%
results = {id: vj.claims.check_claim(id, settings) for id in LIVE}
for result in results.values():
    print(f"{result.id}: {result.verdict}")
    for one in result.findings:
        interval = f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"
        print(f"    {one.case}: {one.quantity.split(' [')[0]}")
        print(f"        {interval}, needed {one.required}: {one.outcome}")

# %% [markdown]
# No experiment says what its verdict is. This rule does:

# %%
print("\n".join(textwrap.wrap(vj.claims.RULE, 90)))
for outcomes in (["holds", "holds"], ["holds", "fails"], ["fails"], ["holds", "open"], []):
    print(f"{outcomes!s:20} -> {vj.claims.decide(outcomes)}")

# %% [markdown]
# An open finding is not a weak yes: it says that the seeds do not tell. Where the verdict depends
# on it there is none.
#
# ## Look at them
#
# Where an experiment scans something its figure is a curve, on the right C4 above C7, dots measured
# and thin lines theory. Else, on the left, it is the findings themselves, and the shaded stretch is
# where the claim holds.

# %%
figure, axes = plt.subplots(-(-len(LIVE) // 2), 2, figsize=(9.6, 6.4), layout="constrained")
# Findings in the left column, curves in the right one.
ordered = sorted(results.values(), key=lambda result: bool(result.figure.curves))
for ax, result in zip(axes.T.ravel(), ordered, strict=False):
    vj.plots.plot_claim(result, ax=ax)

# %% [markdown]
# The article's cause of vanishing (C4) is half of it: small derivatives make gradients vanish at
# gain 1, but at gain 3 the same tanh makes them explode, and a linear network at gain 0.8, whose
# derivative is 1, loses them, too. What multiplies is the derivative *times the weights*. For the
# same reason larger weights saturate more units and yet keep more of the gradient (C7). And
# clipping, which can only shorten, never lengthened one (C19).
#
# ## All of them
#
# The results of all claims are kept with the code; whoever runs `vanishing-jax claims --quick`
# makes them anew.

# %%
committed = json.loads(pathlib.Path("../benchmarks/results/claims.json").read_text())
by_verdict = {verdict: [] for verdict in vj.claims.VERDICTS}
for one in committed["claims"]:
    by_verdict[one["verdict"]].append(one["id"])
print(f"made with {committed['settings']}")
for verdict, ids in by_verdict.items():
    print(f"{len(ids):3} {verdict}: {', '.join(ids)}")

# %% [markdown]
# Those that failed outright, and those that nothing could be said of:

# %%
for one in committed["claims"]:
    if one["verdict"] in ("refuted", "not testable"):
        print(f"{one['id']}: {one['verdict']}. {one['statement']}")
        print(textwrap.indent("\n".join(textwrap.wrap(one["why"], 90)), "    "))

# %% [markdown]
# The page with every number and figure is [claims.md](../docs/findings/claims.md).
#
# ## The article's table
#
# The article ends with a table of four causes, each with its effect and what mitigates it. Claims
# C27 to C30 are its rows. A rate is the natural log by which the gradient changes per step.

# %%
rows = [one for one in committed["claims"] if one["where"].startswith("summary table")]
for one in rows:
    print(f"{one['where']}: {one['verdict']}. {one['statement']}")
    for found in one["findings"]:
        quantity = found["quantity"].split(" [")[0]
        mark = {"holds": "+", "fails": "-", "open": "?"}[found["outcome"]]
        print(f"  {mark} {found['case']}: {quantity} {found['value']:+.3f}", end=" ")
        print(f"[{found['low']:+.3f}, {found['high']:+.3f}]")

# %% [markdown]
# The effects are real. Most mitigations are, too; two fail. Glorot's weights, better than small
# ones, still lose more than a thousandth over 50 steps. And layer normalization depends on the
# input: with inputs of variance 1 (rows 1 and 3) it *lowers* the rate of a tanh network, since it
# shares one unit of variance between memory and input; with variance 0.1 (row 4) it helps.
#
# All of this is before training. What the same entries do *in* training is in the
# [table](../docs/findings/table.md) made by `vanishing-jax table`.
#
# ## A claim of your own
#
# *Larger networks lose gradients more slowly.* Say what would have to be measured, write a
# function that measures it, and leave the verdict to the rule. Here plain NumPy is enough.


# %%
def rate(units, seed, steps=60 if TOY else 300):
    """Return the change of the log of a gradient per step, of a random tanh network."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(units, units)) / np.sqrt(units)
    state, slopes = np.zeros(units), []
    for _ in range(steps):
        state = np.tanh(weights @ state + rng.normal(size=units))
        slopes.append(1 - state**2)
    gradient, logs = rng.normal(size=units), []
    for slope in reversed(slopes):
        gradient = weights.T @ (slope * gradient)
        logs.append(np.log(np.linalg.norm(gradient)))
        gradient /= np.linalg.norm(gradient)
    return np.mean(logs[steps // 6 : -steps // 6])


def gained(units, more_units, seeds):
    """Return the finding: what more units gain, one number per seed."""
    change = [rate(more_units, seed) - rate(units, seed) for seed in range(seeds)]
    case = f"{units} to {more_units} units"
    return vj.claims.over_seeds(case, "rate gained [nats per step]", change, above=0.02)


@vj.claims.claim(
    "M1",
    "Larger networks lose gradients more slowly.",
    where="said over coffee",
    rule="Four times as many units gain more than 0.02 nats per step.",
)
def more_units(settings):
    """Compare small and large networks of four seeds in a quick run, of forty in a full one."""
    seeds = 4 if settings.quick else 40
    return [gained(8, 32, seeds), gained(64, 256, seeds)]


for quick in (True, False):
    result = vj.claims.check_claim(more_units, vj.claims.Settings(quick=quick))
    print(f"{4 if quick else 40} seeds: {result.verdict}")
    for one in result.findings:
        print(f"    {one.case}: {one.value:.3f} [{one.low:.3f}, {one.high:.3f}], {one.outcome}")
theory = vj.theory.mean_field_exponent(activation="tanh", gain=1.0, input_variance=1.0)
print(f"rate of an infinitely large network: {float(theory):.3f}; of 256 units: {rate(256, 0):.3f}")
axes = vj.plots.plot_claim(result)

# %% [markdown]
# The same claim, the same rule, two verdicts. With four seeds the intervals are so wide that they
# cross the edge: *not testable*, although each of the means is above 0. With forty they decide:
# small networks gain by growing, large ones have next to nothing left to gain, for they are close
# to the infinitely large one. "Under a condition" is what the sentence had left out.
#
# ## What to try
#
# - `vj.claims.check_claim("C12")`: claims about training, at full size.
# - Move the edge of M1 to 0. Which verdict then? Is it still the claim that was meant?
# - `vanishing-jax claims --only C1,C24 --out runs/mine`: pages of some claims.
# - A claim about your own network: an experiment may call `vj.diagnose`, `vj.compare` or anything
#   else; only its numbers count.
#
# ## References
#
# - *Gradient Vanishing in Unnormalized RNN Architectures*: the article; its claims, word by word,
#   with place and rule, are `vj.claims.CLAIMS`.
# - S. Santurkar, D. Tsipras, A. Ilyas, A. Madry: *How does batch normalization help
#   optimization?* NeurIPS 2018.
# - B. Poole, S. Lahiri, M. Raghu, J. Sohl-Dickstein, S. Ganguli: *Exponential expressivity in deep
#   neural networks through transient chaos*. NeurIPS 2016. The mean-field theory.
