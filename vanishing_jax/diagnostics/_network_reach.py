"""How far the gradient at one end of a network's output travels through the whole network."""

from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from .._checks import NonFiniteError
from ..networks import NetworkTrajectory, RecurrentNetwork
from . import _judgement
from ._gradient_rate import at_index, gradient_rate
from ._layer_gradients import layer_gradients
from ._network_adjoint import batch_network_adjoint
from ._network_diagnosis import NetworkReach

Toward = Literal["past", "future"]


def network_reach(
    network: RecurrentNetwork,
    runs: NetworkTrajectory,
    direct: Float[Any, "batch time size"],
    lengths: Int[np.ndarray, "batch"],
    toward: Toward,
    num_probes: int,
) -> NetworkReach | None:
    """Return how the gradient of the last output that the loss reads (future: the first) travels.

    Only that output's direct gradient travels, through all layers and directions; its size at a
    distance is the norm over all states that belong to that step of the sequence. None if no
    sequence has a step beyond that one.
    """
    direct = np.asarray(direct)
    has_direct = np.any(direct != 0, axis=2)
    steps = has_direct.shape[1]
    back = toward == "past"
    index = (
        steps - 1 - np.argmax(has_direct[:, ::-1], axis=1)
        if back
        else np.argmax(has_direct, axis=1)
    )
    source = index + 1  # steps count from 1
    distance = source if back else lengths - index
    reach = int(np.median(distance[has_direct.any(axis=1)]))
    if not back and np.all(distance <= 1):
        return None
    only = np.where((np.arange(steps) == index[:, None])[:, :, None], direct, 0)
    found = batch_network_adjoint(network, runs, only.astype(direct.dtype))
    norms = [np.asarray(part.log_norm, np.float64) for part in found.values()]
    if any(np.isnan(norm).any() for norm in norms):
        raise NonFiniteError(
            "expected finite gradients in every layer; some are NaN. Check the loss and the "
            "derivatives of the cells."
        )
    lag = np.arange(int(lengths.max()) + 1)
    step = source[:, None] + (-lag if back else lag)
    by_part = np.stack(
        [
            _at_step(norm, step, lengths[:, None], part.direction)
            for norm, part in zip(norms, network.parts, strict=True)
        ]
    )
    by_part = by_part.reshape(len(norms), -1, num_probes, len(lag))
    total = _total(by_part)
    with np.errstate(invalid="ignore"):  # -inf - -inf of a sequence without any gradient
        log_by_lag = (total - total[:, :, :1]).mean(axis=1)
        gradients = layer_gradients(network.names, by_part.mean(axis=2), toward)
    rate = gradient_rate(log_by_lag)
    verdict, reason = _judgement.verdict(rate, reach)
    return NetworkReach(
        toward=toward,
        verdict=verdict,
        reason=reason,
        gradient_rate=rate,
        log_gradient_by_lag=log_by_lag,
        gradients=gradients,
    )


def _at_step(norm, step, length, direction):
    """Return log norms (batch, lag) of the states that belong to a step of the sequence.

    A forward part's state t has just read step t; a backward part's state i has just read step
    length + 1 - i.
    """
    index = length + 1 - step if direction == "backward" else step
    return at_index(norm, np.where(index <= length, index, -1))


def _total(by_part):
    """Return the log of the norm over all parts; NaN where no part has a state."""
    missing = np.isnan(by_part)
    total = np.logaddexp.reduce(2 * np.where(missing, -np.inf, by_part), axis=0) / 2
    return np.where(missing.all(axis=0), np.nan, total)
