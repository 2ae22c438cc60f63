"""Random networks, and how fast gradients change along them: what most claims are about."""

import functools as ft
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax

from ..._rollout import rollout
from ..._types import Array
from ...cells import (
    BatchNormCell,
    GRUCell,
    LayerNormCell,
    LeakyCell,
    LSTMCell,
    VanillaCell,
    estimate_statistics,
)
from ...diagnostics import gradient_profile
from .._growth import direction_growth

RATE = "rate [nats per step]"

# A gradient that keeps a thousandth over 50 steps: what "preserved" has to mean at least.
PRESERVED = -math.log(1000) / 50


class Settings(NamedTuple):
    """How large the experiments are.

    - `quick`: small sizes, for a first look.
    - `seed`: of all randomness.
    """

    quick: bool = False
    seed: int = 0

    @property
    def units(self) -> int:
        """Units of a network at initialization."""
        return 128 if self.quick else 256

    @property
    def steps(self) -> int:
        """Time steps of a network at initialization."""
        return 160 if self.quick else 320

    @property
    def seeds(self) -> int:
        """Networks of each kind."""
        return 6 if self.quick else 12


FULL = Settings()


class Net(NamedTuple):
    """A kind of random network.

    - `kind`: "tanh", "relu", "sigmoid", "identity", "lstm" or "gru".
    - `gain`: of the recurrent weights, of standard deviation gain / sqrt(n).
    - `noise`: variance of the input of each unit, independent over units and time.
    - `weights`: "gaussian", "orthogonal" or "identity".
    - `norm`: "", "layer" (joint), "layer-separate", "batch".
    - `norm_gain`: gain of the normalization.
    - `bias`: of the gate that keeps.
    - `leak`: rate of leaky units.
    """

    kind: str = "tanh"
    gain: float = 1.0
    noise: float = 1.0
    weights: str = "gaussian"
    norm: str = ""
    norm_gain: float = 1.0
    bias: float = 0.0
    leak: float = 1.0


