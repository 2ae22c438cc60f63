"""Over how many steps networks of each gain learn to remember, beside predicted time scales."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from .._types import Key
from ..theory import (
    critical_gain,
    mean_field_correlation,
    mean_field_exponent,
    mean_field_variance,
)
from ..theory._mean_field import check_weights
from ..theory._slopes import Activation
from ..training._settings import check_counts
from ._gain_grid import attributes, cell_keys, checked_axis, in_chunks, rank_correlation
from ._recall import Setting, Sizes, recall_scores

if TYPE_CHECKING:
    import xarray as xr

# One object: another one each time would mean another compilation.
_ADAM = optax.adam(1e-4)


def trainability_map(
    *,
    gains: Sequence[float | int] | np.ndarray,
    lags: Sequence[float | int] | np.ndarray,
    input_variance: float | int = 0.01,
    activation: Activation = "tanh",
    weights: str = "gaussian",
    hidden_size: int = 64,
    symbols: int = 4,
    updates: int = 300,
    batch_size: int = 16,
    optimizer: optax.GradientTransformation | None = None,
    num_test: int = 500,
    seeds: int = 3,
    progress: bool = True,
    key: Key,
) -> "xr.Dataset":
    r"""Return how well trained networks recall a symbol after T steps, over (gain, T).

    The experiment of mean-field theory (Schoenholz et al. 2017 with depth for time; Chen et al.
    2018). A network of gain g, in the state where noise has left it, gets one of K symbols, a
    pattern of variance 1 over its units, then T steps of noise of variance s^2 at each unit; from
    its last state a linear readout tells which symbol it was. Recurrent weights, biases and readout
    are trained by equally many updates of the same optimizer at every point, and all networks are
    drawn anew. Sequences are fresh in each batch.

    Beside it stand two time scales of the untrained network, both after which something has changed
    by a factor e: `gradient_time`, $1/|\lambda_1|$, for the norm of a gradient
    (`theory.mean_field_exponent`), infinite on the critical line; and `signal_time`, for the
    symbol's mark on the mean state, which independent noise leaves: twice the decay time of
    `theory.mean_field_correlation` with inputs of correlation 0. That one is finite on the critical
    line too, for what noise has overwritten no gradient brings back. Theory explains the map if the
    boundary, where the accuracy is halfway between chance and 1, is a multiple of a time scale. The
    multiple itself it does not give: it is that of so many updates.

    `vj.train` is not used: it compiles for each gain and each length. Here one program trains the
    whole map.

    **Arguments:**

    - `gains`: g, above 0 and increasing.
    - `lags`: T, whole numbers of at least 1, increasing.
    - `input_variance`: s^2 of the noise (0.01, for which the critical gain of tanh is 1.19).
    - `activation`, `weights`: as in `vj.phase_diagram`.
    - `hidden_size`, `symbols`: n (64), K (4).
    - `updates`, `batch_size`: of training (300 updates of 16 sequences).
    - `optimizer`: Optax's; None is Adam with a learning rate of 1e-4. At 1e-3, 300 updates may move
      a weight by 0.3, twice the deviation of the initial ones, which then decide little.
    - `num_test`: fresh sequences that the accuracy is measured on (500).
    - `seeds`: networks at each point (3).
    - `progress`: show a bar over all networks.
    - `key`: the only source of randomness.

    **Returns:** an `xarray.Dataset` with dimensions gain, lag, seed:

    - `accuracy`, `loss` (gain, lag, seed): on the test sequences, NaN where training met one.
    - `boundary` (gain): the lag at which the mean accuracy first falls halfway to chance, between
      two lags on a logarithmic scale; 0 below all lags, `inf` beyond them.
    - `gradient_time`, `signal_time` (gain): predicted, in steps.

    Attributes `gradient_rank_correlation` and `signal_rank_correlation` are Spearman's, of boundary
    and time scale over the gains; `gradient_multiple` and `signal_multiple` the median ratios,
    where both are finite; `critical_gain` is the predicted one.

    **Raises:** `ValueError` for an axis that is empty, not finite or not increasing, and for a
    number out of range; `TypeError` for lags that are not whole numbers.

    **Cost:** one compilation, then updates x T steps per network: 50 microseconds each at n = 64,
    16 sequences, one core.

    **Validity:** the time scales are those before training and for wide networks. Training changes
    the weights; the boundary is that of this many updates.

    **Example:** not run here, for it takes minutes:

    ```python
    found = vj.trainability_map(
        gains=[0.6, 0.8, 1.0, 1.2, 1.5, 2.0], lags=[2, 4, 8, 16, 32, 64], key=jax.random.key(0)
    )
    vj.plots.plot_trainability(found)
    ```

    ??? cite "Reference"

        ```bibtex
        @inproceedings{chen2018dynamical,
          author    = {Chen, Minmin and Pennington, Jeffrey and Schoenholz, Samuel S.},
          title     = {Dynamical isometry and a mean field theory of {RNN}s: gating enables signal
                       propagation in recurrent neural networks},
          booktitle = {International Conference on Machine Learning},
          year      = {2018},
        }
        ```
    """
    check_counts(
        hidden_size=hidden_size, updates=updates, batch_size=batch_size, num_test=num_test,
        seeds=seeds,
    )  # fmt: skip
    if symbols < 2:
        raise ValueError(f"expected `symbols` of at least 2; got {symbols}.")
    g, T = checked_axis("gains", gains, above=0.0), _whole_lags(lags)
    (variance,) = checked_axis("input_variance", [input_variance])
    sizes = Sizes(
        activation, check_weights(weights), hidden_size, int(T[-1]), symbols, batch_size, updates,
        num_test,
    )  # fmt: skip
    network = {"activation": activation, "input_variance": float(variance)}
    predicted = _predicted(g, network)
    scores = _measured(sizes, optimizer or _ADAM, g, T, network, seeds, progress, key)
    settings = {name: value for name, value in sizes._asdict().items() if name != "longest"}
    settings["activation"] = activation if isinstance(activation, str) else activation.__name__
    settings["input_variance"] = float(variance)
    with jax.enable_x64(True):
        settings["critical_gain"] = float(critical_gain(**network))
    settings["optimizer"] = "adam, learning rate 1e-4" if optimizer is None else "given"
    return _dataset(g, T, scores, predicted, attributes(settings, key) | settings)


def _whole_lags(lags: Any) -> np.ndarray:
    axis = checked_axis("lags", lags, above=0.0)
    if (axis != np.rint(axis)).any():
        raise TypeError(f"expected whole numbers of steps in `lags`; got {list(axis)}.")
    return axis.astype(int)


def _predicted(gains: np.ndarray, network: dict[str, Any]) -> dict[str, np.ndarray]:
    rates, signals = [], []
    for gain in gains.tolist():
        rates.append(mean_field_exponent(gain=gain, **network))
        apart = mean_field_correlation(gain=gain, **network, input_correlation=0.0)
        signals.append(2 * apart.decay_time)
    with np.errstate(divide="ignore"):
        return {"gradient_time": 1 / np.abs(rates), "signal_time": np.array(signals)}


def _measured(sizes: Sizes, optimizer, gains, lags, network, seeds: int, progress: bool, key: Key):
    """Return accuracy and loss of every network, of shape (gain, lag, seed)."""
    from tqdm import tqdm

    shape = (len(gains), len(lags), seeds)
    with jax.enable_x64(True):  # where the exponents have compiled it
        rest = [float(mean_field_variance(gain=gain, **network)) for gain in gains.tolist()]
    rest = np.sqrt(np.where(np.isfinite(rest), rest, 0.0))  # states without bound start from 0
    dtype = jnp.result_type(float)
    grids = [np.broadcast_to(x[:, None, None], shape) for x in (gains, rest)]
    gain, deviation = (jnp.asarray(np.ravel(x), dtype) for x in grids)
    lag = jnp.asarray(np.ravel(np.broadcast_to(lags[:, None], shape)), jnp.int32)
    noise = jnp.full(gain.shape, math.sqrt(network["input_variance"]), dtype)
    keys, total = cell_keys(key, shape), math.prod(shape)

    def compute(indices):
        setting = Setting(*(x[indices] for x in (gain, lag, noise, deviation)))
        return recall_scores(sizes, optimizer, setting, keys[indices])

    size = len(lags) if jax.default_backend() == "cpu" else total
    with tqdm(total=total, disable=not progress, unit=" networks") as bar:
        accuracy, loss = in_chunks(total, size, bar, compute)
    accuracy = np.where(np.isfinite(loss), accuracy, np.nan)
    return accuracy.reshape(shape), loss.reshape(shape)


def boundary(lags: np.ndarray, accuracy: np.ndarray, level: float) -> np.ndarray:
    """Return the lag at which each row of accuracies first falls below a level; NaN is below."""
    found = []
    for row in np.where(np.isnan(accuracy), 0.0, accuracy):
        below = row < level
        if not below.any() or below[0]:
            found.append(0.0 if below[0] else np.inf)
            continue
        i = int(np.argmax(below))
        share = (row[i - 1] - level) / (row[i - 1] - row[i])
        found.append(float(lags[i - 1] * (lags[i] / lags[i - 1]) ** share))
    return np.array(found)


def _dataset(gains, lags, scores, predicted, attrs) -> "xr.Dataset":
    import xarray as xr

    accuracy, loss = scores
    level = (1 + 1 / attrs["symbols"]) / 2
    edge = boundary(lags, accuracy.mean(axis=2), level)
    for name in ("gradient", "signal"):
        scale = predicted[f"{name}_time"]
        attrs[f"{name}_rank_correlation"] = rank_correlation(edge, scale)
        known = np.isfinite(edge) & np.isfinite(scale) & (edge > 0)
        ratio = np.median(edge[known] / scale[known]) if known.any() else np.nan
        attrs[f"{name}_multiple"] = float(ratio)
    steps, all_dims = {"units": "steps"}, ("gain", "lag", "seed")
    data: dict[str, Any] = {
        "accuracy": (all_dims, accuracy, {"long_name": "test accuracy", "units": "1"}),
        "loss": (all_dims, loss, {"long_name": "test cross-entropy", "units": "nats"}),
        "boundary": ("gain", edge, {"long_name": "lag of halfway accuracy", **steps}),
        **{
            f"{name}_time": (
                "gain", predicted[f"{name}_time"],
                {"long_name": f"predicted time scale of the {name}", **steps},
            )
            for name in ("gradient", "signal")
        },
    }  # fmt: skip
    coords: dict[str, Any] = {
        "gain": ("gain", gains, {"long_name": "gain of the recurrent weights", "units": "1"}),
        "lag": ("lag", lags, {"long_name": "steps between symbol and recall", **steps}),
        "seed": np.arange(accuracy.shape[2]),
    }
    return xr.Dataset(data, coords, attrs)
