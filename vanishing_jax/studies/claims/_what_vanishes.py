"""C1-C5: what vanishes, in which networks, and how fast."""

import math
from typing import Any

import numpy as np

from ... import theory
from . import _rates as rates
from ._claim import claim
from ._figure import Figure, law, points
from ._finding import exact, over_seeds
from ._networks import RATE, Net, Settings, forward_rate, log_gradients, measured, rate


@claim(
    "C1",
    "Vanishing gradients are a problem above all of recurrent networks without normalization.",
    where="introduction; concluding insights",
    rule="Glorot tanh networks lose gradients, and layer normalization makes the rate larger, "
    "whatever the input.",
)
def unnormalized_networks(settings: Settings) -> Any:
    """Compare rates with and without layer normalization, for weak and strong inputs."""
    cases = {0.01: "weak inputs (variance 0.01)", 1.0: "strong inputs (variance 1)"}
    findings = rates.findings(settings, {"tanh at gain 1, input variance 1": Net()}, below=0.0)
    findings += [
        rates.change(
            settings, case, Net(noise=v), Net(noise=v, norm="layer"),
            "rate gained by layer normalization [nats per step]", above=0.0,
        )
        for v, case in cases.items()
    ]  # fmt: skip
    curves = []
    for label, net in {"plain": Net(), "layer norm": Net(norm="layer")}.items():
        curves += [
            rates.curve(settings, label, net, noise=(0.01, 0.1, 0.3, 1.0)),
            rates.law(f"{label}, theory", net, noise=np.geomspace(0.01, 1.0, 25)),
        ]
    title = "Rate with and without layer normalization"
    return findings, rates.figure(title, "variance of the inputs", *curves)


@claim(
    "C2",
    "As the error signal fades through the steps, the weights of earlier steps are updated "
    "extremely slowly or not at all.",
    where="what is the vanishing gradient problem",
    rule="The contribution of early steps is below a thousandth of the largest one, and the "
    "update of the weights as a whole below a tenth.",
    note="A recurrent network has one set of weights for all steps: their update is the sum of all "
    "contributions.",
)
def early_steps(settings: Settings) -> Any:
    """Compare the contributions of early steps with the gradient as a whole."""
    found = measured(settings, Net())
    shares = found.log_contribution / math.log(10)
    whole = log_gradients(settings, Net()) / math.log(10) - np.max(shares, axis=1)
    where, quantity = "tanh at gain 1, input variance 1", "size next to the largest contribution"
    findings = [
        over_seeds(
            f"the contribution of the first quarter of {settings.steps} steps",
            f"{quantity} [decades]", found.early_decades, below=-3.0,
        ),
        over_seeds(
            f"the update as a whole ({where})", f"{quantity} [decades]", whole, below=-1.0
        ),
    ]  # fmt: skip
    lags = np.arange(settings.steps)[::-1]
    mean = np.mean(shares, axis=0)
    curve = points("contribution of one step", lags, mean - mean.max())
    line = law("the whole gradient", (0.0, lags[0]), lambda lag: np.mean(whole))
    title = "Contribution of each step to the update"
    return findings, Figure(title, "steps before the end", "size [decades]", (curve, line))


@claim(
    "C3",
    "In effect the model forgets what happened early in a long sequence.",
    where="what is the vanishing gradient problem",
    rule="A perturbation of the state fades forward in time, at the rate (± 0.02) at which "
    "gradients fade backward.",
)
def forgetting(settings: Settings) -> Any:
    """Compare the decay of perturbations forward with that of gradients backward."""
    net, where = Net(noise=0.1), "tanh at gain 1, input variance 0.1"
    forward = forward_rate(settings, net)
    return [
        over_seeds(
            f"perturbations of {where}", RATE, forward, below=0.0, prediction=rates.predicted(net)
        ),
        over_seeds(
            f"forward and backward in {where}", "difference of rates [nats per step]",
            forward - rate(settings, net), above=-0.02, below=0.02, prediction=0.0,
        ),
    ]  # fmt: skip


@claim(
    "C4",
    "The cause is the repeated multiplication by small derivatives of sigmoid or tanh.",
    where="what is the vanishing gradient problem",
    rule="Gradients vanish with tanh at any gain, and do not vanish with the derivative 1.",
    note="The Jacobian is diag(phi') W: the weights count as much as the derivative.",
)
def small_derivatives(settings: Settings) -> Any:
    """Take the derivative's smallness away, and keep it with larger weights."""
    tanh = {f"tanh at gain {g}, input variance 0.1": Net(gain=g, noise=0.1) for g in (1, 3)}
    linear = {"derivative 1 (linear) at gain 0.8": Net("identity", gain=0.8)}
    findings = [
        *rates.findings(settings, tanh, below=0.0),
        *rates.findings(settings, linear, above=-0.01),
    ]
    curves = []
    for v in (0.1, 1.0):
        label = f"input variance {v:g}"
        curves += [
            rates.curve(settings, label, Net(noise=v), gain=rates.GAINS),
            rates.law(f"{label}, theory", Net(noise=v), gain=np.linspace(0.5, 3.0, 26)),
        ]
    title = "Rate of tanh networks over the gain"
    return findings, rates.figure(title, "gain of the recurrent weights", *curves)


@claim(
    "C5",
    "Gradients shrink exponentially as they move backward.",
    where="what is the vanishing gradient problem",
    rule="A straight line in the number of steps fits log ||dL/ds_t|| better than one in its "
    "logarithm (a power law); in mean field at the critical gain, too.",
)
def exponential_decay(settings: Settings) -> Any:
    """Compare an exponential with a power law, away from the critical gain and at it."""
    contracting = measured(settings, Net(gain=0.9, noise=0.1)).log_norm[:, ::-1]
    steps = np.arange(contracting.shape[1])
    late = steps >= 10
    away = [_advantage(steps[late], one[late]) for one in contracting]
    quantity = "misfit of the power law over that of the exponential [decades]"
    where = "tanh at gain 0.9, input variance 0.1"
    transient = theory.mean_field_transient(400, activation="tanh", gain=1.0, state_variance=1.0)
    growth = transient.log_growth
    count = np.arange(1, len(growth) + 1)
    critical = _advantage(count[10:], growth[10:])
    findings = [
        over_seeds(where, quantity, away, above=0.0),
        exact("wide tanh networks at gain 1 without input", quantity, critical, above=0.0),
    ]
    curves = (
        points("gain 0.9, measured", steps, _decades(np.mean(contracting, axis=0))),
        points("gain 1 without input, mean field", count, _decades(growth), measured=False),
    )
    title = "Decay away from the critical gain and at it"
    return findings, Figure(title, "steps back in time", "log10 of the gradient", curves, 0.0)


def _decades(logs: np.ndarray) -> np.ndarray:
    return (logs - logs[0]) / math.log(10)


def _advantage(steps: np.ndarray, logs: np.ndarray) -> float:
    """Return log10 of how much worse a power law fits than an exponential, by standard error."""

    def misfit(x: np.ndarray) -> float:
        return float(np.std(logs - np.polyval(np.polyfit(x, logs, 1), x)))

    return math.log10(misfit(np.log(steps)) / misfit(steps.astype(float)))
