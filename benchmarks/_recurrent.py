"""What bench_training.py times: recurrent networks of the same weights, ours and others'.

An alternative in JAX is a pytree of parameters, a function from it and a batch (`batch time input`)
to outputs (`batch 1`), and a function that sorts a gradient with respect to the parameters into the
arrays of `Weights`, so that gradients can be compared before anything is timed.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import vanishing_jax as vj
from vanishing_jax.training import SequenceModel

GATES = {"tanh": 1, "lstm": 4, "gru": 3}
LEARNING_RATE = 1e-3


class Case(NamedTuple):
    """Which network, on a batch of which size."""

    cell: str
    hidden: int
    batch: int
    time: int
    input: int = 2


class Weights(NamedTuple):
    """Rows of the gates one above the other, in PyTorch's order; a linear readout to one number."""

    weight_hh: Any
    weight_xh: Any
    bias: Any
    bias_n: Any  # of a GRU, inside the reset; else zeros that nobody reads
    readout: Any


def weights_and_batch(case: Case) -> tuple[Weights, np.ndarray, np.ndarray]:
    """Return float32 weights as PyTorch draws them, with biases, a batch of inputs and targets."""
    rng, n, rows = np.random.default_rng(0), case.hidden, GATES[case.cell] * case.hidden
    shapes = ((rows, n), (rows, case.input), (rows,), (n,), (1, n))
    drawn = (rng.uniform(-1, 1, shape) / np.sqrt(n) for shape in shapes)
    weights = Weights(*(x.astype(np.float32) for x in drawn))
    inputs = rng.uniform(0, 1, (case.batch, case.time, case.input)).astype(np.float32)
    return weights, inputs, rng.uniform(0, 2, (case.batch, 1)).astype(np.float32)


class InJax(NamedTuple):
    """An alternative in JAX."""

    params: Any
    forward: Callable[[Any, Any], Any]
    sorted_gradient: Callable[[Any], dict[str, Any]]


def ours(case: Case, w: Weights) -> InJax:
    """The model of this package, called as its training loop calls it."""
    classes = {"tanh": vj.cells.VanillaCell, "lstm": vj.cells.LSTMCell, "gru": vj.cells.GRUCell}
    cell = classes[case.cell](case.input, case.hidden, key=jax.random.key(0))
    names = ["weight_hh", "weight_xh", "bias"] + ["bias_n"] * (case.cell == "gru")
    model = eqx.tree_at(
        lambda m: [*(getattr(m.cell, name) for name in names), m.weight],
        SequenceModel(cell, 1, key=jax.random.key(1)),
        [*(jnp.asarray(getattr(w, name)) for name in names), jnp.asarray(w.readout)],
    )

    def sort(gradient):
        return {n: getattr(gradient.cell, n) for n in names} | {"readout": gradient.weight}

    return InJax(model, lambda model, x: model.run_batch(x)[0], sort)


# --- what users write -------------------------------------------------------------------------


def _tanh(w, h, driven):
    return jnp.tanh(h @ w.weight_hh.T + driven)


