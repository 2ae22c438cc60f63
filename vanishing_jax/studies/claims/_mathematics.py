"""C6-C11: activations, weights, the chain rule, and floating point."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from ..._linearize import linearize
from ..._rollout import rollout
from ..._types import Array
from ...cells import VanillaCell
from . import _rates as rates
from ._claim import claim
from ._figure import Figure, points
from ._finding import all_seeds, over_seeds, spread_ratio
from ._networks import RATE, Net, Settings, jacobians, measured, rate


@claim(
    "C6",
    "Sigmoid and tanh squash their inputs, and their small derivatives in saturation compound.",
    where="why unnormalized architectures suffer most: activation function choice",
    rule="The sigmoid's rate lies below log 1/4, the log of its largest derivative, and stronger "
    "inputs, which saturate tanh, lower its rate.",
)
def squashing(settings: Settings) -> Any:
    """Measure the rate of the sigmoid, and of tanh under stronger and stronger inputs."""
    sigmoid = {"sigmoid with orthogonal weights": Net("sigmoid", noise=0.01, weights="orthogonal")}
    findings = [
        *rates.findings(settings, sigmoid, below=math.log(0.25)),
        rates.change(settings, "tanh as the input variance rises from 0.01 to 4",
                     Net(noise=0.01), Net(noise=4.0), rates.CHANGE, below=0.0),
    ]  # fmt: skip
    fine = np.geomspace(0.01, 4.0, 30)
    curves = (
        rates.curve(settings, "tanh", Net(), noise=(0.01, 0.1, 1.0, 4.0)),
        rates.law("tanh, theory", Net(), noise=fine),
        rates.law("sigmoid, theory", Net("sigmoid"), noise=fine),
    )
    return findings, rates.figure(
        "Rate over the size of the inputs", "variance of the inputs", *curves
    )


@claim(
    "C7",
    "Careless initialization makes activations saturate sooner and so makes vanishing worse.",
    where="why unnormalized architectures suffer most: weight initialization",
    rule="Tripling the recurrent weights raises the share of saturated states (|h| > 0.9), and "
    "lowers the rate.",
)
def careless_initialization(settings: Settings) -> Any:
    """Follow saturation and rate as the gain rises: both go up."""
    shares = {g: _saturated(settings, Net(gain=g, noise=0.1)) for g in rates.GAINS}
    findings = [
        over_seeds("saturation as the gain rises from 1 to 3",
                   "change of the saturated share", shares[3.0] - shares[1.0], above=0.0),
        rates.change(settings, "the gradient as the gain rises from 1 to 3",
                     Net(gain=1.0, noise=0.1), Net(gain=3.0, noise=0.1), rates.CHANGE, below=0.0),
    ]  # fmt: skip
    curves = (
        points("saturated share", shares, shares.values()),
        rates.curve(settings, RATE, Net(noise=0.1), gain=rates.GAINS),
    )
    title = "Saturation and rate over the gain"
    return findings, Figure(title, "gain of the recurrent weights", "share, or rate", curves, 0.0)


def _saturated(settings: Settings, net: Net) -> np.ndarray:
    return np.mean(np.abs(measured(settings, net).settled) > 0.9, axis=(1, 2))


@claim(
    "C8",
    "Without batch or layer normalization the instability of gradients is amplified.",
    where="why unnormalized architectures suffer most: absence of normalization",
    rule="Layer normalization lowers the dependence of the rate on the size of the weights (gains "
    "0.5 to 3), and the scatter of the rate over seeds.",
)
def instability(settings: Settings) -> Any:
    """Compare how much the rate depends on the size of the weights and on the seed."""
    nets = {
        "plain": Net(noise=0.1),
        "layer norm (separate)": Net(noise=0.1, norm="layer-separate"),
    }
    many = 60 if settings.quick else 200
    plain, normed = (
        np.ptp([rate(settings, net._replace(gain=g)) for g in rates.GAINS], axis=0)
        for net in nets.values()
    )
    findings = [
        over_seeds("the size of the weights", "range of rates that normalization takes away "
                   "[nats per step]", plain - normed, above=0.0),
        spread_ratio(f"the scatter over {many} seeds at gain 1", "scatter without over that with "
                     "normalization [decades]",
                     *(rate(settings, net, seeds=many) for net in nets.values()), above=0.0),
    ]  # fmt: skip
    curves = (rates.curve(settings, label, net, gain=rates.GAINS) for label, net in nets.items())
    title = "Rate over the gain, with and without normalization"
    return findings, rates.figure(title, "gain of the recurrent weights", *curves)


@claim(
    "C9",
    "The gradient at a step is that of the next step times the derivative of the next state.",
    where="training dynamics and mathematical basis",
    rule="dL/ds_t = J_{t+1}^T dL/ds_{t+1} to 0.1 %, for every loss.",
    note="With a loss at each step, the step's own derivative has to be added.",
)
def chain_rule(settings: Settings) -> Any:
    """Hold the formula against automatic differentiation, for two losses."""
    errors = {name: [] for name in ("last", "every")}
    for seed in range(settings.seeds):
        key_cell, key_inputs = jr.split(jr.fold_in(jr.key(settings.seed), seed))
        cell = VanillaCell(3, 12, dtype=jnp.float32, key=key_cell)
        inputs = jr.normal(key_inputs, (20, 3), jnp.float32)
        chain = linearize(cell, rollout(cell, cell.initial_state(), inputs))
        for name in errors:
            direct = np.asarray(_state_gradients(cell, inputs, name == "every"))
            J = np.asarray(chain.jacobians)
            error = direct[:-1] - np.einsum("tij,ti->tj", J[1:], direct[1:])
            sizes = np.linalg.norm(direct[:-1], axis=1)
            errors[name].append(np.max(np.linalg.norm(error, axis=1) / sizes))
    quantity = "largest relative error"
    return [
        all_seeds("a loss of the last step", quantity, errors["last"], below=1e-3, prediction=0.0),
        all_seeds("a loss of every step", quantity, errors["every"], below=1e-3),
    ]


@eqx.filter_jit
def _state_gradients(cell: VanillaCell, inputs: Array, every: bool) -> Array:
    """Return dL/ds_t, t = 1..T, as gradients with respect to noughts added to the states."""

    def loss(added: Array) -> Array:
        def step(state, pair):
            new = cell(state, pair[0]) + pair[1]
            return new, new

        states = jax.lax.scan(step, cell.initial_state(), (inputs, added))[1]
        return jnp.sum(jnp.square(states if every else states[-1]))

    return jax.grad(loss)(jnp.zeros((len(inputs), cell.hidden_size), jnp.float32))


@claim(
    "C10",
    "With each step the gradient is multiplied by a term less than 1.",
    where="training dynamics and mathematical basis",
    rule="The gradient shrinks in every step; so does every direction (all singular values of J_t "
    "are below 1); at gain 2, too.",
    note="The term is a matrix: it shrinks some directions and stretches others.",
)
def less_than_one(settings: Settings) -> Any:
    """Look at the gradient's norm, the singular values of single steps, and a larger gain."""
    logs = measured(settings, Net()).log_norm[:, settings.steps // 4 : -5]
    singular = np.array([
        np.linalg.svd(jacobians(settings, Net(), seed, steps=3), compute_uv=False)
        for seed in range(settings.seeds)
    ])  # fmt: skip
    chaotic = {"the gradient at gain 2, input variance 0.01": Net(gain=2, noise=0.01)}
    findings = [
        all_seeds("the norm of the gradient at gain 1, input variance 1",
                  "largest factor of one step", np.exp(np.max(-np.diff(logs), axis=1)), below=1.0),
        all_seeds("each direction there", "largest singular value of one step",
                  np.max(singular, axis=(1, 2)), below=1.0),
        *rates.findings(settings, chaotic, below=0.0),
    ]  # fmt: skip
    mean = np.mean(singular, axis=(0, 1))
    curve = points("singular values of J_t", range(1, len(mean) + 1), mean)
    title = "Singular values of one step"
    return findings, Figure(title, "index", "singular value", (curve,), 1.0)


@claim(
    "C11",
    "After enough steps gradients cannot be told from zero.",
    where="training dynamics and mathematical basis",
    rule="Plain float32 back-propagation gives exactly 0 within 300 steps, within 15 % of the "
    "number of steps that the rate predicts.",
)
def underflow(settings: Settings) -> Any:
    """Count the steps until plain float32 back-propagation gives exact zeros."""
    findings = []
    nets = {
        "sigmoid with orthogonal weights": Net("sigmoid", noise=0.01, weights="orthogonal"),
        "tanh at gain 1, input variance 1": Net(),
    }
    for name, net in nets.items():
        law = rates.predicted(net)
        assert law is not None
        steps = math.log(np.finfo(np.float32).tiny) / law
        counts = [_steps_to_zero(settings, net, seed) for seed in range(settings.seeds)]
        findings += [
            all_seeds(name, "steps to an exact zero", counts, below=300.0, prediction=steps),
            over_seeds(f"the prediction for {name}", "steps counted over steps predicted",
                       np.array(counts) / steps, above=0.85, below=1.15, prediction=1.0),
        ]  # fmt: skip
    return findings


def _steps_to_zero(settings: Settings, net: Net, seed: int) -> float:
    """Return after how many steps back a float32 gradient is 0; infinite if it never is."""
    found = measured(settings, net)
    states = found.settled[seed]
    slopes = states * (1 - states) if net.kind == "sigmoid" else 1 - np.square(states)
    vector = np.random.default_rng(seed).normal(size=settings.units).astype(np.float32)
    vector /= np.linalg.norm(vector)
    tiny, W = np.finfo(np.float32).tiny, found.weights[seed]
    for count in range(1, 400):
        # The states of a stationary network, over again when they run out.
        vector = W.T @ (slopes[-(count % len(slopes)) - 1] * vector)
        vector[np.abs(vector) < tiny] = 0  # as XLA does: no subnormal numbers
        if not vector.any():
            return float(count)
    return math.inf
