"""C12, C13, C17, C26, C31-C33: what only training can tell."""

from typing import Any

import numpy as np

from . import _rates as rates
from ._claim import claim
from ._finding import Finding, all_seeds, over_seeds
from ._networks import PRESERVED, Net, Settings
from ._training import SOLVED, fails, learning_curves, learns, sizes, trained

_SIZES = "Adding task, Adam unless said otherwise; small networks and few updates."


def _slowed(settings: Settings, case: str, full: str, without: str) -> Finding:
    """Return the finding that a recipe needs more updates for the long task than another one."""
    updates = trained(settings, without, "long").updates / trained(settings, full, "long").updates
    quantity = "updates needed, without over with [decades]"
    return over_seeds(case, quantity, np.log10(updates), above=0.0)


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
    tanh = {"tanh": "tanh"}
    findings = [*learns(settings, tanh, "short"), *fails(settings, tanh)]
    figure = learning_curves(settings, "Learning curves, short and long", tanh, ("short", "long"))
    return findings, figure


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
    title = "Learning curves on the long task"
    return [finding], learning_curves(settings, title, ("tanh", "gru"))


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
    nets = {"ReLU with the identity at initialization": identity}
    slow, fast = "irnn+clip", "irnn+clip+lr=0.03"
    findings = [
        *rates.findings(settings, nets, above=PRESERVED),
        *learns(settings, {slow: "IRNN"}),
        *fails(settings, {fast: "the limit: IRNN at learning rate 0.03"}),
    ]
    return findings, learning_curves(settings, "Learning curves of the IRNN", (slow, fast))


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
    adam, sgd = "gru+layernorm", "gru+layernorm+sgd"
    tanh = {"tanh": "tanh with Adam", "tanh+rmsprop": "tanh with RMSProp"}
    findings = [_slowed(settings, "a layer-normalized GRU", adam, sgd), *fails(settings, tanh)]
    title = "Learning curves of four optimizers and cells"
    return findings, learning_curves(settings, title, (adam, sgd, *tanh))


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
    gated = {"lstm": "LSTM without normalization", "gru": "GRU without it"}
    normed = {"tanh+layernorm": "tanh with layer normalization"}
    findings = [*fails(settings, gated), *learns(settings, normed)]
    title = "Learning curves, with and without normalization"
    return findings, learning_curves(settings, title, (*gated, *normed))


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
    nets = {
        "what LSTM (forget bias 1) still loses": Net("lstm", bias=1.0, noise=0.1),
        "what GRU still loses": Net("gru", noise=0.1),
    }
    findings = [*learns(settings, names), *rates.findings(settings, nets, below=0.0)]
    title = "Learning curves of four architectures"
    return findings, learning_curves(settings, title, (*names, "tanh"))


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
    full = "gru+layernorm"
    without = {
        "the architecture (tanh instead of GRU)": "tanh+layernorm",
        "normalization": "gru",
        "the adaptive optimizer (SGD)": "gru+layernorm+sgd",
    }
    findings = [_slowed(settings, name, full, recipe) for name, recipe in without.items()]
    title = "Learning curves, one ingredient away"
    return findings, learning_curves(settings, title, (full, *without.values()))
