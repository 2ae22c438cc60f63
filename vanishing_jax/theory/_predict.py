"""The theory that fits a network, applied to it and to its inputs."""

import math
from typing import Any, NamedTuple

import equinox as eqx
import numpy as np

from ..cells import LayerNormCell, LeakyCell, ResidualCell, VanillaCell, as_cell
from ._correlated_skip import correlated_skip_exponent
from ._driven_mean_field import driven_mean_field, quantiles, slope_squares
from ._free_spectrum import free_log_growth
from ._memory_horizon import memory_horizon
from ._normalized_exponents import layer_norm_exponent
from ._plain_step import host_activation
from ._prediction import Assumption, Prediction
from ._redrawn import (
    LayerNorm,
    PlainNetwork,
    backward_rates,
    draw_weights,
    num_draws,
    slope_correlations,
)
from ._weight_law import WeightLaw, weight_law

# Sequences that are followed, and draws of W: enough for a scatter that is known to an eighth.
_SEQUENCES, _DRAWS = 4, 32

# Fewer units than this and theories of wide networks say little; longest lag of slopes.
_WIDE, _LAGS = 20, 60

# Steps whose slopes make the predicted spectrum.
_SPECTRUM_STEPS = 12


class _Theory(NamedTuple):
    name: str
    top: float
    exponents: np.ndarray | None = None


def predict(
    cell: Any,
    inputs: Any,
    *,
    state0: Any = None,
    num_steps: int = 100,
    num_sequences: int | None = None,
) -> Prediction:
    r"""Return what theory predicts for gradients in a network with random weights on its inputs.

    For plain cells it is mean-field theory along the given inputs (`driven_mean_field`): only W is
    taken as random, with the gain that it has; its other weights, biases and the inputs enter as
    they are. Leaky and residual plain cells: `correlated_skip_exponent` of the slopes measured in a
    run. Layer-normalized plain cells: `layer_norm_exponent`, which takes inputs as white. As n
    grows the top exponent is exact; what networks *of this size* do on these inputs is found by
    drawing other W of the same law, Gaussian or orthogonal, and carrying a gradient back through
    each: mean and standard deviation, from which `Prediction.z_score` makes a score of a measured
    rate. `diagnose` prints it beside its rate.

    No prediction is made, and the reason given, where W does not look like a random matrix
    (`weight_law`: trained, structured, a multiple of the identity) or no theory is here for the
    cell.

    **Arguments:**

    - `cell`: anything `as_cell` takes.
    - `inputs`: (time, input) or (batch, time, input), or a number: the variance of inputs that are
      white in time and across components, drawn for `num_steps` steps.
    - `state0`: (n,), initial state; 0 by default.
    - `num_steps`: of drawn inputs.
    - `num_sequences`: over how many sequences the measured rate is averaged, if not those given.

    **Returns:** a `Prediction`.

    **Raises:** `TypeError` for no cell; `ValueError` for inputs of another shape.

    **Cost:** 32 networks on at most 4 of the sequences, on the host: 0.1 s at n = 64, T = 100;
    fewer, or no band, where that would take more than some seconds.

    **Validity:** for weights as drawn. Scores of 16 random networks of each kind have mean 0 and
    deviation 1 to within a half (`tests/theory/test_predict.py`).

    **Example:**

    >>> import jax, vanishing_jax as vj
    >>> cell = vj.cells.VanillaCell(4, 40, key=jax.random.key(0))
    >>> prediction = vj.theory.predict(cell, 1.0)
    >>> prediction.weights.name, prediction.top_exponent < 0, prediction.failed
    ('gaussian', True, ())
    """
    cell = as_cell(cell)
    plain, keep, scale = _plain(cell)
    if plain is None:
        return _none(f"there is none here for {_described(cell)}")
    law = weight_law(np.asarray(plain.weight_hh))
    if law.name in ("structured", "identity"):
        what = "a multiple of the identity" if law.name == "identity" else law.reason
        return _none(f"the recurrent weights do not look random ({what})", law, plain.hidden_size)
    x = _sequences(inputs, plain.input_size, num_steps)
    network = _network(plain, x, state0, keep, scale)
    if isinstance(cell, LayerNormCell):
        network = _with_norm(cell, plain, x, network)
    rng = np.random.default_rng(0)
    with np.errstate(all="ignore"):
        theory = _theory(cell, plain, network, law)
        rates = _redrawn(network, law, rng)
    if not math.isfinite(theory.top):
        return _none("the states overflow or no gradient is left", law, plain.hidden_size)
    count = network.drives.shape[0] if num_sequences is None else num_sequences
    mean, deviation = _mean_and_scatter(rates, count)
    return Prediction(
        theory=theory.name,
        reason="",
        top_exponent=theory.top,
        exponents=theory.exponents,
        horizon=memory_horizon(theory.top),
        expected_rate=mean,
        standard_deviation=deviation,
        num_draws=len(rates),
        num_units=plain.hidden_size,
        num_steps=network.drives.shape[1],
        weights=law,
        assumptions=_assumptions(law, plain.hidden_size, network),
    )


