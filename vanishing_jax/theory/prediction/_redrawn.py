"""The law of a measured rate at this size: the same network, the same inputs, other weights."""

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float64

from .._slopes import Slopes
from ..random_matrices._weight_law import WeightLaw

# Draws of W: enough for a scatter that is known to an eighth. Work of one set of draws, in
# multiplications, beyond which fewer weights are drawn, then none.
_DRAWS, _MOST_WORK, _FEWEST = 32, 1e9, 8

# Sequences over which batch normalization is redrawn; no band with fewer.
_SMALLEST_BATCH = 16


class LayerNorm(NamedTuple):
    """Layer normalization of W h + `inside` (sequences, time, n), times `gain` (n,)."""

    inside: Float[np.ndarray, "batch time hidden"]
    gain: Float[np.ndarray, " hidden"]
    epsilon: float


class BatchNorm(NamedTuple):
    """Batch normalization of W h over the sequences at each step, times `gain` (n,)."""

    gain: Float[np.ndarray, " hidden"]
    epsilon: float


class PlainNetwork(NamedTuple):
    """The recurrence h' = k h + a phi(W h + d), or of a normalized W h, without its W.

    - `drives`: (sequences, time, n), d = U x + b; `states`: (sequences, n), h_0.
    - `keep`, `scale`: k and a; 0 and 1 for a plain cell.
    - `norm`: what normalizes W h before d is added, or None.
    """

    drives: Float[np.ndarray, "batch time hidden"]
    states: Float[np.ndarray, "batch hidden"]
    activation: Slopes
    keep: float = 0.0
    scale: float = 1.0
    norm: LayerNorm | BatchNorm | None = None


def draw_weights(
    law: str, gain: float, n: int, count: int, rng: Any
) -> Float64[np.ndarray, "draw n n"]:
    """Return matrices of the named law: "gaussian" or "orthogonal"."""
    W = rng.normal(size=(count, n, n))
    if law == "gaussian":
        return gain * W / np.sqrt(n)
    Q, R = np.linalg.qr(W)
    return gain * Q * np.sign(np.diagonal(R, axis1=1, axis2=2))[:, None, :]


def num_draws(network: PlainNetwork, wanted: int) -> int:
    """Return how many weights can be drawn within bounds of time; 0 if too few to be of use."""
    batch, steps, n = network.drives.shape
    count = min(wanted, int(_MOST_WORK / max(2 * batch * steps * n * n, 1)))
    return count if count >= _FEWEST else 0


def backward_rates(
    network: PlainNetwork, W: Float[np.ndarray, "draw hidden hidden"], rng: Any
) -> Float64[np.ndarray, "draw batch"]:
    """Return the growth per step of one random vector carried back from the last state."""
    phi, k, a = network.activation, network.keep, network.scale
    h = np.broadcast_to(network.states[None], (len(W), *network.states.shape))
    slopes, norms = [], []
    for t in range(network.drives.shape[1]):
        recurrent, pull = _normalized(network.norm, h @ np.swapaxes(W, 1, 2), t)
        before = recurrent + network.drives[None, :, t]
        slopes.append(phi.slope(before))
        norms.append(pull)
        h = k * h + a * phi.value(before)
    v = rng.normal(size=h.shape)
    v = v / np.linalg.norm(v, axis=-1, keepdims=True)
    total = np.zeros(h.shape[:-1])
    with np.errstate(divide="ignore"):
        for D, pull in zip(reversed(slopes), reversed(norms), strict=True):
            v = k * v + a * (pull(D * v) @ W)
            norm = np.linalg.norm(v, axis=-1)
            total += np.log(norm)
            v = v / np.where(norm > 0, norm, 1)[..., None]
    return total / len(slopes)


def _normalized(norm: LayerNorm | BatchNorm | None, recurrent, t: int):
    """Return what becomes of W h, and the map that carries a gradient back through it."""
    if norm is None:
        return recurrent, lambda v: v
    if isinstance(norm, BatchNorm):
        x = recurrent - recurrent.mean(axis=1, keepdims=True)
        slope = norm.gain / np.sqrt(np.mean(x**2, axis=1, keepdims=True) + norm.epsilon)
        return slope * x, lambda v: slope * v  # statistics are constants, as of the population
    x = recurrent + norm.inside[None, :, t]
    x = x - x.mean(axis=-1, keepdims=True)
    sigma = np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + norm.epsilon)
    x = x / sigma

    def pull(v):
        u = norm.gain * v
        u = u - u.mean(axis=-1, keepdims=True)
        return (u - x * np.mean(u * x, axis=-1, keepdims=True)) / sigma

    return norm.gain * x, pull


def slope_correlations(
    network: PlainNetwork, W: Float[np.ndarray, "hidden hidden"], lags: int
) -> Float64[np.ndarray, " lag"]:
    """Return <phi'_t phi'_{t+d}> over units, steps and sequences, for d = 0..lags - 1."""
    phi, h, slopes = network.activation, network.states, []
    for d in np.moveaxis(network.drives, 1, 0):
        before = h @ W.T + d
        slopes.append(phi.slope(before))
        h = network.keep * h + network.scale * phi.value(before)
    D = np.array(slopes)
    return np.array([np.mean(D[: len(D) - lag] * D[lag:]) for lag in range(lags)])


def redrawn(network: PlainNetwork, law: WeightLaw, rng: Any) -> np.ndarray:
    """Return the rates (draws, sequences) of networks with other weights of the same law."""
    n, count = network.states.shape[1], num_draws(network, _DRAWS)
    small = isinstance(network.norm, BatchNorm) and len(network.drives) < _SMALLEST_BATCH
    if count == 0 or small:
        return np.zeros((0, 1))
    return backward_rates(network, draw_weights(law.name, law.gain, n, count, rng), rng)


def mean_and_scatter(rates: np.ndarray, num_sequences: int) -> tuple[float, float]:
    """Return the mean rate and the deviation of a mean over `num_sequences` with one W."""
    if len(rates) == 0 or not np.isfinite(rates).all():
        return math.nan, math.nan
    total = float(np.var(rates.mean(axis=1), ddof=1))
    if rates.shape[1] == 1:
        return float(rates.mean()), math.sqrt(total)
    within = float(np.mean(np.var(rates, axis=1, ddof=1)))
    between = max(total - within / rates.shape[1], 0.0)
    return float(rates.mean()), math.sqrt(between + within / num_sequences)
