"""Over how many steps networks of each gain learn to remember, beside predicted time scales."""

import functools as ft
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from jax import lax

from .._types import Array, Key, PyTree
from ..theory import (
    critical_gain,
    mean_field_correlation,
    mean_field_exponent,
    mean_field_variance,
)
from ..theory._slopes import Activation, slopes
from ..training._settings import check_counts
from ._gain_grid import checked_axis, each, grid_dataset, name_of, over_grid, unit_matrix

if TYPE_CHECKING:
    import xarray as xr

_SYMBOLS = 4

# At 1e-3, 300 updates may move a weight by 0.3, twice the deviation of the initial ones, which then
# decide little.
_OPTIMIZER = optax.adam(1e-4)

_BLOCK = 8  # steps that are made or skipped together


def trainability_map(
    *,
    gains: Sequence[float | int] | np.ndarray,
    lags: Sequence[float | int] | np.ndarray,
    input_variance: float | int = 0.01,
    activation: Activation = "tanh",
    hidden_size: int = 64,
    num_updates: int = 300,
    batch_size: int = 16,
    num_test: int = 500,
    seeds: int = 3,
    progress: bool = True,
    key: Key,
) -> "xr.Dataset":
    r"""Return how well trained networks recall a symbol after T steps, over (gain, T).

    The experiment of mean-field theory (Schoenholz et al. 2017 with depth for time; Chen et al.
    2018). A network of gain g, in the state where noise has left it, gets one of 4 symbols, a
    pattern of variance 1 over its units, then T steps of noise of variance s^2 at each unit; from
    its last state a linear readout tells which symbol it was. Recurrent weights, biases and readout
    are trained by equally many updates of Adam at 1e-4 at every point, and all networks are
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
    - `activation`: as in `vj.phase_diagram`.
    - `hidden_size`: n (64).
    - `num_updates`, `batch_size`: of training (300 updates of 16 sequences).
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

    **Cost:** one compilation, then num_updates x T steps per network: 50 microseconds each at
    n = 64, 16 sequences, one core.

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
        hidden_size=hidden_size, num_updates=num_updates, batch_size=batch_size,
        num_test=num_test, seeds=seeds,
    )  # fmt: skip
    g, T = checked_axis("gains", gains, above=0.0), _whole_lags(lags)
    (variance,) = checked_axis("input_variance", [input_variance])
    sizes = Sizes(activation, hidden_size, int(T[-1]), batch_size, num_updates, num_test)
    network = {"activation": activation, "input_variance": float(variance)}
    predicted = _predicted(g, network)
    accuracy, loss = _measured(sizes, g, T, network, seeds, progress, key)
    settings = {
        "activation": name_of(activation),
        "weights": "gaussian",
        "hidden_size": hidden_size,
        "symbols": _SYMBOLS,
        "batch_size": batch_size,
        "updates": num_updates,
        "num_test": num_test,
        "input_variance": float(variance),
        "optimizer": "adam, learning rate 1e-4",
    }
    with jax.enable_x64(True):
        settings["critical_gain"] = float(critical_gain(**network))
    return _dataset(g, T, accuracy, loss, predicted, settings, key)


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


# --- one network ------------------------------------------------------------------------------


class Sizes(NamedTuple):
    """What the experiment is compiled for."""

    activation: Activation
    hidden_size: int
    longest: int  # lag
    batch_size: int
    num_updates: int
    num_test: int


class Setting(NamedTuple):
    """Numbers of one network: another value compiles nothing."""

    gain: Array
    lag: Array
    input_deviation: Array
    resting_deviation: Array  # of pre-activations, from which sequences start


def _measured(
    sizes: Sizes, gains, lags, network, seeds: int, progress: bool, key: Key
) -> tuple[np.ndarray, np.ndarray]:
    """Return accuracy and loss of every network, of shape (gain, lag, seed)."""
    dtype = jnp.result_type(float)
    with jax.enable_x64(True):  # where the exponents have compiled it
        rest = [float(mean_field_variance(gain=gain, **network)) for gain in gains.tolist()]
    rest = np.sqrt(np.where(np.isfinite(rest), rest, 0.0))  # states without bound start from 0
    axes = (
        {"gain": gains.astype(dtype), "resting_deviation": rest.astype(dtype)},
        {"lag": lags.astype(np.int32)},
    )
    noise = jnp.full((), np.sqrt(network["input_variance"]), dtype)

    def compute(numbers, keys):
        noises = jnp.broadcast_to(noise, keys.shape)
        return recall_scores(sizes, Setting(input_deviation=noises, **numbers), keys)

    chunk = len(lags) * (1 if jax.default_backend() == "cpu" else len(gains) * seeds)
    accuracy, loss = over_grid(compute, axes, seeds, chunk=chunk, progress=progress, key=key)
    return np.where(np.isfinite(loss), accuracy, np.nan), loss


@ft.partial(jax.jit, static_argnums=0)
def recall_scores(sizes: Sizes, settings: Setting, keys: Key) -> tuple[Array, Array]:
    """Return test accuracy and loss of one trained network per setting and key."""
    return each(ft.partial(_trained_scores, sizes), settings, keys)


def _trained_scores(sizes: Sizes, setting: Setting, key: Key):
    key_model, key_data, key_test = jr.split(key, 3)
    params, symbols = _initial(sizes, setting.gain, key_model)

    def loss_of(params, key):
        return scores(params, symbols, sizes, setting, num=sizes.batch_size, key=key)[0]

    def update(carry, key):
        params, state = carry
        gradient = jax.grad(loss_of)(params, key)
        # Optax computes decay**count, float and int, which strict promotion refuses.
        with jax.numpy_dtype_promotion("standard"):
            changes, state = _OPTIMIZER.update(gradient, state, params)
        return (optax.apply_updates(params, changes), state), None

    keys = jr.split(key_data, sizes.num_updates)
    (params, _), _ = lax.scan(update, (params, _OPTIMIZER.init(params)), keys)
    loss, accuracy = scores(params, symbols, sizes, setting, num=sizes.num_test, key=key_test)
    return accuracy, loss


def _initial(sizes: Sizes, gain: Array, key: Key) -> tuple[dict[str, Array], Array]:
    """Return what is trained, and what each unit gets of each symbol, which is not."""
    key_W, key_V, key_symbols = jr.split(key, 3)
    n, K = sizes.hidden_size, _SYMBOLS
    params = {
        "W": gain * unit_matrix(n, key=key_W),
        "b": jnp.zeros(n),
        "V": jr.normal(key_V, (K, n)) / np.sqrt(n),
        "c": jnp.zeros(K),
    }
    return params, jr.normal(key_symbols, (K, n))


def scores(
    params: PyTree, symbols: Array, sizes: Sizes, setting: Setting, *, num: int, key: Key
) -> tuple[Array, Array]:
    """Return loss and accuracy on `num` fresh sequences."""
    key_label, key_start, key_noise = jr.split(key, 3)
    label = jr.randint(key_label, (num,), 0, _SYMBOLS)
    start = setting.resting_deviation * jr.normal(key_start, (num, sizes.hidden_size))
    phi = slopes(sizes.activation).value

    def step(a, t):
        noise = setting.input_deviation * jr.normal(jr.fold_in(key_noise, t), a.shape)
        new = phi(a) @ params["W"].T + params["b"][None] + noise
        return jnp.where(t < setting.lag, new, a), None

    def block_or_nothing(a, times):
        # The lag is traced, so that one program serves all lags. One network at a time, as on a
        # CPU, a block beyond its lag is skipped; to skip single steps would cost as much as them.
        made = times[0] < setting.lag
        return lax.cond(made, lambda a: lax.scan(step, a, times)[0], lambda a: a, a), None

    # The symbol comes at a step of its own, upon the noise of that step.
    first = phi(start) @ params["W"].T + params["b"][None] + symbols[label]
    num_blocks = -(-sizes.longest // _BLOCK)
    times = jnp.arange(num_blocks * _BLOCK, dtype=jnp.int32).reshape(num_blocks, _BLOCK)
    last, _ = lax.scan(block_or_nothing, first, times)
    logits = phi(last) @ params["V"].T + params["c"][None]
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, label).mean()
    accuracy = (logits.argmax(axis=1) == label).mean()
    return loss, accuracy.astype(loss.dtype)


# --- the result -------------------------------------------------------------------------------


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


def rank_correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Return Spearman's rank correlation; infinities have ranks, ties their mean rank."""
    from scipy.stats import rankdata  # its import changes warning filters

    ranks = rankdata(np.stack([x, y]), axis=1)
    if (np.ptp(ranks, axis=1) == 0).any():
        return float("nan")
    return float(np.corrcoef(ranks)[0, 1])


