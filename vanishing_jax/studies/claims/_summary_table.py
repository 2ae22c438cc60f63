"""C27-C30 and C34: the rows of the article's summary table, and what cannot be tested."""

import math
from typing import Any

import numpy as np

from ... import theory
from ._claim import claim
from ._curves import points
from ._intervals import over_seeds
from ._networks import PRESERVED, RATE, Net, Settings, measured, rate
from ._result import Figure
from ._what_vanishes import layer_norm_rate, tanh_exponent

_TABLE = "summary table"
_GAINED = "rate gained over tanh [nats per step]"


@claim(
    "C27",
    "Sigmoid and tanh make gradients decay exponentially; ReLU, LSTM, GRU or layer normalization "
    "mitigate it.",
    where=f"{_TABLE}, row 1",
    rule="At gain 1 and input variance 1 both rates are below 0, and each remedy's is above that "
    "of tanh.",
)
def activations(settings: Settings) -> Any:
    """Measure all remedies of the row on the same inputs."""
    plain = rate(settings, Net())
    findings = [
        over_seeds("the effect in tanh", RATE, plain, below=0.0, prediction=tanh_exponent(1, 1)),
        over_seeds("the effect in sigmoid", RATE, rate(settings, Net("sigmoid")), below=0.0),
    ]
    remedies = {
        "ReLU": Net("relu"),
        "LSTM (forget bias 1)": Net("lstm", bias=1.0),
        "GRU": Net("gru"),
        "layer normalization": Net(norm="layer"),
        "ReLU with layer normalization": Net("relu", norm="layer"),
    }
    return [
        *findings,
        *(over_seeds(name, _GAINED, rate(settings, net) - plain, above=0.0)
          for name, net in remedies.items()),
    ]  # fmt: skip


@claim(
    "C28",
    "Deep networks are longer chains of multiplication; shorter sequences and skip connections "
    "mitigate it.",
    where=f"{_TABLE}, row 2",
    rule="The log of the gradient is proportional to the number of steps (twice the steps, twice "
    "the log, to 5 %), and leaky units (rate 0.1) raise the rate.",
    note="A shorter sequence is another task.",
)
def longer_chains(settings: Settings) -> Any:
    """Look at how the loss of gradient grows with the steps, and at a skip through time."""
    net = Net()
    logs = measured(settings, net).log_norm[:, ::-1]
    first, steps = 10, settings.steps // 3
    gone = logs - logs[:, first : first + 1]
    ratio = gone[:, first + 2 * steps] / gone[:, first + steps]
    leaky = rate(settings, Net(leak=0.1))
    findings = [
        over_seeds("longer chains", "log of the gradient, twice the steps over once", ratio,
                   above=1.9, below=2.1, prediction=2.0),
        over_seeds("skip connections through time", _GAINED, leaky - rate(settings, net),
                   above=0.0,
                   prediction=_leaky_law(0.1, 1.0, 1.0) - tanh_exponent(1, 1)),
    ]  # fmt: skip
    curve = points("tanh, gain 1", range(logs.shape[1]), np.mean(logs, 0) / math.log(10))
    title = "Gradient over the number of steps"
    return findings, Figure(title, "steps back in time", "log10 of the gradient", (curve,))


def _leaky_law(leak: float, gain: float, noise: float) -> float:
    law = theory.leaky_mean_field(rate=leak, gain=gain, input_variance=noise)
    return float(law.exponent)


@claim(
    "C29",
    "Poor initial weights make gradients saturate or die early; He, Glorot or identity "
    "initialization mitigate it, with normalization or without.",
    where=f"{_TABLE}, row 3",
    rule="Weights of a tenth of Glorot's size lose more than Glorot's; Glorot in tanh, the "
    "identity in ReLU, and layer normalization with orthogonal weights keep a thousandth of the "
    "gradient over 50 steps (rate above −0.138).",
)
def initial_weights(settings: Settings) -> Any:
    """Measure poor and good initial weights under input of variance 1."""
    glorot, small = rate(settings, Net()), rate(settings, Net(gain=0.1))
    normed = rate(settings, Net(norm="layer", weights="orthogonal"))
    identity = rate(settings, Net("relu", weights="identity", noise=1e-4))
    return [
        over_seeds("the effect of small weights", "rate lost [nats per step]", small - glorot,
                   below=0.0, prediction=tanh_exponent(0.1, 1) - tanh_exponent(1, 1)),
        over_seeds("Glorot in tanh", RATE, glorot, above=PRESERVED,
                   prediction=tanh_exponent(1, 1)),
        over_seeds("the identity in ReLU", RATE, identity, above=PRESERVED),
        over_seeds("layer normalization with orthogonal weights", RATE, normed,
                   above=PRESERVED, prediction=layer_norm_rate(1.0)),
    ]  # fmt: skip


@claim(
    "C30",
    "Without control gradients vanish or explode; clipping, skip connections or normalization "
    "mitigate both.",
    where=f"{_TABLE}, row 4",
    rule="Networks that lose gradients at gain 0.5 and blow them up at gain 3 are both brought "
    "nearer to rate 0 by leaky units (rate 0.1), and by layer normalization.",
    note="Input variance 0.1. Clipping is the subject of C18 and C19.",
)
def gradient_control(settings: Settings) -> Any:
    """Apply the two remedies to a vanishing and to an exploding network."""
    findings = [
        over_seeds("vanishing at gain 0.5", RATE, rate(settings, Net(gain=0.5, noise=0.1)),
                   below=0.0, prediction=tanh_exponent(0.5, 0.1)),
        over_seeds("explosion at gain 3", RATE, rate(settings, Net(gain=3, noise=0.1)), above=0.0,
                   prediction=tanh_exponent(3, 0.1)),
    ]  # fmt: skip
    for name, net in (
        ("leaky units", Net(noise=0.1, leak=0.1)),
        ("layer normalization", Net(noise=0.1, norm="layer")),
    ):
        for gain in (0.5, 3.0):
            plain = np.abs(rate(settings, Net(gain=gain, noise=0.1)))
            remedied = np.abs(rate(settings, net._replace(gain=gain)))
            findings.append(
                over_seeds(f"{name} at gain {gain:g}", "change of |rate| [nats per step]",
                           remedied - plain, below=0.0)
            )  # fmt: skip
    return findings


@claim(
    "C34",
    "A company's experience with optimizers and fine-tuning shows in stable, scalable training.",
    where="MHTECHIN and practical solutions",
    rule="None.",
    note="The article documents no method, data or number that could be measured.",
)
def company(settings: Settings) -> Any:
    """Return no finding: there is nothing to measure."""
    return []
