"""What a diagnosis keeps, and computes from it when it is read."""

import dataclasses
import functools as ft
from collections.abc import Callable
from typing import Literal

import equinox as eqx
import jax
import numpy as np

from .._activations import activation_kinds
from .._chain import JacobianChain
from .._linearize import linearize
from .._linearize_layers import Layer, linearize_layers
from .._rollout import Trajectory
from .._tree import StateLayout
from .._types import Array, PyTree
from ..cells import AbstractCell
from ..spectra import Spectrum, leading_singular_values, log_singular_values
from ..theory import Prediction
from ._activation_history import ActivationHistory, activation_history
from ._back_propagate import loss_gradient
from ._gradient_by_lag import Batch, run
from ._gradient_profile import GradientProfile, adjoint_profile
from ._gradient_rate import GONE
from ._interventions import unchanged
from ._layer_gradients import LayerGradients
from ._layer_profile import carry_back, output_gradients
from ._lengths import cut, folded, visited

# Spectra of larger states hold the leading values only, and the text computes no more than a few.
ALL_VALUES, ALL_VALUES_PRINTED = 256, 128
_LEADING, _LEADING_PRINTED = 16, 8

# Leading values are iterated until their logs are known to this, in nats: enough to count them.
_LOG_TOLERANCE = 0.1

_SPECTRUM_RECORDS = 32


@dataclasses.dataclass(frozen=True, eq=False)
class Directions:
    """What is left of the directions of the first sequence, behind its last state, at three lags.

    - `logs`: lag -> log singular values, descending: all of them, or the leading ones.
    - `counts`: lag -> how many there are.
    """

    logs: dict[int, np.ndarray]
    counts: dict[int, int]

    @property
    def surviving(self) -> dict[int, float]:
        """Number of singular values above 1e-3, of those that are known."""
        return {lag: float(np.sum(logs > np.log(GONE))) for lag, logs in self.logs.items()}

    @property
    def log10_condition(self) -> dict[int, float]:
        """Log10 of largest over smallest value; inf where one is 0, NaN if not all are known."""
        return {lag: self._condition(lag) for lag in self.logs}

    def _condition(self, lag):
        logs = self.logs[lag]
        if len(logs) < self.counts[lag]:
            return float("nan")
        # The first is the largest: where it is exactly 0 so are all, and no ratio exists.
        return float((logs[0] - logs[-1]) / np.log(10)) if np.isfinite(logs[0]) else float("inf")