def _dataset(gains, lags, accuracy, loss, predicted, settings, key) -> "xr.Dataset":
    level = (1 + 1 / settings["symbols"]) / 2
    edge = boundary(lags, accuracy.mean(axis=2), level)
    found = {}
    for name in ("gradient", "signal"):
        scale = predicted[f"{name}_time"]
        found[f"{name}_rank_correlation"] = rank_correlation(edge, scale)
        known = np.isfinite(edge) & np.isfinite(scale) & (edge > 0)
        ratio = np.median(edge[known] / scale[known]) if known.any() else np.nan
        found[f"{name}_multiple"] = float(ratio)
    every = ("gain", "lag", "seed")
    variables = [
        ("accuracy", every, accuracy, "test accuracy", "1"),
        ("loss", every, loss, "test cross-entropy", "nats"),
        ("boundary", ("gain",), edge, "lag of halfway accuracy", "steps"),
        *(
            (f"{name}_time", ("gain",), predicted[f"{name}_time"],
             f"predicted time scale of the {name}", "steps")
            for name in ("gradient", "signal")
        ),
    ]  # fmt: skip
    coords = [
        ("gain", gains, "gain of the recurrent weights", "1"),
        ("lag", lags, "steps between symbol and recall", "steps"),
    ]
    return grid_dataset(variables, coords, accuracy.shape[2], settings, key, **found)
