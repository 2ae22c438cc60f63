"""Exponents and horizons of random networks over gain and input, measured beside predicted."""

import functools as ft
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax

from .._mantissa_exponent import normalized
from .._types import Array, Key
from ..diagnostics._back_propagate import Scaled, back_propagate
from ..theory import critical_gain, mean_field_exponent, memory_horizon
from ..theory._slopes import Activation, slopes
from ..training._settings import check_counts
from ._gain_grid import checked_axis, each, grid_dataset, name_of, over_grid, unit_matrix

if TYPE_CHECKING:
    import xarray as xr

_REMAINING = 1e-3  # of a gradient, at the horizon, as in `vj.diagnose`
_CHUNK = 32  # networks between two updates of the bar


def phase_diagram(
    *,
    gains: Sequence[float | int] | np.ndarray,
    input_variances: Sequence[float | int] | np.ndarray | None = None,
    bias_variances: Sequence[float | int] | np.ndarray | None = None,
    input_variance: float | int = 0.0,
    activation: Activation = "tanh",
    hidden_size: int = 200,
    num_steps: int = 200,
    burn: int = 100,
    seeds: int = 5,
    progress: bool = True,
    key: Key,
) -> "xr.Dataset":
    r"""Return how fast gradients vanish or explode over (gain, input variance), beside theory.

    The networks are those of `theory.mean_field_variance`: $h_t = \phi(W h_{t-1} + u_t + b)$, W of
    gain g, u_t ~ N(0, s^2) fresh at each step and unit. In each, a random vector is carried back
    from the last step by the transposed Jacobians, $v \leftarrow W^\top(\phi'(a_t) \odot v)$, its
    size kept as a logarithm: the mean change per step is the measured exponent. Beside it stands
    `theory.mean_field_exponent`; where that is 0, at `theory.critical_gain`, lies the critical
    line. Every network of the map is drawn anew, so that its points are independent.

    A map whose two halves agree says that theory may be used to choose the gain. Where they differ
    by many standard errors the network is too small for the theory: mostly at the edge of the
    autonomous network (s = 0, g near 1).

    **Arguments:**

    - `gains`: g, above 0 and increasing; Glorot's weights have 1, He's sqrt(2).
    - `input_variances`: s^2, increasing; without biases. Or:
    - `bias_variances`: s_b^2 in their place, at the one `input_variance`.
    - `activation`: as of `theory.mean_field_variance`.
    - `hidden_size`, `num_steps`: n (200), and over how many steps a gradient is carried (200).
    - `burn`: steps before them, in which the states settle (100).
    - `seeds`: networks at each point (5).
    - `progress`: show a bar over all networks.
    - `key`: the only source of randomness. A point keeps its networks when the axes get longer.

    **Returns:** an `xarray.Dataset` with dimensions gain, input_variance (or bias_variance), seed:

    - `exponent` (..., seed), `predicted_exponent` (...): nats per step.
    - `standard_error` (...): of the mean over seeds; `z`: the mean's difference from the prediction
      in these. NaN for one seed.
    - `horizon` (..., seed): steps after which 1e-3 of the gradient is left; `inf` if that is not
      within `num_steps`. `predicted_horizon` (...): `theory.memory_horizon` of the predicted
      exponent.
    - `critical_gain` (input_variance): predicted; `measured_critical_gain`: where the mean exponent
      first rises through 0, interpolated, NaN where it does not; `critical_gain_error`: its
      standard error, NaN for one seed.

    **Raises:** `TypeError` unless one of `input_variances` and `bias_variances` is given;
    `ValueError` for an axis that is empty, negative, not finite or not increasing.

    **Cost:** one compilation for the whole map, then O(n^2 (num_steps + burn)) per network: 4 ms at
    n = 200 and 250 steps on one core.

    **Validity:** exponents of n units scatter about the prediction and are off by O(1/n). NaN where
    states overflow; ReLU without input underflows at many steps, and its exponent is then -inf.
    Measured against a plain product of matrices in `tests/comparison/test_phase_diagram.py`.

    **Example:**

    >>> import jax, vanishing_jax as vj
    >>> phase = vj.phase_diagram(
    ...     gains=[0.5, 3.0], input_variances=[0.1], hidden_size=50, num_steps=30, burn=10, seeds=2,
    ...     progress=False, key=jax.random.key(0),
    ... )
    >>> (phase.exponent.mean("seed") > 0).values.ravel()
    array([False,  True])

    ??? cite "Reference"

        ```bibtex
        @inproceedings{poole2016exponential,
          author    = {Poole, Ben and Lahiri, Subhaneil and Raghu, Maithra and
                       Sohl-Dickstein, Jascha and Ganguli, Surya},
          title     = {Exponential expressivity in deep neural networks through transient chaos},
          booktitle = {Advances in Neural Information Processing Systems},
          year      = {2016},
        }
        ```
    """
    check_counts(hidden_size=hidden_size, num_steps=num_steps, seeds=seeds)
    if burn < 0:
        raise ValueError(f"expected `burn` of at least 0; got {burn}.")
    grid = _grid(gains, input_variances, bias_variances, input_variance)
    sizes = Sizes(activation, hidden_size, num_steps, burn)
    predicted = _predicted(sizes, grid)
    exponent, horizon = _measured(sizes, grid, seeds, progress, key)
    settings = {
        "activation": name_of(activation),
        "weights": "gaussian",
        "hidden_size": hidden_size,
        "steps": num_steps,
        "burn": burn,
        "input_variance": None if grid.axis == "input_variance" else float(input_variance),
    }
    return _dataset(grid, exponent, horizon, predicted, settings, key)


