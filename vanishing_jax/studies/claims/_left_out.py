"""C35: what the article leaves out."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from ... import theory
from ..._chain import JacobianChain
from ..._rollout import rollout
from ..._types import Array
from ...cells import TruncatedCell
from ...spectra import log_singular_values
from . import _rates as rates
from ._claim import claim
from ._figure import Figure, law, points
from ._finding import all_seeds, exact, over_seeds
from ._networks import Net, Settings, jacobians, make_cell, measured

_WHERE = "not in the article"
_LAG = 50


@claim(
    "C35a",
    "The same networks explode once their weights are large enough.",
    where=_WHERE,
    rule="The rate of a tanh network with weak inputs is above 0 at gain 2.",
)
def explosion(settings: Settings) -> Any:
    """Measure the rate beyond the critical gain."""
    net = Net(noise=0.01)
    nets = {"tanh at gain 2, input variance 0.01": net._replace(gain=2.0)}
    findings = rates.findings(settings, nets, above=0.0)
    curves = (
        rates.curve(settings, "measured", net, gain=rates.GAINS),
        rates.law("theory", net, gain=np.linspace(0.5, 3.0, 26)),
    )
    return findings, rates.figure("Rate with weak inputs over the gain", "gain", *curves)


@claim(
    "C35b",
    "Vanishing is a matter of direction: some directions are lost where others are kept.",
    where=_WHERE,
    rule="At the critical gain, where the best-kept direction neither grows nor shrinks (|log10| "
    f"below 3), the condition number of {_LAG} steps exceeds 1e10.",
)
def direction(settings: Settings) -> Any:
    """Compute all singular values of a long product at the critical gain."""
    gain = float(theory.critical_gain(activation="tanh", input_variance=0.1))
    net, logs = Net(gain=round(gain, 6), noise=0.1), []
    for seed in range(min(settings.seeds, 4)):
        # The leading units' block would be another network: all of them.
        chain = JacobianChain(jacobians(settings, net, seed, _LAG).astype(np.float64))
        logs.append(np.asarray(log_singular_values(chain).log_singular_values))
    decades = np.array(logs) / math.log(10)
    findings = [
        over_seeds("the best-kept direction", "log10 of its singular value", decades[:, 0],
                   above=-3.0, below=3.0, prediction=0.0),
        over_seeds("all directions", f"log10 of the condition number of {_LAG} steps",
                   decades[:, 0] - decades[:, -1], above=10.0),
    ]  # fmt: skip
    index = range(1, decades.shape[1] + 1)
    exponents = theory.mean_field_spectrum(
        settings.units, activation="tanh", gain=gain, input_variance=0.1
    )
    curves = (
        points("measured", index, np.mean(decades, axis=0)),
        points("mean field", index, _LAG * np.asarray(exponents) / math.log(10), measured=False),
    )
    title = f"Singular values of {_LAG} steps at the critical gain"
    return findings, Figure(title, "index", "log10 sigma", curves, 0.0)


@claim(
    "C35c",
    "Eigenvalues do not tell: gradients can grow although every eigenvalue is 0.",
    where=_WHERE,
    rule="A delay line of 10 units (1.2 times a shift) has spectral radius 0, and its 9-step "
    "Jacobian stretches a direction.",
)
def non_normality(settings: Settings) -> Any:
    """Multiply a nilpotent matrix until it vanishes exactly."""
    n, alpha = 10, 1.2
    shift = alpha * np.eye(n, k=-1)
    radius = float(np.max(np.abs(np.linalg.eigvals(shift))))
    lags = tuple(range(1, n))
    # A few steps of factors near 1: the product itself is exact enough.
    largest = [float(np.linalg.norm(np.linalg.matrix_power(shift, t), 2)) for t in lags]
    findings = [
        exact("the delay line", "spectral radius", radius, above=-1e-9, below=1e-9),
        exact("its 9-step Jacobian", "largest singular value", largest[-1], above=1.0,
              prediction=alpha**9),
    ]  # fmt: skip
    curves = (
        points("largest singular value", lags, largest),
        law("1.2^t", lags, lambda t: alpha**t),
    )
    return findings, Figure("Gain of a delay line", "steps t", "sigma_1", curves, 1.0)


@claim(
    "C35d",
    "Long memory itself makes learning harder: what a state owes to its weight explodes as the "
    "memory gets longer (curse of memory).",
    where=_WHERE,
    rule="For h' = lambda h + x with white input, (dh/dlambda)^2 grows more than 500-fold "
    "from lambda = 0.9 to 0.99, and agrees with theory (ratio within 20 %).",
)
def curse_of_memory(settings: Settings) -> Any:
    """Simulate a linear memory and its sensitivity to its own weight."""
    rng = np.random.default_rng(settings.seed)
    eigenvalues = (0.5, 0.9, 0.97, 0.99)
    found = {x: _sensitivity(x, settings, rng) for x in eigenvalues}
    known = {x: theory.memory_sensitivity(x, np.ones(1)).sensitivity for x in eigenvalues}
    growth = np.log10(found[0.99] / found[0.9])
    findings = [
        over_seeds("memory of 100 instead of 10 steps", "growth of the sensitivity [decades]",
                   growth, above=math.log10(500), prediction=math.log10(known[0.99] / known[0.9])),
        over_seeds("the theory at lambda = 0.9", "measured over predicted sensitivity",
                   found[0.9] / known[0.9], above=0.8, below=1.2, prediction=1.0),
    ]  # fmt: skip
    curves = tuple(
        points(label, [1 / (1 - x) for x in eigenvalues],
               [math.log10(np.mean(one[x])) for x in eigenvalues], measured=one is found)
        for label, one in (("simulated", found), ("theory", known))
    )  # fmt: skip
    title, memory = "Sensitivity of a memory to its own weight", "memory 1 / (1 − lambda) [steps]"
    return findings, Figure(title, memory, "log10 E (dh/dlambda)^2", curves)


def _sensitivity(eigenvalue: float, settings: Settings, rng: np.random.Generator) -> np.ndarray:
    """Return the mean of (dh/dlambda)^2 of each seed, over many sequences."""
    steps, sequences = 1500, 200 if settings.quick else 2000
    h = np.zeros((settings.seeds, sequences))
    s = np.zeros_like(h)
    for _ in range(steps):
        s = h + eigenvalue * s
        h = eigenvalue * h + rng.normal(size=h.shape)
    return np.mean(np.square(s), axis=1)


@claim(
    "C35e",
    "Truncated back-propagation, the usual economy, is blind beyond its window.",
    where=_WHERE,
    rule="In an orthogonal linear network, where nothing vanishes, truncation to 20 of 80 steps "
    "loses more than half of the gradient (relative error above 0.5), and a full window nothing.",
)
def truncation(settings: Settings) -> Any:
    """Compare gradients truncated to blocks with the whole gradient."""
    net, errors = Net("identity", weights="orthogonal"), {20: [], 80: []}
    for seed in range(settings.seeds):
        key = jr.fold_in(jr.key(settings.seed), seed)
        weights = jnp.asarray(measured(settings, net).weights[seed])
        inputs = jr.normal(key, (80, weights.shape[1]), jnp.float32)
        cell = make_cell(net, weights, inputs)
        whole = np.asarray(_weight_gradient(cell, inputs))
        for window in errors:
            part = np.asarray(_weight_gradient(TruncatedCell(cell, window), inputs))
            errors[window].append(np.linalg.norm(part - whole) / np.linalg.norm(whole))
    quantity = "relative error of the gradient"
    return [
        over_seeds("a window of 20 of 80 steps", quantity, errors[20], above=0.5,
                   prediction=0.75),
        all_seeds("a window of all steps", quantity, errors[80], below=1e-5, prediction=0.0),
    ]  # fmt: skip


@eqx.filter_jit
def _weight_gradient(cell: Any, inputs: Array) -> Array:
    """Return the gradient of a linear loss of the last state with respect to W."""

    def loss(cell):
        states = rollout(cell, cell.initial_state(), inputs).states
        return jnp.sum(jax.tree.leaves(states)[0][-1])

    gradient = eqx.filter_grad(loss)(cell)
    return gradient.cell.weight_hh if isinstance(cell, TruncatedCell) else gradient.weight_hh
