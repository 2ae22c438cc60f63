"""The theory that fits a network, applied to it and to its inputs."""

import dataclasses
import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...cells import (
    BatchNormCell,
    EquinoxCell,
    LayerNormCell,
    LeakyCell,
    ResidualCell,
    VanillaCell,
    as_cell,
)
from .._slopes import host_activation
from .._small_gradients import memory_horizon
from ..mean_field._driven import driven_mean_field, quantiles, slope_squares
from ..mean_field._leaky import correlated_skip_exponent
from ..mean_field._spectrum import free_log_growth
from ..random_matrices._weight_law import WeightLaw, weight_law
from ._normalized_network import NormalizedNetwork, normalized
from ._prediction import Assumption, Prediction
from ._redrawn import PlainNetwork, mean_and_scatter, redrawn, slope_correlations

# Sequences that are followed, and those of a batch over which batch normalization is redrawn.
SEQUENCES, _BATCH = 4, 32

# Fewer units than this and theories of wide networks say little; longest lag of slopes.
_WIDE, _LAGS = 20, 60

# Steps whose slopes make the predicted spectrum.
_SPECTRUM_STEPS = 12


class Theory(NamedTuple):
    """A theory by name, with what it says."""

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
    run. Layer-normalized plain cells: `layer_norm_exponent`, which takes inputs as white;
    batch-normalized ones: `batch_norm_exponent` (of U x alone: an ordinary network). As n
    grows the top exponent is exact; what networks *of this size* do on these inputs is found by
    drawing other W of the same law, Gaussian or orthogonal, and carrying a gradient back through
    each: mean and standard deviation, from which `Prediction.z_score` makes a score of a measured
    rate. `diagnose` prints it beside its rate.

    No prediction is made, and the reason given, where W does not look like a random matrix
    (`weight_law`: trained, structured, a multiple of the identity), where the statistics of batch
    normalization are not those of the cell on these inputs, or no theory is here for the cell: of
    gated cells there is one for one step only. For a recipe instead of a cell:
    `vj.recipes.predict`; for numbers: `predict_plain`.

    **Arguments:**

    - `cell`: anything `as_cell` takes.
    - `inputs`: (time, input) or (batch, time, input), or a number: the variance of inputs that are
      white in time and across components, drawn for `num_steps` steps.
    - `state0`: (n,), initial state; 0 by default. Of a batch-normalized cell: (state, step).
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
        return _none(f"there is none here for {_described(cell)}{_one_step(cell)}")
    law = weight_law(np.asarray(plain.weight_hh))
    if law.name in ("structured", "identity"):
        what = "a multiple of the identity" if law.name == "identity" else law.reason
        return _none(f"the recurrent weights do not look random ({what})", law, plain.hidden_size)
    step, state0 = _step(cell, state0)
    x = _sequences(inputs, plain.input_size, num_steps, _batch(cell))
    found = NormalizedNetwork(_network(plain, x, state0, keep, scale))
    if isinstance(cell, LayerNormCell | BatchNormCell):
        found = normalized(cell, plain, x, found.network, step)
    if isinstance(cell, BatchNormCell) and found.assumptions and not found.assumptions[0].holds:
        return _unfit(found.assumptions[0], law, plain.hidden_size)
    with np.errstate(all="ignore"):
        theory = _theory(plain, found, law)
    if not math.isfinite(theory.top):
        return _none("the states overflow or no gradient is left", law, plain.hidden_size)
    count = len(x) if num_sequences is None else num_sequences
    assumptions = _assumptions(law, plain.hidden_size, found.network) + found.assumptions
    prediction = predicted(theory, found.network, law, count, np.random.default_rng(0))
    return dataclasses.replace(prediction, weights=law, assumptions=assumptions)


def predicted(
    theory: Theory, network: PlainNetwork, law: WeightLaw, num_sequences: int, rng: Any
) -> Prediction:
    """Return what a theory says, and the rates of this network with other W of the law."""
    with np.errstate(all="ignore"):
        rates = redrawn(network, law, rng)
    mean, deviation = mean_and_scatter(rates, num_sequences)
    n = network.states.shape[1]
    return Prediction(
        theory=theory.name,
        top_exponent=theory.top,
        exponents=theory.exponents,
        horizon=memory_horizon(theory.top),
        expected_rate=mean,
        standard_deviation=deviation,
        num_draws=len(rates),
        num_units=n,
        num_steps=network.drives.shape[1],
        assumptions=(_width(n),),
    )


def can_predict(cell: Any) -> bool:
    """Return whether `predict` knows a theory for this kind of cell, whatever its weights."""
    return _plain(as_cell(cell))[0] is not None


def _plain(cell) -> tuple[VanillaCell | None, float, float]:
    """Return the plain cell inside, and k and a of h' = k h + a phi(...)."""
    if isinstance(cell, VanillaCell):
        return cell, 0.0, 1.0
    if isinstance(cell, LeakyCell) and isinstance(cell.cell, VanillaCell):
        return cell.cell, 1 - cell.rate, cell.rate
    if isinstance(cell, LayerNormCell | BatchNormCell) and isinstance(cell.cell, VanillaCell):
        return cell.cell, 0.0, 1.0
    if isinstance(cell, ResidualCell) and isinstance(cell.cell, VanillaCell):
        return cell.cell, 1.0, cell.scale
    return None, 0.0, 1.0


def _described(cell) -> str:
    cell = cell.module if isinstance(cell, EquinoxCell) else cell
    inside = getattr(cell, "cell", None)
    name = type(cell).__name__
    return name if not isinstance(inside, eqx.Module) else f"{name} of {type(inside).__name__}"


