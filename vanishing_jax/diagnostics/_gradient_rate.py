"""At what rate a back-propagated gradient shrinks, and after how many steps it is gone."""

import dataclasses
import math

import numpy as np
from jaxtyping import Float, Int

from .._checks import NonFiniteError
from .._types import ArrayLike

# The gradient counts as gone once it is below this share of its start.
GONE = 1e-3

# A horizon further away than this many times the data is not worth extrapolating: none is in sight.
_FURTHEST = 100

# Fewer samples than this say nothing about their spread.
_MIN_SAMPLES = 4


@dataclasses.dataclass(frozen=True)
class GradientRate:
    """Average growth of the back-propagated gradient, with its uncertainty.

    - `rate`: nats per step, mean over the sequences whose gradient does not become exactly 0; -inf
      when that happens in most of them.
    - `rate_error`: half width of the 95 % interval; NaN when there is too little data for one.
    - `horizon`: steps until the gradient is below 1e-3 of its start, in the median sequence; inf if
      it never will be.
    - `horizon_is_extrapolated`: whether the horizon lies beyond the data.
    - `zero_share`: share of sequences whose gradient becomes exactly 0.
    """

    rate: float
    rate_error: float
    horizon: float
    horizon_is_extrapolated: bool
    zero_share: float


class Rated:
    """Something whose `gradient_rate` was measured; its parts can be read directly."""

    gradient_rate: GradientRate

    @property
    def rate(self) -> float:
        """Average growth of the gradient, nats per step."""
        return self.gradient_rate.rate

    @property
    def rate_error(self) -> float:
        """Half width of the 95 % interval of the rate."""
        return self.gradient_rate.rate_error

    @property
    def horizon(self) -> float:
        """Steps until the gradient is below 1e-3 of its start, in the median sequence."""
        return self.gradient_rate.horizon

    @property
    def horizon_is_extrapolated(self) -> bool:
        """Whether the horizon lies beyond the data."""
        return self.gradient_rate.horizon_is_extrapolated

    @property
    def zero_share(self) -> float:
        """Share of sequences whose gradient becomes exactly 0."""
        return self.gradient_rate.zero_share


def by_lag(log_norm: ArrayLike, last: ArrayLike, num_probes: int = 1) -> np.ndarray:
    """Return log norms relative to the last step with a direct loss gradient, against the lag.

    NaN where there is no such step: beyond s_0, and for a sequence without any gradient. The
    `num_probes` consecutive rows of one sequence are averaged: they are no independent samples.
    """
    log_norm = np.asarray(log_norm, np.float64)
    if np.isnan(log_norm).any():
        row, time = np.argwhere(np.isnan(log_norm))[-1]
        raise NonFiniteError(
            f"expected finite gradients; sequence {row // num_probes} has a NaN at t = {time}. "
            "Check the loss and the derivatives of the cell there (sqrt or log at 0, 0/0)."
        )
    lags = np.arange(log_norm.shape[1])
    logs = at_index(log_norm, np.asarray(last)[:, None] - lags)
    logs = logs - np.where(np.isfinite(logs[:, :1]), logs[:, :1], np.nan)
    return logs.reshape(-1, num_probes, len(lags)).mean(axis=1)


def at_index(
    log_norm: Float[np.ndarray, "row time_plus_one"], index: Int[np.ndarray, "row lag"]
) -> Float[np.ndarray, "row lag"]:
    """Return the entries of each row at `index`; NaN where that is negative."""
    return np.where(index < 0, np.nan, np.take_along_axis(log_norm, np.maximum(index, 0), axis=1))


def gradient_rate(log_by_lag: Float[np.ndarray, "batch lag"]) -> GradientRate:
    """Return rate, 95 % interval and horizon of gradients given against the lag.

    The rate of a sequence is its whole change over its whole lag. The interval is Student's over
    the sequences; with fewer than four of them, over blocks of at least four steps of each.
    Sequences without a gradient are left out; without any, all is NaN.
    """
    log_by_lag = log_by_lag[~np.isnan(log_by_lag[:, 0])]
    if len(log_by_lag) == 0:
        return GradientRate(math.nan, math.nan, math.nan, False, 0.0)
    reach = np.sum(~np.isnan(log_by_lag), axis=1) - 1
    ends = log_by_lag[np.arange(len(reach)), reach]
    zero = np.isneginf(ends)
    share = float(np.mean(zero))
    if share > 0.5:
        return GradientRate(-math.inf, math.nan, *_horizon(log_by_lag, -math.inf, 0.0), share)
    rates = ends[~zero] / np.maximum(reach[~zero], 1)
    rate = float(np.mean(rates))
    if len(rates) < _MIN_SAMPLES:
        error = _half_width(_block_rates(log_by_lag[~zero], reach[~zero]))
    else:
        error = _half_width(rates)
    return GradientRate(rate, error, *_horizon(log_by_lag, rate, error), share)


def _block_rates(log_by_lag, reach):
    """Return the rates over up to ten consecutive blocks of lags of each sequence."""
    rates = []
    for row, end in zip(log_by_lag, reach, strict=True):
        edges = np.linspace(0, end, min(10, max(1, end // 4)) + 1).astype(int)
        rates.append(np.diff(row[edges]) / np.diff(edges))
    return np.concatenate(rates)


def _half_width(samples):
    if len(samples) < _MIN_SAMPLES or not np.isfinite(samples).all():
        return math.nan
    from scipy.special import stdtrit

    quantile = stdtrit(len(samples) - 1, 0.975)
    return float(quantile * np.std(samples, ddof=1) / math.sqrt(len(samples)))


def _horizon(log_by_lag, rate, error):
    """Return the median sequence's first lag below 1e-3, else the rate's extrapolation."""
    gone = log_by_lag <= math.log(GONE)  # False for NaN
    first = np.where(gone.any(axis=1), gone.argmax(axis=1), np.inf)
    reached = float(np.quantile(first, 0.5, method="higher"))
    if math.isfinite(reached):
        return reached, False
    if math.isfinite(error) and rate + error < 0:
        horizon = math.log(GONE) / rate
        if horizon <= _FURTHEST * (log_by_lag.shape[1] - 1):
            return horizon, True
    return math.inf, True
