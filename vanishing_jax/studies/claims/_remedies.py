"""C14-C20: gates, identity initialization, clipping and initial weights, before training."""

import functools as ft
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from ... import mitigations, theory
from ..._rollout import rollout
from ..._types import Array
from ...cells import ClippedGradientCell, StackedCell, VanillaCell
from ...diagnostics import gradient_profile
from ._claim import claim
from ._curves import law, means, points
from ._intervals import all_seeds, over_seeds
from ._networks import PRESERVED, RATE, Net, Settings, make_cell, measured, rate
from ._result import Figure
from ._what_vanishes import tanh_exponent

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
    found = measured(settings, Net())
    logs = found.log_contribution / math.log(10)
    early = np.max(logs[:, : settings.steps // 4], axis=1) - np.max(logs, axis=1)
    layers = np.array([_layer_gradients(settings, seed) for seed in range(settings.seeds)])
    decades = np.log10(layers / layers[:, -1:])
    quantity = "size next to the last one's [decades]"
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
    return [
        float(np.sqrt(sum(np.sum(np.square(leaf)) for leaf in jax.tree.leaves(cell))))
        for cell in gradient.cells
    ]


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
    biases = (0.0, 1.0, 3.0)
    lstm = {b: rate(settings, Net("lstm", bias=b, noise=0.1)) for b in biases}
    gru = {b: rate(settings, Net("gru", bias=b, noise=0.1)) for b in (0.0, 3.0)}
    findings = [
        over_seeds(f"LSTM, forget bias {b:g}", RATE, lstm[b], above=PRESERVED)
        for b in (1.0, 0.0, 3.0)
    ]  # fmt: skip
    findings += [
        over_seeds(f"GRU, update bias {b:g}", RATE, gru[b], above=PRESERVED) for b in (0.0, 3.0)
    ]
    at_rest = ft.partial(theory.gate_log_retention, steps=1)
    curves = (
        means("LSTM, measured", lstm),
        law("log of the forget gate at rest", np.linspace(biases[0], biases[-1], 25), at_rest),
        means("GRU, measured", gru),
    )
    title = "Rate over the bias of the gate that keeps"
    return findings, Figure(title, "bias of the gate that keeps", RATE, curves, 0.0)


@claim(
    "C16",
    "LSTM and GRU are direct solutions to the vanishing gradients of standard networks.",
    where="without normalization: alternative architectures",
    rule="With their usual biases (LSTM 1, GRU 0) their rate is above that of a tanh network with "
    f"the same inputs (variance 1), and each {_KEEPS}.",
)
def direct_solutions(settings: Settings) -> Any:
    """Compare gated cells with a tanh network under strong inputs."""
    plain = rate(settings, Net())
    found = {
        "LSTM, forget bias 1": rate(settings, Net("lstm", bias=1.0)),
        "GRU": rate(settings, Net("gru")),
    }
    gained = "rate gained over tanh [nats per step]"
    findings = [over_seeds(f"{name} against tanh", gained, r - plain, above=0.0)
                for name, r in found.items()]  # fmt: skip
    return [*findings, *(over_seeds(f"{name} as it is", RATE, r, above=PRESERVED)
                         for name, r in found.items())]  # fmt: skip


@claim(
    "C18",
    "Gradient clipping is primarily a means against exploding gradients.",
    where="without normalization: gradient clipping",
    rule="At threshold 1 it shortens the gradient of an exploding network and leaves that of a "
    "vanishing one as it is.",
)
def clipping_explosions(settings: Settings) -> Any:
    """Clip the gradients of an exploding and of a vanishing network."""
    clip = mitigations.clip_by_global_norm(1.0).gradient_transform
    assert clip is not None
    changes = {}
    for name, net in _CLIPPED.items():
        found = measured(settings, net)
        early = found.log_norm[:, settings.steps // 2]
        changes[name] = []
        for log_norm in early:
            # The direction does not matter to clipping by norm.
            size = jnp.exp(jnp.asarray(log_norm, jnp.float32))
            gradient = {"w": size * jnp.ones(4, jnp.float32) / 2}
            after, _ = clip.update(gradient, clip.init(gradient))
            ratio = jnp.linalg.norm(jnp.asarray(jax.tree.leaves(after)[0])) / size
            changes[name].append(math.log10(float(ratio)))
    quantity = "change of the gradient's size [decades]"
    return [
        all_seeds("exploding gradients (tanh at gain 3)", quantity, changes["exploding"],
                  below=0.0),
        all_seeds("vanishing gradients (tanh at gain 1)", quantity, changes["vanishing"],
                  above=-1e-6, below=1e-6, prediction=0.0),
    ]  # fmt: skip


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
    findings, quantity = [], "change of the first state's gradient [decades]"
    for name, net in _CLIPPED.items():
        found = measured(settings, net)
        for by in ("norm", "value"):
            change = []
            for seed in range(3):
                cell = ClippedGradientCell(
                    make_cell(
                        net, jnp.asarray(found.weights[seed]), jnp.zeros((1, settings.units))
                    ),
                    1.0,
                    by=by,
                )
                logs = _clipped_profile(cell, jnp.asarray(found.states[seed, 0]),
                                        _inputs(settings, net, seed))  # fmt: skip
                change.append((float(logs[0][0]) - float(logs[1][0])) / math.log(10))
            findings.append(
                all_seeds(f"clipping by {by}, {name} gradients", quantity, change, above=1e-3)
            )
    return findings


def _inputs(settings: Settings, net: Net, seed: int) -> Array:
    key = jr.fold_in(jr.key(settings.seed), seed)
    return math.sqrt(net.noise) * jr.normal(key, (60, settings.units), jnp.float32)


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
    root = math.sqrt(2)
    small, glorot, he = (
        {v: rate(settings, Net(gain=g, noise=v)) for v in (0.1, 1.0)} for g in (0.1, 1.0, root)
    )
    gained = tanh_exponent(1, 0.1) - tanh_exponent(0.1, 0.1)
    findings = [
        over_seeds("Glorot against small weights", "rate gained [nats per step]",
                   glorot[0.1] - small[0.1], above=0.0, prediction=gained)
    ]  # fmt: skip
    for name, gain, rates in (("Glorot", 1.0, glorot), ("He", root, he)):
        findings += [
            over_seeds(f"{name} with tanh, input variance {v:g}", RATE, rates[v],
                       below=PRESERVED, prediction=tanh_exponent(gain, v))
            for v in (0.1, 1.0)
        ]  # fmt: skip
    gains = np.linspace(0.5, 2.5, 25)
    curves = (
        *(law(f"input variance {v:g}, theory", gains, ft.partial(tanh_exponent, noise=v))
          for v in glorot),
        *(means(f"input variance {v:g}, measured", {1.0: glorot[v], root: he[v]}) for v in glorot),
    )  # fmt: skip
    title = "Glorot (gain 1) and He (gain 1.41) under input"
    return findings, Figure(title, "gain of the recurrent weights", RATE, curves, 0.0)