class Sizes(NamedTuple):
    """What the measurement is compiled for."""

    activation: Activation
    hidden_size: int
    num_steps: int
    burn: int


class _Grid(NamedTuple):
    """The points: gains, and the variances of the other axis with its name."""

    gains: np.ndarray
    axis: str
    values: np.ndarray
    input_variance: float  # where the axis is that of biases

    def variances(self, value: float) -> dict[str, float]:
        """Return the variances of input and biases at a value of the second axis."""
        if self.axis == "input_variance":
            return {"input_variance": float(value), "bias_variance": 0.0}
        return {"input_variance": self.input_variance, "bias_variance": float(value)}


def _grid(gains, input_variances, bias_variances, input_variance) -> _Grid:
    given = {"input_variance": input_variances, "bias_variance": bias_variances}
    names = [name for name, values in given.items() if values is not None]
    if len(names) != 1:
        raise TypeError(
            f"expected one of `input_variances` and `bias_variances`; got {len(names)} of them."
        )
    (axis,) = names
    if axis == "input_variance" and input_variance != 0:
        raise TypeError("`input_variance` goes with `bias_variances`; leave one of the two out.")
    (fixed,) = checked_axis("input_variance", [input_variance])
    values = checked_axis(f"{axis}s", given[axis])
    return _Grid(checked_axis("gains", gains, above=0.0), axis, values, float(fixed))


# --- measuring --------------------------------------------------------------------------------


def _measured(sizes: Sizes, grid: _Grid, seeds: int, progress: bool, key: Key) -> list[np.ndarray]:
    """Return exponent and horizon of every network, of shape (gain, variance, seed)."""
    dtype = jnp.result_type(float)
    variances = [grid.variances(value) for value in grid.values]
    deviations = {
        name: np.sqrt([of[name] for of in variances]).astype(dtype) for name in variances[0]
    }
    axes = {"gain": grid.gains.astype(dtype)}, deviations
    total = len(grid.gains) * len(grid.values) * seeds

    def compute(numbers, keys):
        order = "gain", "input_variance", "bias_variance"
        return _growth(sizes, *(numbers[name] for name in order), keys)

    return over_grid(compute, axes, seeds, chunk=min(_CHUNK, total), progress=progress, key=key)


@ft.partial(jax.jit, static_argnums=0)
def _growth(sizes: Sizes, gain: Array, input_deviation: Array, bias_deviation: Array, keys: Key):
    """Return exponent and horizon of one network per entry of the arrays."""
    return each(ft.partial(backward_growth, sizes), gain, input_deviation, bias_deviation, keys)


def backward_growth(
    sizes: Sizes, gain: Array, input_deviation: Array, bias_deviation: Array, key: Key
) -> tuple[Array, Array]:
    """Return rate of a vector carried back through one random network, and its horizon."""
    W, b, start, key_drive, v = drawn(sizes, gain, bias_deviation, key)
    phi = slopes(sizes.activation)

    def step(h, t):
        drive = input_deviation * jr.normal(jr.fold_in(key_drive, t), h.shape)
        a = W @ h + drive + b
        return phi.value(a), a

    h, _ = lax.scan(lambda h, t: (step(h, t)[0], None), start, jnp.arange(sizes.burn))
    _, a = lax.scan(step, h, sizes.burn + jnp.arange(sizes.num_steps))

    def pull(gradient: Scaled, a: Array):
        arrived = (phi.slope(a) * gradient.vectors) @ W
        return Scaled(*normalized(arrived, gradient.exponents)), None

    # The vector is the gradient of the last state; no other state has one of its own.
    zeros = jnp.zeros((sizes.num_steps + 1, v.size), v.dtype)
    direct = Scaled(zeros.at[-1].set(v), jnp.zeros(len(zeros), jnp.int32))
    log_norm, _ = back_propagate(pull, a, direct)
    by_lag = (log_norm - log_norm[-1])[-2::-1]
    by_lag = jnp.where(jnp.isfinite(a[-1]).all(), by_lag, jnp.nan)  # states have not overflown
    return by_lag[-1] / sizes.num_steps, _horizon(by_lag)


