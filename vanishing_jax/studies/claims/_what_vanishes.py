"""C1-C5: what vanishes, in which networks, and how fast."""

import functools as ft
import math
from typing import Any

import numpy as np

from ... import theory
from ._claim import claim
from ._curves import law, means, points
from ._intervals import exact, over_seeds
from ._networks import RATE, Net, Settings, forward_rate, log_gradients, measured, rate
from ._result import Figure

GAINS = (0.5, 1.0, 1.5, 2.0, 3.0)


def exponent(activation: str, gain: float | int, noise: float | int) -> float:
    """Return the mean-field rate of a plain network."""
    sizes = {"gain": float(gain), "input_variance": float(noise)}
    return float(theory.mean_field_exponent(activation=activation, **sizes))


tanh_exponent = ft.partial(exponent, "tanh")
sigmoid_exponent = ft.partial(exponent, "sigmoid")


def layer_norm_rate(noise: float | int, **options: Any) -> float:
    """Return the mean-field rate of a layer-normalized tanh network."""
    return float(theory.layer_norm_exponent(input_variance=noise, **options))


@claim(
    "C1",
    "Vanishing gradients are a problem above all of recurrent networks without normalization.",
    where="introduction; concluding insights",
    rule="Glorot tanh networks lose gradients, and layer normalization makes the rate larger, "
    "whatever the input.",
)
def unnormalized_networks(settings: Settings) -> Any:
    """Compare rates with and without layer normalization, for weak and strong inputs."""
    findings, noises = [], (0.01, 0.1, 0.3, 1.0)
    plain = {v: rate(settings, Net(noise=v)) for v in noises}
    joint = {v: rate(settings, Net(noise=v, norm="layer")) for v in noises}
    findings.append(
        over_seeds(
            "tanh at gain 1, input variance 1", RATE, plain[1.0], below=0.0,
            prediction=tanh_exponent(1, 1),
        )
    )  # fmt: skip
    for v, words in ((0.01, "weak inputs (variance 0.01)"), (1.0, "strong inputs (variance 1)")):
        predicted = layer_norm_rate(v) - tanh_exponent(1, v)
        quantity = "rate gained by layer normalization [nats per step]"
        change = joint[v] - plain[v]
        findings.append(over_seeds(words, quantity, change, above=0.0, prediction=predicted))
    fine = np.geomspace(noises[0], noises[-1], 25)
    curves = [
        means("plain", plain),
        law("plain, theory", fine, lambda v: tanh_exponent(1, v)),
        means("layer norm", joint),
        law("layer norm, theory", fine, layer_norm_rate),
    ]
    title = "Rate with and without layer normalization"
    return findings, Figure(title, "variance of the inputs", RATE, tuple(curves), 0.0)


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
    share = np.max(shares[:, : settings.steps // 4], axis=1) - np.max(shares, axis=1)
    whole = log_gradients(settings, Net()) / math.log(10) - np.max(shares, axis=1)
    where = "tanh at gain 1, input variance 1"
    findings = [
        over_seeds(
            f"the contribution of the first quarter of {settings.steps} steps",
            "size next to the largest contribution [decades]", share, below=-3.0,
        ),
        over_seeds(
            f"the update as a whole ({where})",
            "size next to the largest contribution [decades]", whole, below=-1.0,
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
    net = Net(noise=0.1)
    backward, forward = rate(settings, net), forward_rate(settings, net)
    where, predicted = "tanh at gain 1, input variance 0.1", tanh_exponent(1, 0.1)
    return [
        over_seeds(
            f"perturbations of {where}", RATE, forward, below=0.0, prediction=predicted
        ),
        over_seeds(
            f"forward and backward in {where}", "difference of rates [nats per step]",
            forward - backward, above=-0.02, below=0.02, prediction=0.0,
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
    findings = [
        over_seeds("tanh at gain 1, input variance 0.1", RATE,
                   rate(settings, Net(noise=0.1)), below=0.0, prediction=tanh_exponent(1, 0.1)),
        over_seeds("tanh at gain 3, input variance 0.1", RATE,
                   rate(settings, Net(gain=3, noise=0.1)), below=0.0,
                   prediction=tanh_exponent(3, 0.1)),
        over_seeds("derivative 1 (linear) at gain 0.8", RATE,
                   rate(settings, Net("identity", gain=0.8)), above=-0.01,
                   prediction=math.log(0.8)),
    ]  # fmt: skip
    curves, fine = [], np.linspace(GAINS[0], GAINS[-1], 26)
    for v in (0.1, 1.0):
        rates = {g: rate(settings, Net(gain=g, noise=v)) for g in GAINS}
        curves.append(means(f"input variance {v:g}", rates))
        curves.append(
            law(f"input variance {v:g}, theory", fine, lambda g, v=v: tanh_exponent(g, v))
        )
    title = "Rate of tanh networks over the gain"
    return findings, Figure(title, "gain of the recurrent weights", RATE, tuple(curves), 0.0)


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
