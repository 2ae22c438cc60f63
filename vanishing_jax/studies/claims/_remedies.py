"""C14-C20: gates, identity initialization, clipping and initial weights, before training."""

import functools as ft
import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax

from ... import mitigations, theory
from ..._rollout import rollout
from ..._types import Array
from ...cells import ClippedGradientCell, StackedCell, VanillaCell
from ...diagnostics import gradient_profile
from . import _rates as rates
from ._claim import claim
from ._figure import Figure, law, points
from ._finding import all_seeds, over_seeds
from ._networks import PRESERVED, Net, Settings, make_cell, measured

_KEEPS = "keeps a thousandth of the gradient over 50 steps (rate above −0.138)"


@claim(
    "C14",
    "Initial layers and earlier time steps are updated very slowly.",
    where="effects of the vanishing gradient in practice",
    rule="The contribution of the first quarter of the steps, and the gradient of the first of "
    "three layers, are below a tenth of the last one's.",
)
def initial_layers(settings: Settings) -> Any:
    """Compare steps within a network, and layers within a stack of three."""
    layers = np.array([_layer_gradients(settings, seed) for seed in range(settings.seeds)])
    decades = np.log10(layers / layers[:, -1:])
    quantity = "size next to the last one's [decades]"
    early = measured(settings, Net()).early_decades
    findings = [
        over_seeds("early time steps", quantity, early, below=-1.0),
        over_seeds("the first of three tanh layers", quantity, decades[:, 0], below=-1.0),
    ]
    curve = points("gradient of a layer", (1, 2, 3), np.mean(decades, 0))
    title = "Gradient of each of three layers"
    return findings, Figure(title, "layer", "size next to the last [decades]", (curve,), 0.0)


def _layer_gradients(settings: Settings, seed: int) -> list[float]:
    """Return the norm of the gradient of each layer's recurrent and input weights."""
    keys = jr.split(jr.fold_in(jr.key(settings.seed), seed), 5)
    n = 64
    stack = StackedCell([VanillaCell(n, n, dtype=jnp.float32, key=key) for key in keys[:3]])
    inputs = jr.normal(keys[3], (60, n), jnp.float32)
    gradient = _stack_gradient(stack, inputs, jr.normal(keys[4], (n,), jnp.float32))
    return [float(optax.global_norm(cell)) for cell in gradient.cells]


@eqx.filter_jit
def _stack_gradient(stack: StackedCell, inputs: Array, probe: Array) -> Any:
    def loss(stack):
        return jnp.vdot(rollout(stack, stack.initial_state(), inputs).states[-1][-1], probe)

    return eqx.filter_grad(loss)(stack)


@claim(
    "C15",
    "LSTM and GRU preserve gradients by their gates.",
    where="without normalization: alternative architectures",
    rule=f"Each {_KEEPS}: an LSTM with forget bias 0, 1 and 3, a GRU with update bias 0 and 3.",
)
def gates(settings: Settings) -> Any:
    """Measure the rate of gated cells as the bias of the gate that keeps rises."""
    lstm, gru = Net("lstm", noise=0.1), Net("gru", noise=0.1)
    cases = {
        **{f"LSTM, forget bias {b:g}": lstm._replace(bias=b) for b in (1.0, 0.0, 3.0)},
        **{f"GRU, update bias {b:g}": gru._replace(bias=b) for b in (0.0, 3.0)},
    }
    findings = rates.findings(settings, cases, above=PRESERVED)
    at_rest = ft.partial(theory.gate_log_retention, steps=1)
    curves = (
        rates.curve(settings, "LSTM, measured", lstm, bias=(0.0, 1.0, 3.0)),
        law("log of the forget gate at rest", np.linspace(0.0, 3.0, 25), at_rest),
        rates.curve(settings, "GRU, measured", gru, bias=(0.0, 3.0)),
    )
    title = "Rate over the bias of the gate that keeps"
    return findings, rates.figure(title, "bias of the gate that keeps", *curves)


@claim(
    "C16",
    "LSTM and GRU are direct solutions to the vanishing gradients of standard networks.",
    where="without normalization: alternative architectures",
    rule="With their usual biases (LSTM 1, GRU 0) their rate is above that of a tanh network with "
    f"the same inputs (variance 1), and each {_KEEPS}.",
)
def direct_solutions(settings: Settings) -> Any:
    """Compare gated cells with a tanh network under strong inputs."""
    nets = {"LSTM, forget bias 1": Net("lstm", bias=1.0), "GRU": Net("gru")}
    gained = "rate gained over tanh [nats per step]"
    findings = [
        rates.change(settings, f"{name} against tanh", Net(), net, gained, above=0.0)
        for name, net in nets.items()
    ]
    as_they_are = {f"{name} as it is": net for name, net in nets.items()}
    return findings + rates.findings(settings, as_they_are, above=PRESERVED)


