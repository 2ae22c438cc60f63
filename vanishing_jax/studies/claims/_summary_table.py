"""C27-C30 and C34: the rows of the article's summary table, and what cannot be tested."""

import math
from typing import Any

import numpy as np

from . import _rates as rates
from ._claim import claim
from ._figure import Figure, points
from ._finding import over_seeds
from ._networks import PRESERVED, Net, Settings, measured, rate

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
    remedies = {
        "ReLU": Net("relu"),
        "LSTM (forget bias 1)": Net("lstm", bias=1.0),
        "GRU": Net("gru"),
        "layer normalization": Net(norm="layer"),
        "ReLU with layer normalization": Net("relu", norm="layer"),
    }
    sigmoid = {"the effect in sigmoid": Net("sigmoid")}
    return [
        *rates.findings(settings, {"the effect in tanh": Net()}, below=0.0),
        *rates.findings(settings, sigmoid, below=0.0, prediction=None),
        *(
            rates.change(settings, name, Net(), net, _GAINED, above=0.0, prediction=None)
            for name, net in remedies.items()
        ),
    ]


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
    logs = measured(settings, Net()).log_norm[:, ::-1]
    first, steps = 10, settings.steps // 3
    gone = logs - logs[:, first : first + 1]
    ratio = gone[:, first + 2 * steps] / gone[:, first + steps]
    findings = [
        over_seeds("longer chains", "log of the gradient, twice the steps over once", ratio,
                   above=1.9, below=2.1, prediction=2.0),
        rates.change(settings, "skip connections through time", Net(), Net(leak=0.1), _GAINED,
                     above=0.0),
    ]  # fmt: skip
    curve = points("tanh, gain 1", range(logs.shape[1]), np.mean(logs, 0) / math.log(10))
    title = "Gradient over the number of steps"
    return findings, Figure(title, "steps back in time", "log10 of the gradient", (curve,))


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
    good = {
        "Glorot in tanh": Net(),
        "the identity in ReLU": Net("relu", weights="identity", noise=1e-4),
        "layer normalization with orthogonal weights": Net(norm="layer", weights="orthogonal"),
    }
    findings = [
        rates.change(settings, "the effect of small weights", Net(), Net(gain=0.1),
                     "rate lost [nats per step]", below=0.0)
    ]  # fmt: skip
    return findings + rates.findings(settings, good, above=PRESERVED)


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
    low, high = Net(gain=0.5, noise=0.1), Net(gain=3.0, noise=0.1)
    remedies = {"leaky units": {"leak": 0.1}, "layer normalization": {"norm": "layer"}}
    return [
        *rates.findings(settings, {"vanishing at gain 0.5": low}, below=0.0),
        *rates.findings(settings, {"explosion at gain 3": high}, above=0.0),
        *(over_seeds(f"{name} at gain {net.gain:g}", "change of |rate| [nats per step]",
                     np.abs(rate(settings, net._replace(**remedy))) - np.abs(rate(settings, net)),
                     below=0.0)
          for name, remedy in remedies.items()
          for net in (low, high)),
    ]  # fmt: skip


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
