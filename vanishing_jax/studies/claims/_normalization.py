"""C21-C25: layer and batch normalization."""

import math
from typing import Any

import numpy as np

from ... import theory
from ._claim import claim
from ._curves import law, means
from ._intervals import over_seeds
from ._networks import RATE, Net, Settings, measured, rate
from ._result import Figure
from ._training import drifted, training_findings
from ._what_vanishes import layer_norm_rate, tanh_exponent


@claim(
    "C21",
    "Layer normalization is especially suited for recurrent networks: it stabilizes gradients.",
    where="with normalization: layer normalization",
    rule="The rate does not depend on the size of the weights (gain 1 or 3, to 0.01), and stays "
    "within 0.05 of 0 for weak and strong inputs.",
)
def layer_normalization(settings: Settings) -> Any:
    """Scale the weights, and change the inputs, of layer-normalized networks."""
    scaled = [rate(settings, Net(gain=g, norm="layer-separate")) for g in (1.0, 3.0)]
    findings = [
        over_seeds("weights three times as large (separate placement)",
                   "change of rate [nats per step]", scaled[1] - scaled[0], above=-0.01,
                   below=0.01, prediction=0.0)
    ]  # fmt: skip
    noises = (0.01, 0.1, 0.3, 1.0)
    rates = {v: rate(settings, Net(noise=v, norm="layer")) for v in noises}
    findings += [
        over_seeds(f"joint placement, input variance {v:g}", RATE, rates[v], above=-0.05,
                   below=0.05, prediction=layer_norm_rate(v))
        for v in (0.1, 1.0)
    ]  # fmt: skip
    net = Net(norm="layer-separate")
    found = {g: rate(settings, net._replace(norm_gain=g)) for g in (0.5, 1.0, 2.0)}
    curves = (
        law("separate placement, theory", np.linspace(0.1, 3, 20),
            lambda g: layer_norm_rate(0.0, placement="separate", gain=g)),
        means("separate placement, measured", found),
    )  # fmt: skip
    title = "Rate over the gain of layer normalization"
    return findings, Figure(title, "gain of the normalization", RATE, curves, 0.0)


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
    shifts = {recipe: drifted(settings, recipe)["shift"] for recipe in ("tanh", "tanh+layernorm")}
    change = np.log10(shifts["tanh+layernorm"]) - np.log10(shifts["tanh"])
    return [
        over_seeds("tanh networks learning the adding task",
                   "shift with normalization over that without [decades]", change, below=0.0)
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
    return training_findings(
        settings, "short", {"tanh+batchnorm": "recurrent batch normalization"}, below=0.5
    )


@claim(
    "C24",
    "Batch normalization improves the flow of gradients.",
    where="with normalization: batch normalization",
    rule="Recurrent batch normalization (gain 0.1) raises the rate of a tanh network, for weak "
    "and for strong inputs.",
)
def batch_normalization_flow(settings: Settings) -> Any:
    """Compare rates with and without recurrent batch normalization."""
    findings = []
    for v in (1.0, 0.01):
        net = Net(noise=v, norm="batch", norm_gain=0.1)
        predicted = _batch_law(0.1) - tanh_exponent(1, v)
        findings.append(
            over_seeds(f"input variance {v:g}", "rate gained [nats per step]",
                       rate(settings, net) - rate(settings, Net(noise=v)), above=0.0,
                       prediction=predicted)
        )  # fmt: skip
    rates = {g: rate(settings, Net(norm="batch", norm_gain=g)) for g in (0.1, 1.0)}
    curves = (
        law("any inputs, theory", np.geomspace(0.05, 3, 20), _batch_law),
        means("input variance 1, measured", rates),
    )
    title = "Rate over the gain of batch normalization"
    return findings, Figure(title, "gain of the normalization", RATE, curves, 0.0)


def _batch_law(gain: float) -> float:
    return float(theory.batch_norm_exponent(gain=gain))


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
    slopes = {norm: _squared_slopes(settings, Net(norm=norm)) for norm in ("", "layer")}
    q = float(theory.mean_field_variance(activation="tanh", gain=1.0, input_variance=1.0))
    predicted = _average(1.0) - _average(q)
    rates = {norm: rate(settings, Net(norm=norm)) for norm in ("", "layer")}
    return [
        over_seeds("the derivative in training", "change of the mean of tanh'", change, below=0.0),
        over_seeds("the derivative under layer normalization", "gain in the mean of tanh'^2",
                   slopes["layer"] - slopes[""], above=0.0, prediction=predicted),
        over_seeds("the gradient under layer normalization",
                   "rate gained [nats per step]", rates["layer"] - rates[""], above=0.0,
                   prediction=layer_norm_rate(1.0) - tanh_exponent(1, 1)),
    ]  # fmt: skip


def _squared_slopes(settings: Settings, net: Net) -> np.ndarray:
    states = measured(settings, net).states[:, settings.steps // 4 :]
    return np.mean(np.square(1 - np.square(states)), axis=(1, 2))


def _average(q: float) -> float:
    """Return <tanh'^2> by Gauss-Hermite quadrature."""
    z, weight = np.polynomial.hermite_e.hermegauss(80)
    return float(weight @ (1 - np.tanh(math.sqrt(q) * z) ** 2) ** 2 / math.sqrt(2 * math.pi))