@claim(
    "C18",
    "Gradient clipping is primarily a means against exploding gradients.",
    where="without normalization: gradient clipping",
    rule="At threshold 1 it shortens the gradient of an exploding network and leaves that of a "
    "vanishing one as it is.",
)
def clipping_explosions(settings: Settings) -> Any:
    """Clip the gradients of an exploding and of a vanishing network."""
    middle = settings.steps // 2
    changes = {
        name: [_clipped_change(log) for log in measured(settings, net).log_norm[:, middle]]
        for name, net in _CLIPPED.items()
    }
    quantity = "change of the gradient's size [decades]"
    return [
        all_seeds("exploding gradients (tanh at gain 3)", quantity, changes["exploding"],
                  below=0.0),
        all_seeds("vanishing gradients (tanh at gain 1)", quantity, changes["vanishing"],
                  above=-1e-6, below=1e-6, prediction=0.0),
    ]  # fmt: skip


def _clipped_change(log_norm: float) -> float:
    """Return by how many decades clipping changes a gradient of this size."""
    clip = mitigations.clip_by_global_norm(1.0).gradient_transform
    assert clip is not None
    # The direction does not matter to clipping by norm.
    size = jnp.exp(jnp.asarray(log_norm, jnp.float32))
    gradient = {"w": size * jnp.ones(4, jnp.float32) / 2}
    after, _ = clip.update(gradient, clip.init(gradient))
    return math.log10(float(optax.global_norm(after) / size))


_CLIPPED = {"exploding": Net(gain=3, noise=0.1), "vanishing": Net(noise=0.1)}


@claim(
    "C19",
    "Clipping can also keep gradients from vanishing too rapidly, in rare cases of both issues.",
    where="without normalization: gradient clipping",
    rule="Clipping in every step of back-propagation, by norm or by value, makes the gradient of "
    "the first state larger than it is without, in a vanishing or in an exploding network.",
    note="What clipping does to training in the long run, by keeping parameters away from where "
    "units saturate, is not tested here.",
)
def clipping_against_vanishing(settings: Settings) -> Any:
    """Clip the gradient in every step of back-propagation and look at the first state's."""
    quantity = "change of the first state's gradient [decades]"
    return [
        all_seeds(f"clipping by {by}, {name} gradients", quantity,
                  [_first_state_change(settings, net, by, seed) for seed in range(3)], above=1e-3)
        for name, net in _CLIPPED.items()
        for by in ("norm", "value")
    ]  # fmt: skip


def _first_state_change(settings: Settings, net: Net, by: str, seed: int) -> float:
    found, n = measured(settings, net), settings.units
    free = make_cell(net, jnp.asarray(found.weights[seed]), jnp.zeros((1, n)))
    key = jr.fold_in(jr.key(settings.seed), seed)
    inputs = math.sqrt(net.noise) * jr.normal(key, (60, n), jnp.float32)
    state0 = jnp.asarray(found.states[seed, 0])
    clipped, whole = _clipped_profile(ClippedGradientCell(free, 1.0, by=by), state0, inputs)
    return (float(clipped[0]) - float(whole[0])) / math.log(10)


@eqx.filter_jit
def _clipped_profile(cell: ClippedGradientCell, state0: Array, inputs: Array) -> Any:
    def loss(states):
        return jnp.sum(states[-1])

    clipped, free = (gradient_profile(one, state0, inputs, loss=loss) for one in (cell, cell.cell))
    return clipped.log_norm, free.log_norm


@claim(
    "C20",
    "He or Glorot initialization slightly improves the flow of the signal but is not enough in "
    "long networks.",
    where="without normalization: careful weight initialization",
    rule="Glorot raises the rate over weights of a tenth its size, and neither Glorot nor He "
    f"{_KEEPS} in a tanh network, at input variance 0.1 and 1.",
)
def glorot_and_he(settings: Settings) -> Any:
    """Measure the rates of the two initializations in driven tanh networks."""
    small, noises, gains = Net(gain=0.1, noise=0.1), (0.1, 1.0), (1.0, math.sqrt(2))
    findings = [
        rates.change(
            settings, "Glorot against small weights", small, small._replace(gain=1.0), above=0.0
        )
    ]
    nets = {
        f"{name} with tanh, input variance {v:g}": Net(gain=g, noise=v)
        for name, g in zip(("Glorot", "He"), gains, strict=True)
        for v in noises
    }
    findings += rates.findings(settings, nets, below=PRESERVED)
    fine = np.linspace(0.5, 2.5, 25)
    curves = (
        *(rates.law(f"input variance {v:g}, theory", Net(noise=v), gain=fine)
          for v in noises),
        *(rates.curve(settings, f"input variance {v:g}, measured", Net(noise=v), gain=gains)
          for v in noises),
    )  # fmt: skip
    title = "Glorot (gain 1) and He (gain 1.41) under input"
    return findings, rates.figure(title, "gain of the recurrent weights", *curves)