def _lstm(w, state, driven):
    h, c = state
    i, f, g, o = jnp.split(h @ w.weight_hh.T + driven, 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


def _gru(w, h, driven):
    r, z, n = jnp.split(h @ w.weight_hh.T, 3, axis=-1)
    driven_r, driven_z, driven_n = jnp.split(driven, 3, axis=-1)
    r, z = jax.nn.sigmoid(r + driven_r), jax.nn.sigmoid(z + driven_z)
    return (1 - z) * jnp.tanh(driven_n + r * (n + w.bias_n)) + z * h


STEPS = {"tanh": _tanh, "lstm": _lstm, "gru": _gru}


def plain_scan(case: Case, w: Weights) -> InJax:
    """A scan over time of one written-out step, differentiated by JAX."""

    def forward(w, inputs):
        start = jnp.zeros((case.batch, case.hidden))
        state = (start, start) if case.cell == "lstm" else start

        def step(state, x):
            return STEPS[case.cell](w, state, x @ w.weight_xh.T + w.bias), None

        state, _ = jax.lax.scan(step, state, jnp.swapaxes(inputs, 0, 1))
        return (state[0] if case.cell == "lstm" else state) @ w.readout.T

    def sort(gradient):
        found = gradient._asdict()
        return found if case.cell == "gru" else {k: v for k, v in found.items() if k != "bias_n"}

    return InJax(jax.tree.map(jnp.asarray, w), forward, sort)


class Step(NamedTuple):
    """One update of a network whose weights stay inside: the call, and what it computes."""

    call: Callable[[], Any]
    loss: float
    gradient: dict[str, np.ndarray]  # before the first update, sorted
    temporary_bytes: int | None


def jax_step(alternative: InJax, inputs, targets) -> Step:
    """Return a step of mean squared error and Adam, compiled for this batch."""
    optimizer, (inputs, targets) = optax.adam(LEARNING_RATE), (jnp.asarray(inputs), targets)
    arrays, static = eqx.partition(alternative.params, eqx.is_inexact_array)

    def loss(arrays, inputs):
        outputs = alternative.forward(eqx.combine(arrays, static), inputs)
        return jnp.mean(jnp.square(outputs - targets))

    def update(arrays, state, inputs):
        value, gradient = jax.value_and_grad(loss)(arrays, inputs)
        change, state = optimizer.update(gradient, state)
        return optax.apply_updates(arrays, change), state, value, gradient

    now = [arrays, optimizer.init(arrays)]
    compiled = jax.jit(update).lower(*now, inputs).compile()
    *_, value, gradient = compiled(*now, inputs)
    sorted_ = {k: np.asarray(v) for k, v in alternative.sorted_gradient(gradient).items()}

    def call():
        *now[:], value, _ = compiled(*now, inputs)
        return value

    memory = compiled.memory_analysis()
    return Step(call, float(value), sorted_, getattr(memory, "temp_size_in_bytes", None))


def torch_step(case: Case, w: Weights, inputs, targets) -> Step:
    """Return the same step of PyTorch's layer, on one thread."""
    import torch

    torch.set_num_threads(1)
    kinds = {"tanh": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
    layer, readout = kinds[case.cell](case.input, case.hidden), torch.nn.Linear(case.hidden, 1)
    second = np.zeros_like(
        w.bias
    )  # PyTorch has two biases; of a GRU the third is a bias of its own
    second[2 * case.hidden :] = w.bias_n if case.cell == "gru" else 0
    names = ("weight_hh_l0", "weight_ih_l0", "bias_ih_l0", "bias_hh_l0")
    values = (w.weight_hh, w.weight_xh, w.bias, second)
    layer.load_state_dict(
        {name: torch.from_numpy(x) for name, x in zip(names, values, strict=True)}
    )
    readout.load_state_dict({"weight": torch.from_numpy(w.readout), "bias": torch.zeros(1)})
    optimizer = torch.optim.Adam([*layer.parameters(), *readout.parameters()], lr=LEARNING_RATE)
    inputs = torch.from_numpy(inputs).swapaxes(0, 1).contiguous()
    targets = torch.from_numpy(targets)

    def differentiate():
        optimizer.zero_grad()
        loss = (readout(layer(inputs)[0][-1]) - targets).square().mean()
        loss.backward()
        return loss

    def call():
        loss = differentiate()
        optimizer.step()
        return loss.item()

    loss = differentiate().item()
    parameters = [*(getattr(layer, name) for name in names), readout.weight]
    found = Weights(*(parameter.grad.numpy().copy() for parameter in parameters))._asdict()
    of_second = found.pop("bias_n")
    if case.cell == "gru":
        found["bias_n"] = of_second[2 * case.hidden :]
    call()  # makes the optimizer's state
    return Step(call, loss, found, None)
