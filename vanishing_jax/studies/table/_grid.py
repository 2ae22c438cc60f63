"""What is in the table of causes and mitigations: to add a row, add an entry to `CAUSES`."""

from typing import NamedTuple

from ...comparison.recipes import parse


class Entry(NamedTuple):
    """A network of the table: a recipe, and how long its sequences are.

    - `recipe`: as `vj.recipes.parse` reads it.
    - `stretch`: the length of its sequences as a multiple of the table's.
    """

    recipe: str
    stretch: float = 1.0


class Context(NamedTuple):
    """A network that has the cause and no remedy, and those with one.

    - `baseline`: what the cause does to it is measured.
    - `unnormalized`, `normalized`: the mitigations in the two columns; a string is an `Entry` of
      the table's own length.
    """

    baseline: Entry | str
    unnormalized: tuple[Entry | str, ...]
    normalized: tuple[Entry | str, ...]


class Cause(NamedTuple):
    """A row of the table: what it claims, in its own words, and the networks to test that on.

    - `name`, `effect`, `unnormalized`, `normalized`: the claim.
    - `rule`: the measured statement that the effect is, a key of `EFFECTS`.
    - `contexts`: networks.
    - `reference`: the network that an effect is relative to, where the rule needs one.
    """

    name: str
    effect: str
    unnormalized: str
    normalized: str
    rule: str
    contexts: tuple[Context, ...]
    reference: Entry | str | None = None


EFFECTS = {
    "decay": "the exponent is below 0",
    "longer chain": "more decades are lost or gained than by each seed of the reference",
    "saturate or die": (
        "more than half of the activations are saturated, or more than 3 decades are lost"
    ),
    "uncontrolled": "more than 3 decades are lost or gained",
}
"""What an effect has to be in every seed to be confirmed; refuted if it is so in none."""

_ACTIVATIONS = ("relu", "lstm", "gru")
_INITIALIZATIONS = ("tanh+glorot", "irnn", "tanh+he", "tanh+orthogonal")
_GOOD_AND_NORMALIZED = (
    "tanh+glorot+layernorm", "irnn+layernorm", "tanh+orthogonal+layernorm",
    "tanh+orthogonal+batchnorm",
)  # fmt: skip
_DEEP, _SHORT = "tanh+layers=3", 0.5


def _uncontrolled(baseline: str) -> Context:
    """Return a network without gradient control, and what would be some."""
    unnormalized = ("clip", "leaky", "clip-value")
    return Context(
        baseline,
        tuple(f"{baseline}+{part}" for part in unnormalized),
        tuple(f"{baseline}+{part}" for part in ("layernorm", "batchnorm")),
    )


CAUSES: tuple[Cause, ...] = (
    Cause(
        "Sigmoid/Tanh Activation", "Exponential decay of gradients",
        "Switch to ReLU/LSTM/GRU", "Layer/Batch Norm, ReLU", "decay",
        tuple(
            Context(
                start, _ACTIVATIONS,
                (f"{start}+layernorm", f"{start}+batchnorm", "relu+layernorm", "relu+batchnorm"),
            )
            for start in ("tanh", "sigmoid")
        ),
    ),
    Cause(
        "Deep Architecture", "Longer chains of multiplication",
        "Shallow nets, Shorter sequences", "Layer/Batch Norm, Skip Conns", "longer chain",
        (
            Context(
                _DEEP, ("tanh", Entry(_DEEP, _SHORT), Entry("tanh", _SHORT)),
                (f"{_DEEP}+layernorm", "tanh+skip-layers=3",
                 f"{_DEEP}+batchnorm", f"{_DEEP}+leaky"),
            ),
        ),
        reference=Entry("tanh", _SHORT),
    ),
    Cause(
        "Poor Weight Init", "Gradients saturate/die early",
        "He/Glorot init, Identity RNN", "Normalization + Good Init", "saturate or die",
        (
            Context("tanh+small", _INITIALIZATIONS, _GOOD_AND_NORMALIZED),
            Context("tanh+large", _INITIALIZATIONS, _GOOD_AND_NORMALIZED),
        ),
    ),
    Cause(
        "No Gradient Control", "Unchecked vanishing/exploding",
        "Gradient Clipping/Skip Connections", "Normalization", "uncontrolled",
        (_uncontrolled("relu+orthogonal=2"), _uncontrolled("tanh+orthogonal=2")),
    ),
)  # fmt: skip
"""The summary table of the article that this package grew from, word for word, and its tests."""


class Row(NamedTuple):
    """One network in one place of the table."""

    cause: Cause
    context: str  # label of the baseline network
    role: str  # "baseline", "unnormalized", "normalized"
    recipe: str
    length: int
    start: tuple[str, int]  # recipe and length of the baseline network


def label(recipe: str, length: int, usual: int) -> str:
    """Return what a network is called in the table."""
    return recipe if length == usual else f"{recipe}, T = {length}"


def rows_of(causes: tuple[Cause, ...], length: int) -> list[Row]:
    """Return all rows, the baseline network of each context first."""
    rows = []
    for cause in causes:
        if cause.rule not in EFFECTS:
            raise ValueError(
                f"expected the rule of {cause.name!r} out of {', '.join(map(repr, EFFECTS))}; got "
                f"{cause.rule!r}."
            )
        for context in cause.contexts:
            start = placed(context.baseline, length)
            name = label(*start, length)
            for role in ("baseline", "unnormalized", "normalized"):
                entries = [context.baseline] if role == "baseline" else getattr(context, role)
                rows += [Row(cause, name, role, *placed(one, length), start) for one in entries]
    return rows


def placed(entry: Entry | str, length: int) -> tuple[str, int]:
    """Return the name of the recipe and the length of its sequences."""
    entry = Entry(entry) if isinstance(entry, str) else entry
    return parse(entry.recipe).name, max(1, round(entry.stretch * length))


def shortened(causes: tuple[Cause, ...], mitigations: int = 2) -> tuple[Cause, ...]:
    """Return the causes with their first context each, and its first mitigations of either kind."""
    firsts = [cause.contexts[0] for cause in causes]
    return tuple(
        cause._replace(
            contexts=(
                first._replace(
                    unnormalized=first.unnormalized[:mitigations],
                    normalized=first.normalized[:mitigations],
                ),
            )
        )
        for cause, first in zip(causes, firsts, strict=True)
    )