def summary_lags(steps: int) -> list[int]:
    """Return the three lags that the text speaks of."""
    return sorted({min(10, steps), max(1, steps // 2), steps})


def all_directions(chain: JacobianChain) -> Directions:
    """Return every singular value at the three lags, by one sweep."""
    lags = summary_lags(chain.num_steps)
    return directions_of(log_singular_values(chain, direction="backward", lags=lags), chain)


def directions_of(spectrum: Spectrum, chain: JacobianChain) -> Directions:
    """Return the three lags out of a spectrum over lags."""
    steps = chain.num_steps
    counts = {lag: chain.bottleneck(steps - lag, steps) for lag in summary_lags(steps)}
    rows = dict(zip(np.asarray(spectrum.lags).tolist(), spectrum.log_singular_values, strict=True))
    return Directions({lag: rows[lag][:count] for lag, count in counts.items()}, counts)


def spectrum_of(chain: JacobianChain, k: int | None = None) -> Spectrum:
    """Return the backward spectrum over lags, the three of the text among them."""
    steps = chain.num_steps
    grid = np.linspace(1, steps, min(steps, _SPECTRUM_RECORDS)).round().astype(int)
    lags = sorted({*grid.tolist(), *summary_lags(steps)})
    return log_singular_values(chain, direction="backward", lags=lags, k=k)


def _in_float64(linearized: Callable[..., JacobianChain]) -> JacobianChain:
    """Return a chain in float64 where the network allows it: saturation must not pass for 0."""
    try:
        return linearized(precision="float64")
    except (ValueError, TypeError, MemoryError):  # a dtype of its own
        return linearized()


@dataclasses.dataclass(frozen=True, eq=False)
class Kept:
    """All that the parts of a `Diagnosis` are computed from.

    - `cell`, `batch`: what was run; `first`: the first sequence's trajectory.
    - `mode`: in which the cell can be differentiated.
    - `reach`: the lag over which the median gradient was carried back.
    - `layer_gradients`: of a stack of cells, in each layer; else None.
    """

    cell: AbstractCell
    batch: Batch
    first: Trajectory
    layout: StateLayout
    mode: Literal["fwd", "rev"]
    reach: int
    layer_gradients: LayerGradients | None

    @ft.cached_property
    def chain(self) -> JacobianChain:
        """The Jacobians of the first sequence."""
        if self.layout.size > ALL_VALUES:
            return self.streamed
        return _in_float64(ft.partial(linearize, self.cell, self.first, mode=self.mode))

    @ft.cached_property
    def streamed(self) -> JacobianChain:
        """The same without a matrix, in the dtype of the state."""
        return linearize(self.cell, self.first, mode=self.mode, dense=False)

    @ft.cached_property
    def printed(self) -> Directions:
        """What the text says of directions: of a large state the leading ones, matrix-free."""
        if self.layout.size <= ALL_VALUES_PRINTED:
            return all_directions(self.chain)
        steps, found = self.first.num_steps, {}
        for lag in summary_lags(steps):
            window = steps - lag, steps
            leading = leading_singular_values(
                self.streamed, _LEADING_PRINTED, window=window, tolerance=_LOG_TOLERANCE
            )
            found[lag] = leading.log_singular_values
        return Directions(found, dict.fromkeys(found, self.layout.size))

    @property
    def leading(self) -> int | None:
        """Number of values in spectra and exponents; None means all."""
        return None if self.layout.size <= ALL_VALUES else _LEADING

    @ft.cached_property
    def _trajectories(self) -> Trajectory:
        start = jax.tree.map(lambda leaf: leaf[0], (self.first.states, self.first.inputs))
        neutral = unchanged(self.cell, len(activation_kinds(self.cell, *start)))
        return self.batch.trajectories(run(neutral, self.batch).states)

    def activations(self) -> ActivationHistory:
        """Return saturation and gates over the batch."""
        ends = self.batch.ends
        runs = cut(self._trajectories, int(ends.max()))
        return activation_history(self.cell, runs, lengths=ends)

    def profile(self) -> GradientProfile | None:
        """Return the gradient profile of each sequence, NaN in the padding; None without a loss."""
        if self.batch.loss is None:
            return None
        ends = self.batch.ends
        profile = _batch_profile(self.cell, self._trajectories, self.batch.loss, ends)
        by_state, by_step = np.array(profile.log_norm), np.array(profile.log_parameter_norm)
        steps = np.arange(by_state.shape[1])
        by_state[steps > ends[:, None]] = np.nan
        by_step[steps[1:] > ends[:, None]] = np.nan
        return GradientProfile(by_state[:, : ends.max() + 1], by_step[:, : ends.max()])

    def prediction(self) -> Prediction | None:
        """Return what theory says of the rate of the first sequences, or None if nothing.

        Of sequences of different length, those that are at least as long as the median reach. Of
        an LSTM or GRU it says that there is no prediction, and what there is for one step.
        """
        # Where it is used: the laws of theory take a while to load.
        from ..theory import predict
        from ..theory.prediction._predict import can_predict, one_step_function

        if self.reach == 0 or not (can_predict(self.cell) or one_step_function(self.cell)):
            return None
        batch = self.batch
        rows = np.arange(0, len(batch.ends), batch.num_probes)
        rows = rows[batch.ends[rows] >= self.reach]
        inputs = np.moveaxis(np.asarray(batch.inputs)[: self.reach, rows], 1, 0)
        state0 = jax.tree.map(np.asarray, batch.state0)
        return predict(self.cell, inputs, state0=state0, num_sequences=batch.num_sequences)


@eqx.filter_jit
def _batch_profile(cell, trajectories, loss, lengths):
    local = folded(loss_gradient(trajectories.states, loss, 2), lengths)
    along = visited(trajectories, lengths)
    return jax.vmap(lambda t, g: adjoint_profile(cell, t, g))(along, local)


@dataclasses.dataclass(frozen=True, eq=False)
class LayersKept:
    """All that the parts of a `LayerDiagnosis` are computed from.

    - `layers`, `activations`: what was run; `x`: the first sample.
    - `missing`: why there are no spectra, or None.
    """

    layers: list[Layer]
    activations: list[PyTree]
    x: PyTree
    loss: Callable[[PyTree], Array] | None
    batched: bool
    missing: str | None

    @ft.cached_property
    def chain(self) -> JacobianChain:
        """The Jacobians of the first sample."""
        return _in_float64(ft.partial(linearize_layers, self.layers, self.x))

    @ft.cached_property
    def directions(self) -> Directions:
        """All values at the three lags, or none."""
        return Directions({}, {}) if self.missing else all_directions(self.chain)

    def profile(self) -> GradientProfile | None:
        """Return the gradient profile of each sample, or None without a loss."""
        if self.loss is None:
            return None
        options = {"batched": self.batched}
        vectors = output_gradients(self.activations[-1], self.loss, **options)
        norms, shares = carry_back(self.layers, self.activations, vectors, **options)
        return GradientProfile(np.asarray(norms), np.asarray(shares), "layer")
