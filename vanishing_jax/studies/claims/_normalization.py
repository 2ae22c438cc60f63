"""C21-C25: layer and batch normalization."""

import math
from typing import Any

import numpy as np

from ... import theory
from . import _rates as rates
from ._claim import claim
from ._figure import law
from ._finding import over_seeds
from ._networks import Net, Settings, measured
from ._training import drifted, learns


@claim(
    "C21",
    "Layer normalization is especially suited for recurrent networks: it stabilizes gradients.",
    where="with normalization: layer normalization",
    rule="The rate does not depend on the size of the weights (gain 1 or 3, to 0.01), and stays "
    "within 0.05 of 0 for weak and strong inputs.",
)
def layer_normalization(settings: Settings) -> Any:
    """Scale the weights, and change the inputs, of layer-normalized networks."""
    separate = Net(norm="layer-separate")
    findings = [
        rates.change(settings, "weights three times as large (separate placement)",
                     separate, separate._replace(gain=3.0), rates.CHANGE, above=-0.01, below=0.01,
                     prediction=0.0)
    ]  # fmt: skip
    joint = {
        f"joint placement, input variance {v:g}": Net(noise=v, norm="layer") for v in (0.1, 1.0)
    }
    findings += rates.findings(settings, joint, above=-0.05, below=0.05)
    curves = (
        law("separate placement, theory", np.linspace(0.1, 3, 20),
            lambda g: theory.layer_norm_exponent(placement="separate", gain=g)),
        rates.curve(settings, "separate placement, measured", separate, norm_gain=(0.5, 1.0, 2.0)),
    )  # fmt: skip
    title = "Rate over the gain of layer normalization"
    return findings, rates.figure(title, "gain of the normalization", *curves)


@claim(
    "C22",
    "Layer normalization reduces internal covariate shift.",
    where="with normalization: layer normalization",
    rule="Over the first updates of training, the means of the states, in units of their standard "
    "deviations, shift less with layer normalization than without.",
    note="Whether the shift has anything to do with learning is another question, which Santurkar "
    "et al. (2018) answer with no.",
)
def covariate_shift(settings: Settings) -> Any:
    """Compare how far the distribution of states moves in training."""
    plain, normed = (drifted(settings, one)["shift"] for one in ("tanh", "tanh+layernorm"))
    return [
        over_seeds("tanh networks learning the adding task",
                   "shift with normalization over that without [decades]",
                   np.log10(normed) - np.log10(plain), below=0.0)
    ]  # fmt: skip


@claim(
    "C23",
    "Batch normalization is applicable to recurrent networks in some variants.",
    where="with normalization: batch normalization",
    rule="A tanh network with recurrent batch normalization (gain 0.1, statistics per time step) "
    "learns the short adding task: a loss below half of the memoryless baseline in every seed.",
)
def batch_normalization_applies(settings: Settings) -> Any:
    """Train a recurrent network with batch normalization on a short task."""
    return learns(settings, {"tanh+batchnorm": "recurrent batch normalization"}, "short")


@claim(
    "C24",
    "Batch normalization improves the flow of gradients.",
    where="with normalization: batch normalization",
    rule="Recurrent batch normalization (gain 0.1) raises the rate of a tanh network, for weak "
    "and for strong inputs.",
)
def batch_normalization_flow(settings: Settings) -> Any:
    """Compare rates with and without recurrent batch normalization."""
    normed = Net(norm="batch", norm_gain=0.1)
    findings = [
        rates.change(settings, f"input variance {v:g}", Net(noise=v), normed._replace(noise=v),
                     above=0.0)
        for v in (1.0, 0.01)
    ]  # fmt: skip
    curves = (
        rates.law("any inputs, theory", normed, norm_gain=np.geomspace(0.05, 3, 20)),
        rates.curve(settings, "input variance 1, measured", normed, norm_gain=(0.1, 1.0)),
    )
    title = "Rate over the gain of batch normalization"
    return findings, rates.figure(title, "gain of the normalization", *curves)


@claim(
    "C25",
    "Activations shift to where derivatives are small; normalization keeps derivatives, and so "
    "gradients, healthy for longer.",
    where="why are normalization techniques so effective",
    rule="Derivatives of a tanh network shrink over the first updates of training; layer "
    "normalization makes them larger at input variance 1, and the rate, too.",
)
def healthy_derivatives(settings: Settings) -> Any:
    """Follow derivatives through training, and compare them with normalization and without."""
    change = drifted(settings, "tanh")["derivative"]
    plain, normed = Net(), Net(norm="layer")
    q = float(theory.mean_field_variance(activation="tanh", gain=1.0, input_variance=1.0))
    gain = _squared_slopes(settings, normed) - _squared_slopes(settings, plain)
    return [
        over_seeds("the derivative in training", "change of the mean of tanh'", change, below=0.0),
        over_seeds("the derivative under layer normalization", "gain in the mean of tanh'^2",
                   gain, above=0.0, prediction=_average(1.0) - _average(q)),
        rates.change(settings, "the gradient under layer normalization", plain, normed,
                     above=0.0),
    ]  # fmt: skip


def _squared_slopes(settings: Settings, net: Net) -> np.ndarray:
    states = measured(settings, net).settled
    return np.mean(np.square(1 - np.square(states)), axis=(1, 2))


def _average(q: float) -> float:
    """Return <tanh'^2> by Gauss-Hermite quadrature."""
    z, weight = np.polynomial.hermite_e.hermegauss(80)
    return float(weight @ (1 - np.tanh(math.sqrt(q) * z) ** 2) ** 2 / math.sqrt(2 * math.pi))
