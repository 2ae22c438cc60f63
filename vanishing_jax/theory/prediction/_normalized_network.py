"""Normalized plain cells as recurrences without their W, and the theories that fit them."""

import functools as ft
from typing import Any, NamedTuple

import numpy as np

from ...cells import BatchNormCell, LayerNormCell, VanillaCell
from ..normalization._exponents import batch_norm_exponent, layer_norm_exponent
from ._prediction import Assumption
from ._redrawn import BatchNorm, LayerNorm, PlainNetwork

# The mean square of what was normalized is 1 if the statistics fit the inputs, up to this factor.
_FITS = 1.5

# The same of the mean inverse variance over units, against the inverse mean: 1 if all are alike.
_ALIKE = 1.5

# Biases beyond this share of the pre-activations are more than the theory of batch norm allows.
_SMALL = 0.1


class NormalizedNetwork(NamedTuple):
    """The recurrence without its W, and its theory by name with the top exponent for W of a gain.

    No theory where only U x is normalized: an ordinary network.
    """

    network: PlainNetwork
    theory: str | None = None
    top: Any = None  # gain -> nats per step
    assumptions: tuple[Assumption, ...] = ()


def rms(values: Any) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(np.square(values))))


def normalized(
    cell: LayerNormCell | BatchNormCell,
    plain: VanillaCell,
    x: np.ndarray,
    network: PlainNetwork,
    step: int,
) -> NormalizedNetwork:
    """Return the network of a normalized plain cell from its `step` on, given the plain one."""
    Ux = x @ np.asarray(plain.weight_xh, np.float64).T
    b = np.zeros(plain.hidden_size) if plain.bias is None else np.asarray(plain.bias, np.float64)
    if isinstance(cell, LayerNormCell):
        return _layer_normalized(cell, plain, Ux, b, network)
    return _batch_normalized(cell, plain, Ux, b, network, step)


def _layer_normalized(cell: LayerNormCell, plain, Ux, b, network) -> NormalizedNetwork:
    gains = {site: np.asarray(norm.weight, np.float64) for site, norm in cell.norms.items()}
    joint = cell.placement == "joint"
    if joint:
        norm, drives = LayerNorm(Ux, gains["sum"], cell.epsilon), np.zeros_like(Ux) + b
    else:
        centered = Ux - Ux.mean(axis=-1, keepdims=True)
        variance = np.mean(centered**2, axis=-1, keepdims=True)
        drives = gains["input"] * centered / np.sqrt(variance + cell.epsilon) + b
        if cell.placement == "input":
            return NormalizedNetwork(network._replace(drives=drives))
        norm = LayerNorm(np.zeros_like(Ux), gains["recurrent"], cell.epsilon)
    top = ft.partial(
        layer_norm_exponent,
        activation=plain.activation,
        placement=cell.placement,
        gain=rms(norm.gain),
        input_gain=None if joint else rms(gains["input"]),
        input_variance=rms(norm.inside) ** 2,
        bias_variance=rms(b) ** 2,
    )
    name = f"mean-field theory of {cell.placement} layer normalization"
    return NormalizedNetwork(network._replace(drives=drives, norm=norm), name, top)


def _batch_normalized(cell: BatchNormCell, plain, Ux, b, network, step: int) -> NormalizedNetwork:
    """Return the network whose W h is normalized over sequences, and how its statistics fit."""
    at = np.minimum(step + np.arange(Ux.shape[1]), cell.num_steps - 1)
    driven = np.asarray(cell.gain["input"], np.float64) * _by_statistics(cell, "input", Ux, at)
    if cell.placement == "input":
        return NormalizedNetwork(network._replace(drives=driven + b))
    gain = np.asarray(cell.gain["recurrent"], np.float64)
    whole = network._replace(drives=driven + b, norm=BatchNorm(gain, cell.epsilon))
    share = rms(b) / max(rms(b), np.hypot(rms(gain), rms(driven)))
    assumptions = (
        _fit(cell, plain, whole, at),
        _alike(np.asarray(cell.statistics.variance["recurrent"], np.float64)[at], cell.epsilon),
        Assumption("no biases", bool(share <= _SMALL), f"{share:.2g} of the pre-activations"),
    )
    top = ft.partial(
        batch_norm_exponent, activation=plain.activation, gain=rms(gain), input_gain=rms(driven)
    )
    name = "mean-field theory of recurrent batch normalization"
    return NormalizedNetwork(whole, name, top, assumptions)


def _by_statistics(cell: BatchNormCell, site: str, values, at) -> np.ndarray:
    """Return values normalized by the cell's own statistics of the steps `at`, without gain."""
    mean, variance = (
        np.asarray(table[site], np.float64)[at]
        for table in (cell.statistics.mean, cell.statistics.variance)
    )
    return (values - mean) / np.sqrt(variance + cell.epsilon)


def _fit(cell: BatchNormCell, plain: VanillaCell, network: PlainNetwork, at) -> Assumption:
    """Return whether the cell's statistics are those of its own states on these inputs."""
    W = np.asarray(plain.weight_hh, np.float64)
    gain, phi = np.asarray(cell.gain["recurrent"], np.float64), network.activation
    variance = np.asarray(cell.statistics.variance["recurrent"], np.float64)
    h, squares = network.states, []
    for t, now in enumerate(at):
        a = _by_statistics(cell, "recurrent", h @ W.T, now)
        squares.append(np.mean(a**2, axis=0)[variance[now] > 10 * cell.epsilon])
        h = phi.value(gain * a + network.drives[:, t])
    found = np.concatenate(squares)
    square = float(np.mean(found)) if found.size else np.nan
    detail = f"normalized W h has the mean square {square:.2g}; 1 if they are"
    holds = bool(1 / _FITS < square < _FITS)
    return Assumption("its statistics are those of these inputs", holds, detail)


def _alike(variance: np.ndarray, epsilon: float) -> Assumption:
    """Return whether all units vary alike, as they do in wide networks whose inputs are white."""
    living = variance[variance.mean(axis=1) > 10 * epsilon]
    ratio = float(np.mean(living.mean(axis=1) * np.mean(1 / (living + epsilon), axis=1)))
    detail = f"the mean of 1/variance is {ratio:.2g} times 1/mean; 1 if they do"
    return Assumption("W h varies alike in all units", bool(ratio < _ALIKE), detail)