def drawn(
    sizes: Sizes, gain: Array, bias_deviation: Array, key: Key
) -> tuple[Array, Array, Array, Key, Array]:
    """Return W, b, the first state, the key of the input and the vector of one network."""
    key_W, key_b, key_state, key_drive, key_vector = jr.split(key, 5)
    n = sizes.hidden_size
    W = gain * unit_matrix(n, key=key_W)
    b, start, v = (jr.normal(k, (n,)) for k in (key_b, key_state, key_vector))
    return W, bias_deviation * b, start, key_drive, v


def _horizon(log_norm: Array) -> Array:
    """Return the lag, between two steps, at which the logs at lags 1, 2, ... reach the share."""
    level = jnp.asarray(math.log(_REMAINING), log_norm.dtype)
    below = log_norm <= level
    i = jnp.argmax(below)
    before = jnp.where(i > 0, log_norm[i - 1], jnp.zeros((), log_norm.dtype))
    fall = before - log_norm[i]
    part = jnp.where(jnp.isfinite(fall), (before - level) / fall, 1)
    lag = i.astype(part.dtype) + part
    lag = jnp.where(below.any(), lag, jnp.inf)
    return jnp.where(jnp.isnan(log_norm[-1]), jnp.nan, lag)


# --- predicting, and the result ---------------------------------------------------------------


def _predicted(sizes: Sizes, grid: _Grid) -> dict[str, np.ndarray]:
    """Return what theory says of each point, and of each row."""
    known: dict[str, Any] = {"activation": sizes.activation}
    exponent = np.array(
        [
            [mean_field_exponent(gain=g, **grid.variances(v), **known) for v in grid.values]
            for g in grid.gains.tolist()
        ]
    )
    with jax.enable_x64(True):
        critical = [float(critical_gain(**grid.variances(v), **known)) for v in grid.values]
    horizon = np.vectorize(memory_horizon, otypes=[float])(exponent, remaining=_REMAINING)
    return {"exponent": exponent, "horizon": horizon, "critical_gain": np.array(critical)}


def zero_crossing(
    gains: np.ndarray, mean: np.ndarray, error: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return where each column of means first rises through 0, and the error of that."""
    found = np.full((2, mean.shape[1]), np.nan)
    for j, (m, s) in enumerate(zip(mean.T, error.T, strict=True)):
        rises = np.flatnonzero((m[:-1] < 0) & (m[1:] >= 0) & np.isfinite(m[:-1]))
        if rises.size:
            i = rises[0]
            width, rise = gains[i + 1] - gains[i], m[i + 1] - m[i]
            weights = np.array([m[i + 1], -m[i]]) * width / rise**2
            found[:, j] = gains[i] - m[i] * width / rise, np.hypot(*(weights * s[i : i + 2]))
    return found[0], found[1]


def _dataset(grid: _Grid, exponent, horizon, predicted, settings, key) -> "xr.Dataset":
    mean, seeds = exponent.mean(axis=2), exponent.shape[2]
    error = np.full(mean.shape, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        if seeds > 1:
            error = exponent.std(axis=2, ddof=1) / np.sqrt(seeds)
        z = (mean - predicted["exponent"]) / error
    crossing, crossing_error = zero_crossing(grid.gains, mean, error)
    rate, steps, one = "nats per step", "steps", "1"
    point, line = ("gain", grid.axis), (grid.axis,)
    every = (*point, "seed")
    variables = [
        ("exponent", every, exponent, "measured exponent", rate),
        ("standard_error", point, error, "standard error of the mean exponent", rate),
        ("predicted_exponent", point, predicted["exponent"], "predicted exponent", rate),
        ("z", point, z, "measured minus predicted, in standard errors", one),
        ("horizon", every, horizon, "measured steps to 1e-3", steps),
        ("predicted_horizon", point, predicted["horizon"], "predicted steps to 1e-3", steps),
        ("critical_gain", line, predicted["critical_gain"], "predicted critical gain", one),
        ("measured_critical_gain", line, crossing, "gain of measured exponent 0", one),
        ("critical_gain_error", line, crossing_error, "standard error of that gain", one),
    ]
    of = "the input to each unit" if grid.axis == "input_variance" else "the biases"
    coords = [
        ("gain", grid.gains, "gain of the recurrent weights", one),
        (grid.axis, grid.values, f"variance of {of}", one),
    ]
    return grid_dataset(variables, coords, seeds, settings, key)
