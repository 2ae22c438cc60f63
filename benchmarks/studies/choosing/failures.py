"""What does not help, in "How to choose a remedy": each line with what the results must say."""

import math
from collections.abc import Callable

from studies.choosing.evidence import Evidence
from studies.choosing.text import Failure, power, rate, ten

from vanishing_jax import theory

_CLAIMS, _TABLE = "[claims](../findings/claims.md)", "table"


def _clipping(e: Evidence) -> Failure:
    update = e.finding("C18", "vanishing gradients (tanh at gain 1)")
    first = e.finding("C19", "clipping by norm, vanishing gradients")
    solved = e.reached("adding 100", "tanh+clip")
    return Failure(
        "Clipping against vanishing gradients",
        f"its size: {ten(update)} times; that of the first state: {ten(first)} times",
        f"`tanh+clip` {solved}",
        f"{_CLAIMS} C18, C19; remedies",
        update == 0 and first < 0 and solved.good == 0,
    )


def _adam(e: Evidence) -> Failure:
    left = {x: e.finding("C26", f"tanh with {x} on") for x in ("Adam", "RMSProp")}
    tiny = theory.adam_update_size(math.log(1e-10))
    return Failure(
        "Adam, RMSProp against vanishing gradients",
        "rescale the sum over time, not the share of early steps in it; and below Adam's ε = 1e-8 "
        f"not that either: a gradient of 1e-10 moves a weight by {tiny:.2g} of the rate",
        "best loss over that without memory: "
        + ", ".join(f"{name} {value:.2f}" for name, value in left.items()),
        f"{_CLAIMS} C26; `vj.theory.adam_update_size`",
        tiny < 0.5 and min(left.values()) > 0.5,
    )


def _layer_norm(e: Evidence) -> Failure:
    weak, strong = (
        e.finding("C1", f"{kind} inputs (variance {x})")
        for kind, x in (("weak", 0.01), ("strong", 1))
    )
    solved = e.solved("tanh+layernorm")
    return Failure(
        "Layer normalization where the input is strong",
        f"rate gained: {rate(strong)} at input variance 1, {rate(weak)} at 0.01",
        f"`tanh+layernorm` {solved}",
        f"{_CLAIMS} C1; {_TABLE}",
        strong < 0 < weak and solved.good == 0,
    )


def _batch_norm(e: Evidence) -> Failure:
    weak, strong = (e.finding("C24", f"input variance {x}") for x in ("0.01", "1"))
    solved = e.solved("tanh+batchnorm")
    return Failure(
        "Batch normalization where the input is weak",
        f"rate gained: {rate(weak)} at input variance 0.01, {rate(strong)} at 1",
        f"`tanh+batchnorm` {solved}",
        f"{_CLAIMS} C24; {_TABLE}",
        weak < 0 < strong and solved.good == 0,
    )


def _he(e: Evidence) -> Failure:
    weak, strong = (e.finding("C20", f"He with tanh, input variance {x}") for x in ("0.1", "1"))
    return Failure(
        "He initialization for tanh",
        f"{rate(strong)} at input variance 1, {rate(weak)} at 0.1",
        f"`tanh+he` {e.solved('tanh+he')}",
        f"{_CLAIMS} C20; {_TABLE}",
        strong < -0.1 and e.solved("tanh+he").good == 0,
    )


def _orthogonal(e: Evidence) -> Failure:
    share = e.solved("tanh+orthogonal")
    return Failure(
        "Orthogonal weights alone, for tanh",
        f"{power(e.decades('tanh+orthogonal'))} over the sequence; plain "
        f"{power(e.decades('tanh'))}",
        f"`tanh+orthogonal` {share}, `tanh` {e.solved('tanh')}",
        _TABLE,
        share.good <= e.solved("tanh").good,
    )


def _batch_and_layers(e: Evidence) -> Failure:
    recipes = [f"tanh+layers=3+{norm}" for norm in ("layernorm", "batchnorm")]
    shares = {recipe: e.solved(recipe) for recipe in recipes}
    return Failure(
        "Normalizing a stack of plain layers",
        "; ".join(f"`{recipe}` {power(e.decades(recipe))}" for recipe in recipes)
        + f"; uncured {power(e.decades('tanh+layers=3'))}",
        ", ".join(f"`{recipe}` {share}" for recipe, share in shares.items()),
        _TABLE,
        all(share.good == 0 for share in shares.values()),
    )


FAILURES: tuple[Callable[[Evidence], Failure], ...] = (
    _clipping, _adam, _layer_norm, _batch_norm, _he, _orthogonal, _batch_and_layers,
)  # fmt: skip
