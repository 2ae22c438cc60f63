"""C12, C13, C17, C26, C31-C33: what only training can tell."""

from typing import Any

import numpy as np

from ._claim import claim
from ._intervals import all_seeds, over_seeds
from ._networks import PRESERVED, RATE, Net, Settings, rate
from ._result import Curve, Figure
from ._training import SOLVED, sizes, trained, training_findings

_SIZES = "Adding task, Adam unless said otherwise; small networks and few updates."
_NEEDED = "updates needed, without over with [decades]"


def _figure(settings: Settings, title: str, recipes: tuple[tuple[str, str], ...]) -> Figure:
    """Return learning curves of (recipe, length)."""
    curves = tuple(
        Curve(f"{recipe}, T = {getattr(sizes(settings), length)}",
              *trained(settings, recipe, length).curve)
        for recipe, length in recipes
    )  # fmt: skip
    return Figure(title, "updates", "loss over the memoryless baseline", curves, 1.0)


@claim(
    "C12",
    "Vanishing gradients make networks fail to learn long-term patterns.",
    where="effects of the vanishing gradient in practice",
    rule="A tanh network learns the short adding task in every seed (loss below half of the "
    "memoryless baseline) and the long one in none.",
    note=_SIZES,
)
def long_term_patterns(settings: Settings) -> Any:
    """Train a tanh network on short and on long sequences."""
    findings = training_findings(settings, "short", {"tanh": "tanh"}, below=0.5)
    findings += training_findings(settings, "long", {"tanh": "tanh"}, above=0.5)
    recipes = (("tanh", "short"), ("tanh", "long"))
    return findings, _figure(settings, "Learning curves, short and long", recipes)


@claim(
    "C13",
    "Training is slow or halts: the loss stagnates and the model does not converge.",
    where="effects of the vanishing gradient in practice",
    rule="On long sequences the last loss of a tanh network is within 20 % of the loss of a model "
    "without memory, in every seed.",
    note=_SIZES,
)
def stagnation(settings: Settings) -> Any:
    """Look at where the loss stays."""
    found = trained(settings, "tanh", "long")
    finding = all_seeds(f"tanh on {sizes(settings).long} steps", "last loss over the baseline",
                        found.last, above=0.8, below=1.2, prediction=1.0)  # fmt: skip
    recipes = (("tanh", "long"), ("gru", "long"))
    return [finding], _figure(settings, "Learning curves on the long task", recipes)


@claim(
    "C17",
    "ReLU with identity initialization preserves gradients in some cases, but limitedly so.",
    where="without normalization: ReLU and identity initialization",
    rule="It keeps a thousandth of the gradient over 50 steps at initialization (rate above "
    "−0.138), learns the long task in every seed (loss below half of the baseline), and does not "
    "at ten times the learning rate.",
    note=_SIZES,
)
def identity_relu(settings: Settings) -> Any:
    """Measure the initial rate, and train at two learning rates."""
    identity = Net("relu", weights="identity", noise=1e-4)
    findings = [over_seeds("ReLU with the identity at initialization", RATE,
                           rate(settings, identity), above=PRESERVED)]  # fmt: skip
    slow, fast = "irnn+clip", "irnn+clip+lr=0.03"
    findings += training_findings(settings, "long", {slow: "IRNN"}, below=0.5)
    findings += training_findings(
        settings, "long", {fast: "the limit: IRNN at learning rate 0.03"}, above=0.5
    )
    return findings, _figure(
        settings, "Learning curves of the IRNN", ((slow, "long"), (fast, "long"))
    )