def can_predict(cell: Any) -> bool:
    """Return whether `predict` knows a theory for this kind of cell, whatever its weights.

    **Arguments:**

    - `cell`: anything `as_cell` takes.

    **Returns:** True for plain cells, bare, leaky, residual or layer-normalized.

    **Example:**

    >>> import jax, vanishing_jax as vj
    >>> vj.theory.can_predict(vj.cells.GRUCell(1, 2, key=jax.random.key(0)))
    False
    """
    return _plain(as_cell(cell))[0] is not None


def _plain(cell) -> tuple[VanillaCell | None, float, float]:
    """Return the plain cell inside, and k and a of h' = k h + a phi(...)."""
    if isinstance(cell, VanillaCell):
        return cell, 0.0, 1.0
    if isinstance(cell, LeakyCell) and isinstance(cell.cell, VanillaCell):
        return cell.cell, 1 - cell.rate, cell.rate
    if isinstance(cell, LayerNormCell) and isinstance(cell.cell, VanillaCell):
        return cell.cell, 0.0, 1.0
    if isinstance(cell, ResidualCell) and isinstance(cell.cell, VanillaCell):
        return cell.cell, 1.0, cell.scale
    return None, 0.0, 1.0


def _described(cell) -> str:
    inside = getattr(cell, "cell", None)
    name = type(cell).__name__
    return name if not isinstance(inside, eqx.Module) else f"{name} of {type(inside).__name__}"


def _sequences(inputs, size: int, num_steps: int) -> np.ndarray:
    """Return up to four sequences (batch, time, input) in float64."""
    if np.ndim(inputs) == 0:
        rng = np.random.default_rng(1)
        return np.sqrt(float(inputs)) * rng.normal(size=(_SEQUENCES, num_steps, size))
    x = np.asarray(inputs, np.float64)
    x = x[None] if x.ndim == 2 else x
    if x.ndim != 3 or x.shape[2] != size or 0 in x.shape[:2]:
        raise ValueError(
            f"expected inputs (time, {size}) or (batch, time, {size}), or the variance of white "
            f"inputs; got shape {np.shape(inputs)}."
        )
    return x[:_SEQUENCES]


def _network(cell: VanillaCell, x, state0, keep: float, scale: float) -> PlainNetwork:
    drives = x @ np.asarray(cell.weight_xh, np.float64).T
    if cell.bias is not None:
        drives = drives + np.asarray(cell.bias, np.float64)
    h = np.zeros(cell.hidden_size) if state0 is None else np.asarray(state0, np.float64)
    states = np.broadcast_to(h, (len(x), cell.hidden_size))
    return PlainNetwork(drives, states, host_activation(cell.activation), keep, scale)


def _with_norm(cell: LayerNormCell, plain: VanillaCell, x, network: PlainNetwork) -> PlainNetwork:
    """Return the network whose W h or U x layer normalization normalizes before b is added."""
    Ux = x @ np.asarray(plain.weight_xh, np.float64).T
    b = 0.0 if plain.bias is None else np.asarray(plain.bias, np.float64)
    if cell.placement == "joint":
        norm = LayerNorm(Ux, _gains(cell, "sum"), cell.epsilon)
        return network._replace(drives=np.zeros_like(Ux) + b, norm=norm)
    x_hat = Ux - Ux.mean(axis=-1, keepdims=True)
    x_hat = x_hat / np.sqrt(np.mean(x_hat**2, axis=-1, keepdims=True) + cell.epsilon)
    network = network._replace(drives=_gains(cell, "input") * x_hat + b)
    if cell.placement == "input":
        return network  # a plain one, of other inputs
    norm = LayerNorm(np.zeros_like(Ux), _gains(cell, "recurrent"), cell.epsilon)
    return network._replace(norm=norm)


def _gains(cell: LayerNormCell, site: str) -> np.ndarray:
    return np.asarray(cell.norms[site].weight, np.float64)