# Cells by the name of their class, in any framework -> what is known of one step of them.
_ONE_STEP = {
    **dict.fromkeys(("LSTMCell", "OptimizedLSTMCell"), "lstm_one_step_moments"),
    **dict.fromkeys(("GRUCell", "ResetBeforeGRUCell"), "gru_one_step_moment"),
}


def one_step_function(cell: Any) -> str | None:
    """Return the function that predicts one step of a gated cell, or None."""
    inside = [cell, *(getattr(cell, name, None) for name in ("module", "layer", "definition"))]
    names = (_ONE_STEP.get(type(one).__name__) for one in inside)
    return next(filter(None, names), None)


def _one_step(cell) -> str:
    function = one_step_function(cell)
    return "" if function is None else f"; one step: vj.theory.{function}"


def _step(cell, state0) -> tuple[int, Any]:
    """Return the number of steps done, and the state that W multiplies."""
    if not isinstance(cell, BatchNormCell) or state0 is None:
        return 0, state0
    inner, step = cell.parts(jax.tree.map(jnp.asarray, state0))
    return int(step), inner


def _batch(cell) -> int:
    return _BATCH if isinstance(cell, BatchNormCell) else SEQUENCES


def _sequences(inputs, size: int, num_steps: int, most: int = SEQUENCES) -> np.ndarray:
    """Return the first sequences (batch, time, input), or drawn ones, in float64."""
    if np.ndim(inputs) == 0:
        rng = np.random.default_rng(1)
        return np.sqrt(float(inputs)) * rng.normal(size=(most, num_steps, size))
    x = np.asarray(inputs, np.float64)
    x = x[None] if x.ndim == 2 else x
    if x.ndim != 3 or x.shape[2] != size or 0 in x.shape[:2]:
        raise ValueError(
            f"expected inputs (time, {size}) or (batch, time, {size}), or the variance of white "
            f"inputs; got shape {np.shape(inputs)}."
        )
    return x[:most]


def _network(cell: VanillaCell, x, state0, keep: float, scale: float) -> PlainNetwork:
    drives = x @ np.asarray(cell.weight_xh, np.float64).T
    if cell.bias is not None:
        drives = drives + np.asarray(cell.bias, np.float64)
    h = np.zeros(cell.hidden_size) if state0 is None else np.asarray(state0, np.float64)
    states = np.broadcast_to(h, (len(x), cell.hidden_size))
    return PlainNetwork(drives, states, host_activation(cell.activation), keep, scale)


def _theory(plain: VanillaCell, found: NormalizedNetwork, law: WeightLaw) -> Theory:
    network = found.network
    weights = f"{law.kind} weights of gain {law.gain:.3g}"
    if found.theory is not None:
        return Theory(f"{found.theory}, {weights}", found.top(weight_gain=law.gain))
    if network.keep:
        lags = max(1, min(_LAGS, network.drives.shape[1] // 2))
        W = np.asarray(plain.weight_hh, np.float64)
        correlations = slope_correlations(network, W, lags)
        step = abs(network.scale) * law.gain
        top = correlated_skip_exponent(correlations, keep=network.keep, gain=step)
        return Theory(f"two-time mean-field theory from measured slopes, {weights}", top)
    paths = [
        driven_mean_field(
            drive,
            activation=plain.activation,
            gain=law.gain,
            state_square=float(np.mean(h**2)),
        )
        for drive, h in zip(network.drives, network.states, strict=True)
    ]
    top = float(np.mean([path.log_growth for path in paths]))
    exponents = _exponents(network, paths[0].recurrent_variance, law)
    return Theory(f"mean-field theory along the inputs, {weights}", top, exponents)


def _exponents(network: PlainNetwork, variance, law: WeightLaw) -> np.ndarray:
    """Return all exponents along the first sequence, from a few of its steps."""
    drive, n = quantiles(network.drives[0]), network.states.shape[1]
    steps = np.unique(np.linspace(0, len(drive) - 1, _SPECTRUM_STEPS).astype(int))
    growth = []
    for t in steps:
        squares, weights = slope_squares(network.activation, variance[t], drive[t])
        orthogonal = law.name == "orthogonal"
        growth.append(
            free_log_growth(np.log(squares), weights, n, gain=law.gain, orthogonal=orthogonal)
        )
    return np.mean(growth, axis=0)


def _width(n: int) -> Assumption:
    """Return whether a network is wide enough for theories of wide ones to say anything."""
    return Assumption("the network is wide", n >= _WIDE, f"n = {n}")


def _assumptions(law: WeightLaw, n: int, network: PlainNetwork) -> tuple[Assumption, ...]:
    worst = max(law.scores.items(), key=lambda item: abs(item[1]))
    found = [
        Assumption(
            "the recurrent weights are random",
            True,
            f"{law.name}, gain {law.gain:.3g}; {worst[0]} off by {abs(worst[1]):.1f} sd",
        ),
        _width(n),
    ]
    if network.keep and law.name == "orthogonal":
        detail = "orthogonal weights are treated like Gaussian ones of their gain"
        found.append(Assumption("weights with a skip are Gaussian", False, detail))
    return tuple(found)


def _unfit(fit: Assumption, law: WeightLaw, n: int) -> Prediction:
    reason = (
        "its batch statistics are not those of these inputs: take "
        "vj.cells.estimate_statistics(cell, inputs)"
    )
    return dataclasses.replace(_none(reason, None, n), weights=law, assumptions=(fit,))


def _none(reason: str, law: WeightLaw | None = None, n: int = 0) -> Prediction:
    found = ()
    if law is not None:
        found = (Assumption("the recurrent weights are random", False, law.reason or law.name),)
    return Prediction(None, reason, num_units=n, weights=law, assumptions=found)