@claim(
    "C26",
    "Adaptive optimizers adjust the rate of each parameter and mitigate vanishing, though they do "
    "not solve it.",
    where="MHTECHIN and practical solutions",
    rule="A layer-normalized GRU needs fewer updates of Adam than of SGD for the long task, and a "
    "tanh network fails on it with Adam and with RMSProp (loss above half of the baseline).",
    note=_SIZES,
)
def adaptive_optimizers(settings: Settings) -> Any:
    """Train with and without adaptive rates."""
    pair = "gru+layernorm", "gru+layernorm+sgd"
    adam, sgd = (trained(settings, recipe, "long") for recipe in pair)
    gained = np.log10(sgd.updates / adam.updates)
    findings = [over_seeds("a layer-normalized GRU", _NEEDED, gained, above=0.0)]
    findings += training_findings(
        settings, "long", {"tanh": "tanh with Adam", "tanh+rmsprop": "tanh with RMSProp"}, above=0.5
    )
    recipes = tuple((recipe, "long") for recipe in (*pair, "tanh", "tanh+rmsprop"))
    return findings, _figure(settings, "Learning curves of four optimizers and cells", recipes)


@claim(
    "C31",
    "Normalization, layer normalization that is, is generally required for robust training.",
    where="concluding insights",
    rule="LSTM and GRU without normalization fail on the long task (loss above half of the "
    "baseline), and layer normalization makes a tanh network learn it (below half).",
    note=_SIZES + " Of stacks of many layers nothing is said here.",
)
def normalization_required(settings: Settings) -> Any:
    """Train gated cells without, and a tanh network with, layer normalization."""
    findings = training_findings(
        settings, "long", {"lstm": "LSTM without normalization", "gru": "GRU without it"}, above=0.5
    )
    findings += training_findings(
        settings, "long", {"tanh+layernorm": "tanh with layer normalization"}, below=0.5
    )
    recipes = (("lstm", "long"), ("gru", "long"), ("tanh+layernorm", "long"))
    return findings, _figure(settings, "Learning curves, with and without normalization", recipes)


@claim(
    "C32",
    "LSTM, GRU and identity networks offer partial relief.",
    where="concluding insights",
    rule="Each learns the long task (loss below half of the baseline in every seed), and each "
    "still loses gradients at initialization (rate below 0), so that the relief is partial.",
    note=_SIZES,
)
def partial_relief(settings: Settings) -> Any:
    """Train the three, and measure their initial rates under input of variance 0.1."""
    names = {"lstm": "LSTM", "gru": "GRU", "irnn+clip": "IRNN"}
    findings = training_findings(settings, "long", names, below=0.5)
    nets = {
        "LSTM (forget bias 1)": Net("lstm", bias=1.0, noise=0.1),
        "GRU": Net("gru", noise=0.1),
    }
    findings += [
        over_seeds(f"what {name} still loses", RATE, rate(settings, net), below=0.0)
        for name, net in nets.items()
    ]
    recipes = tuple((name, "long") for name in (*names, "tanh"))
    return findings, _figure(settings, "Learning curves of four architectures", recipes)


@claim(
    "C33",
    "Architecture, activation, normalization and adaptive optimization are all critical.",
    where="concluding insights",
    rule="Taken away one at a time from a layer-normalized GRU under Adam, each makes the long "
    "task take more updates.",
    note=_SIZES + " Seeds that do not solve the task count with all their updates; a loss below "
    f"{SOLVED:g} of the baseline is a solution. A GRU's activation is not exchanged.",
)
def holistic(settings: Settings) -> Any:
    """Take one ingredient away at a time."""
    full = trained(settings, "gru+layernorm", "long")
    without = {
        "the architecture (tanh instead of GRU)": "tanh+layernorm",
        "normalization": "gru",
        "the adaptive optimizer (SGD)": "gru+layernorm+sgd",
    }
    findings = [
        over_seeds(name, _NEEDED,
                   np.log10(trained(settings, recipe, "long").updates / full.updates), above=0.0)
        for name, recipe in without.items()
    ]  # fmt: skip
    recipes = tuple((recipe, "long") for recipe in ("gru+layernorm", *without.values()))
    return findings, _figure(settings, "Learning curves, one ingredient away", recipes)