class Measured(NamedTuple):
    """Of each seed: the profile of the last step's gradient, and the states that it went through.

    - `log_norm` (seed, T+1), `log_contribution` (seed, T): as `GradientProfile`.
    - `states` (seed, T+1, n), `weights` (seed, n, n).
    """

    log_norm: np.ndarray
    log_contribution: np.ndarray
    states: np.ndarray
    weights: np.ndarray

    @property
    def settled(self) -> np.ndarray:
        """The states without the first quarter of the sequence, in which they settle."""
        return self.states[:, self.log_contribution.shape[1] // 4 :]

    @property
    def early_decades(self) -> np.ndarray:
        """The contribution of the first quarter of the steps next to the largest, per seed."""
        logs = self.log_contribution / math.log(10)
        return np.max(logs[:, : logs.shape[1] // 4], axis=1) - np.max(logs, axis=1)


def rate(settings: Settings, net: Net, *, seeds: int | None = None) -> np.ndarray:
    """Return per seed by how much log ||dL/ds_t|| changes per step back in time.

    Over the middle of the sequence: the gradient has aligned itself by then, and the state has
    settled. `seeds`: how many in place of the settings' own.
    """
    return slope(measured(settings, net, seeds).log_norm)


def slope(log_norm: np.ndarray) -> np.ndarray:
    """Return the mean change per step back in time, without the ends."""
    steps = log_norm.shape[1] - 1
    first, last = steps // 4, steps - steps // 8
    return (log_norm[:, first] - log_norm[:, last]) / (last - first)


@ft.lru_cache(maxsize=64)
def measured(settings: Settings, net: Net, seeds: int | None = None) -> Measured:
    """Return what gradients do in each seed of a network."""
    drawn = _all_drawn(settings, net, seeds or settings.seeds)
    found = [jax.tree.map(np.asarray, _profile(make_cell(net, w, x), x, p)) for w, x, p in drawn]
    log_norm, contribution, states = (np.stack(x) for x in zip(*found, strict=True))
    logs = log_norm.astype(np.float64), contribution.astype(np.float64)
    return Measured(*logs, states, np.stack([np.asarray(w) for w, _, _ in drawn]))


def log_gradients(settings: Settings, net: Net) -> np.ndarray:
    """Return per seed the log of the norm of dL/dtheta, the gradient of all parameters."""
    drawn = _all_drawn(settings, net, settings.seeds)
    return np.array([float(_log_gradient(make_cell(net, w, x), x, p)) for w, x, p in drawn])


def _all_drawn(settings: Settings, net: Net, seeds: int) -> list[tuple[Array, Array, Array]]:
    key = jr.fold_in(jr.key(settings.seed), 1)
    keys = [jr.fold_in(key, k) for k in range(seeds)]
    # Not as a batch, which would be compiled anew for each number of seeds.
    return [_drawn(net, (settings.units, settings.steps), key) for key in keys]


def _drawn(net: Net, shapes: tuple[int, int], key: Any) -> tuple[Array, Array, Array]:
    """Return weights, inputs and the loss's direction of one seed."""
    n, steps = shapes
    blocks = {"lstm": 4, "gru": 3}.get(net.kind, 1)
    key_weights, key_inputs, key_probe = jr.split(key, 3)
    w = jr.normal(key_weights, (blocks, n, n), jnp.float32) / math.sqrt(n)
    if net.weights == "orthogonal":
        q, r = jnp.linalg.qr(w)
        w = q * jnp.sign(jnp.diagonal(r, axis1=1, axis2=2))[:, None, :]
    if net.weights == "identity":
        w = jnp.broadcast_to(jnp.eye(n, dtype=jnp.float32), w.shape)
    x = math.sqrt(net.noise) * jr.normal(key_inputs, (steps, n), jnp.float32)
    return net.gain * w.reshape(blocks * n, n), x, jr.normal(key_probe, (n,), jnp.float32)


def make_cell(net: Net, weights: Array, inputs: Array) -> Any:
    """Return the cell with these recurrent weights; each input goes to its unit alone."""
    n = weights.shape[1]
    cell: Any = _core(net, n)
    into = jnp.tile(jnp.eye(n, dtype=jnp.float32), (weights.shape[0] // n, 1))
    cell = eqx.tree_at(lambda c: (c.weight_hh, c.weight_xh), cell, (weights, into))
    if net.norm.startswith("layer"):
        placement = "separate" if net.norm.endswith("separate") else "joint"
        cell = LayerNormCell(cell, placement=placement)
        weights_of = lambda c: [norm.weight for norm in c.norms.values()]  # noqa: E731
        cell = eqx.tree_at(weights_of, cell, replace_fn=lambda weight: net.norm_gain * weight)
    if net.norm == "batch":
        cell = BatchNormCell(cell, num_steps=len(inputs), gain=net.norm_gain)
        batch = math.sqrt(net.noise) * jr.normal(jr.key(7), (256, *inputs.shape), jnp.float32)
        cell = _estimated(cell, batch)
    return LeakyCell(cell, net.leak) if net.leak != 1 else cell


def _core(net: Net, n: int) -> Any:
    key = jr.key(0)  # what it draws is replaced
    if net.kind == "lstm":
        return LSTMCell(n, n, forget_bias=net.bias, dtype=jnp.float32, key=key)
    if net.kind == "gru":
        return GRUCell(n, n, update_bias=net.bias, dtype=jnp.float32, key=key)
    return VanillaCell(n, n, activation=net.kind, dtype=jnp.float32, key=key)


@eqx.filter_jit
def _estimated(cell: Any, inputs: Array) -> Any:
    return estimate_statistics(cell, inputs)


@eqx.filter_jit
def _profile(cell: Any, inputs: Array, probe: Array) -> tuple[Any, Any, Any]:
    """Return log ||dL/ds_t||, the contributions of the steps, and the states h."""
    last = _reads_last(probe)
    state0 = cell.initial_state()
    profile = gradient_profile(cell, state0, inputs, loss=last)
    states = rollout(cell, state0, inputs).states
    return profile.log_norm, profile.log_parameter_norm, jax.tree.leaves(states)[0]


@eqx.filter_jit
def _log_gradient(cell: Any, inputs: Array, probe: Array) -> Array:
    last, state0 = _reads_last(probe), cell.initial_state()
    gradient = eqx.filter_grad(lambda c: last(rollout(c, state0, inputs).states))(cell)
    return jnp.log(optax.global_norm(gradient))


def _reads_last(probe: Array) -> Callable[[Any], Array]:
    """Return the loss: a random projection of the hidden state at the last step."""
    return lambda states: jnp.vdot(jax.tree.leaves(states)[0][-1], probe)


def jacobians(settings: Settings, net: Net, seed: int = 0, steps: int | None = None) -> np.ndarray:
    """Return J_1..J_T of a tanh network of the settings, after the state has settled."""
    found = measured(settings, net)
    slopes = 1 - np.square(found.settled[seed, 1:])
    return slopes[:steps, :, None] * found.weights[seed]


def forward_rate(settings: Settings, net: Net) -> np.ndarray:
    """Return per seed the growth per step of a perturbation of the state, forward in time."""
    rng, found = np.random.default_rng(settings.seed), []
    for seed in range(settings.seeds):
        logs = direction_growth(jacobians(settings, net, seed), rng.normal(size=settings.units))
        found.append(np.mean(logs[len(logs) // 8 :]))
    return np.array(found)
