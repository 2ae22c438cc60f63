"""The rate of a random network as a finding and as a curve, beside what theory predicts."""

from collections.abc import Iterable, Mapping
from typing import Any

from ... import theory
from ._figure import Curve, Figure, points
from ._finding import Finding, over_seeds
from ._networks import RATE, Net, Settings, rate

GAINS = (0.5, 1.0, 1.5, 2.0, 3.0)
GAINED = "rate gained [nats per step]"
CHANGE = "change of rate [nats per step]"


def predicted(net: Net) -> float | None:
    """Return the mean-field rate of a network, or None where the claims need none."""
    sizes: dict[str, Any] = {"gain": float(net.gain), "input_variance": float(net.noise)}
    if net.kind not in ("tanh", "sigmoid", "identity") or net.norm == "layer-separate":
        return None
    if net.norm == "layer":
        return float(theory.layer_norm_exponent(input_variance=net.noise))
    if net.norm == "batch":
        return float(theory.batch_norm_exponent(gain=net.norm_gain))
    if net.leak != 1:
        return float(theory.leaky_mean_field(rate=net.leak, **sizes).exponent)
    return float(theory.mean_field_exponent(activation=net.kind, **sizes))


def findings(settings: Settings, nets: Mapping[str, Net], **bounds: Any) -> list[Finding]:
    """Return the rates of networks, by case, and what theory says; `bounds` as of `over_seeds`."""
    return [
        over_seeds(case, RATE, rate(settings, net), **{"prediction": predicted(net), **bounds})
        for case, net in nets.items()
    ]


def change(
    settings: Settings, case: str, before: Net, after: Net, quantity: str = GAINED, **bounds: Any
) -> Finding:
    """Return by how much the rate of one network exceeds that of another, seed by seed."""
    gained = rate(settings, after) - rate(settings, before)
    laws = predicted(after), predicted(before)
    if "prediction" not in bounds and laws[0] is not None and laws[1] is not None:
        bounds["prediction"] = laws[0] - laws[1]
    return over_seeds(case, quantity, gained, **bounds)


def curve(settings: Settings, label: str, net: Net, **swept: Iterable[float]) -> Curve:
    """Return the measured rate over one field of a network: `gain=(1.0, 2.0)`."""
    nets = _swept(net, swept)
    return points(label, nets, (rate(settings, one) for one in nets.values()))


def law(label: str, net: Net, **swept: Iterable[float]) -> Curve:
    """Return the mean-field rate over one field of a network."""
    nets = _swept(net, swept)
    return points(label, nets, map(predicted, nets.values()), measured=False)


def _swept(net: Net, swept: dict[str, Iterable[float]]) -> dict[float, Net]:
    ((name, values),) = swept.items()
    return {float(x): net._replace(**{name: float(x)}) for x in values}


def figure(title: str, x_label: str, *curves: Curve) -> Figure:
    """Return a figure of rates, of which 0 is neutral."""
    return Figure(title, x_label, RATE, curves, 0.0)