def _normalized_theory(cell: LayerNormCell, plain: VanillaCell, network, law, kind) -> _Theory:
    def rms(values) -> float:
        return float(np.sqrt(np.mean(np.square(values))))

    joint = cell.placement == "joint"
    b = 0.0 if plain.bias is None else np.asarray(plain.bias, np.float64)
    top = layer_norm_exponent(
        activation=host_activation(plain.activation).name or plain.activation,
        placement=cell.placement,
        gain=rms(_gains(cell, "sum" if joint else "recurrent")),
        input_gain=None if joint else rms(_gains(cell, "input")),
        weight_gain=law.gain,
        input_variance=rms(network.norm.inside) ** 2,
        bias_variance=rms(b) ** 2,
    )
    name = f"mean-field theory of {cell.placement} layer normalization"
    return _Theory(f"{name}, {kind} weights of gain {law.gain:.3g}", top)


def _theory(cell, plain: VanillaCell, network: PlainNetwork, law: WeightLaw) -> _Theory:
    kind = {"gaussian": "Gaussian", "orthogonal": "orthogonal"}[law.name]
    if network.norm is not None:
        return _normalized_theory(cell, plain, network, law, kind)
    if network.keep:
        lags = max(1, min(_LAGS, network.drives.shape[1] // 2))
        W = np.asarray(plain.weight_hh, np.float64)
        correlations = slope_correlations(network, W, lags)
        step = abs(network.scale) * law.gain
        top = correlated_skip_exponent(correlations, keep=network.keep, gain=step)
        name = "two-time mean-field theory from measured slopes"
        return _Theory(f"{name}, {kind} weights of gain {law.gain:.3g}", top)
    paths = [
        driven_mean_field(
            drive,
            activation=plain.activation,
            gain=law.gain,
            state_square=float(np.mean(h**2)),
        )
        for drive, h in zip(network.drives, network.states, strict=True)
    ]
    name = f"mean-field theory along the inputs, {kind} weights of gain {law.gain:.3g}"
    top = float(np.mean([path.log_growth for path in paths]))
    return _Theory(name, top, _exponents(network, paths[0].recurrent_variance, law))


def _exponents(network: PlainNetwork, variance, law: WeightLaw) -> np.ndarray:
    """Return all exponents along the first sequence, from a few of its steps."""
    drive, n = quantiles(network.drives[0]), network.states.shape[1]
    steps = np.unique(np.linspace(0, len(drive) - 1, _SPECTRUM_STEPS).astype(int))
    growth = [
        free_log_growth(
            *slope_squares(network.activation, variance[t], drive[t]),
            n,
            gain=law.gain,
            orthogonal=law.name == "orthogonal",
        )
        for t in steps
    ]
    return np.mean(growth, axis=0)


def _redrawn(network: PlainNetwork, law: WeightLaw, rng) -> np.ndarray:
    """Return the rates (draws, sequences) of networks with other weights of the same law."""
    n, count = network.states.shape[1], num_draws(network, _DRAWS)
    if count == 0:
        return np.zeros((0, 1))
    return backward_rates(network, draw_weights(law.name, law.gain, n, count, rng), rng)


def _mean_and_scatter(rates: np.ndarray, num_sequences: int) -> tuple[float, float]:
    """Return the mean rate and the deviation of a mean over `num_sequences` with one W."""
    if len(rates) == 0 or not np.isfinite(rates).all():
        return math.nan, math.nan
    total = float(np.var(rates.mean(axis=1), ddof=1))
    if rates.shape[1] == 1:
        return float(rates.mean()), math.sqrt(total)
    within = float(np.mean(np.var(rates, axis=1, ddof=1)))
    between = max(total - within / rates.shape[1], 0.0)
    return float(rates.mean()), math.sqrt(between + within / num_sequences)


def _assumptions(law: WeightLaw, n: int, network: PlainNetwork) -> tuple[Assumption, ...]:
    worst = max(law.scores.items(), key=lambda item: abs(item[1]))
    found = [
        Assumption(
            "the recurrent weights are random",
            True,
            f"{law.name}, gain {law.gain:.3g}; {worst[0]} off by {abs(worst[1]):.1f} sd",
        ),
        Assumption("the network is wide", n >= _WIDE, f"n = {n}"),
    ]
    if network.keep and law.name == "orthogonal":
        detail = "orthogonal weights are treated like Gaussian ones of their gain"
        found.append(Assumption("weights with a skip are Gaussian", False, detail))
    return tuple(found)


def _none(reason: str, law: WeightLaw | None = None, n: int = 0) -> Prediction:
    nan = math.nan
    found = []
    if law is not None:
        found.append(Assumption("the recurrent weights are random", False, law.reason or law.name))
    return Prediction(None, reason, nan, None, nan, nan, nan, 0, n, 0, law, tuple(found))
