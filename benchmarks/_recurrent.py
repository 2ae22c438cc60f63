"""What bench_training.py times: recurrent networks of the same weights in several libraries.

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


def our_model(case: Case, w: Weights) -> SequenceModel:
    """Return the network as this package has it."""
    classes = {"tanh": vj.cells.VanillaCell, "lstm": vj.cells.LSTMCell, "gru": vj.cells.GRUCell}
    cell = classes[case.cell](case.input, case.hidden, key=jax.random.key(0))
    names = ["weight_hh", "weight_xh", "bias"] + ["bias_n"] * (case.cell == "gru")
    model = SequenceModel(cell, 1, key=jax.random.key(1))
    return eqx.tree_at(
        lambda m: [*(getattr(m.cell, name) for name in names), m.weight],
        model,
        [*(jnp.asarray(getattr(w, name)) for name in names), jnp.asarray(w.readout)],
    )


def ours(case: Case, w: Weights) -> InJax:
    """The model of this package, called as its training loop calls it."""

    def sort(gradient):
        cell = gradient.cell
        found = {"weight_hh": cell.weight_hh, "weight_xh": cell.weight_xh, "bias": cell.bias}
        extra = {"bias_n": cell.bias_n} if case.cell == "gru" else {}
        return {**found, **extra, "readout": gradient.weight}

    return InJax(our_model(case, w), lambda model, x: model.run_batch(x)[0], sort)


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


def plain_scan(case: Case, w: Weights, hoisted: bool = False) -> InJax:
    """A scan over time of one written-out step, differentiated by JAX.

    `hoisted`: all inputs are multiplied by their weights in one product before the scan.
    """

    def drive(w, x):
        return x @ w.weight_xh.T + w.bias

    def forward(w, inputs):
        start = jnp.zeros((case.batch, case.hidden))
        state = (start, start) if case.cell == "lstm" else start
        xs = jnp.swapaxes(inputs, 0, 1)
        xs = drive(w, xs) if hoisted else xs

        def step(state, x):
            return STEPS[case.cell](w, state, x if hoisted else drive(w, x)), None

        state, _ = jax.lax.scan(step, state, xs)
        return (state[0] if case.cell == "lstm" else state) @ w.readout.T

    def sort(gradient):
        found = gradient._asdict()
        return found if case.cell == "gru" else {k: v for k, v in found.items() if k != "bias_n"}

    return InJax(jax.tree.map(jnp.asarray, w), forward, sort)


# --- libraries --------------------------------------------------------------------------------


def equinox(case: Case, w: Weights) -> InJax:
    """Equinox's cell in a scan, one sequence at a time under vmap, as its examples do."""
    if case.cell == "tanh":
        raise NotImplementedError("Equinox has no cell of this kind")
    gru = case.cell == "gru"
    make = eqx.nn.GRUCell if gru else eqx.nn.LSTMCell
    names = ["weight_hh", "weight_ih", "bias"] + ["bias_n"] * gru
    values = [w.weight_hh, w.weight_xh, w.bias] + [w.bias_n] * gru
    cell = eqx.tree_at(
        lambda c: [getattr(c, name) for name in names],
        make(case.input, case.hidden, key=jax.random.key(0)),
        [jnp.asarray(value) for value in values],
    )

    def forward(params, inputs):
        cell, readout = params

        def one(xs):
            zero = jnp.zeros(case.hidden)
            start = zero if gru else (zero, zero)
            state, _ = jax.lax.scan(lambda state, x: (cell(x, state), None), start, xs)
            return readout @ (state if gru else state[0])

        return jax.vmap(one)(inputs)

    def sort(gradient):
        cell, readout = gradient
        found = {"weight_hh": cell.weight_hh, "weight_xh": cell.weight_ih, "bias": cell.bias}
        return {**found, **({"bias_n": cell.bias_n} if gru else {}), "readout": readout}

    return InJax((cell, jnp.asarray(w.readout)), forward, sort)


# Names of Flax's dense layers of each gate, in PyTorch's order of gates.
_FLAX = {
    "tanh": ([("i", "h")], "SimpleCell"),
    "lstm": ([("ii", "hi"), ("if", "hf"), ("ig", "hg"), ("io", "ho")], "OptimizedLSTMCell"),
    "gru": ([("ir", "hr"), ("iz", "hz"), ("in", "hn")], "GRUCell"),
}


def flax(case: Case, w: Weights) -> InJax:
    """`flax.linen.RNN` around Flax's cell."""
    import flax.linen as nn

    layers, name = _FLAX[case.cell]
    rnn = nn.RNN(getattr(nn, name)(case.hidden))
    shapes = jax.eval_shape(
        rnn.init, jax.random.key(0), jnp.zeros((case.batch, case.time, case.input))
    )
    (scope,) = shapes["params"]
    blocks = zip(*(np.split(x, len(layers)) for x in w[:3]), strict=True)
    tree: dict[str, dict] = {}
    for (driving, recurrent), (hh, xh, b) in zip(layers, blocks, strict=True):
        tree[driving], tree[recurrent] = {"kernel": xh.T}, {"kernel": hh.T}
        # Which of the two carries the bias differs between the cells.
        owner = driving if "bias" in shapes["params"][scope][driving] else recurrent
        tree[owner]["bias"] = b
    if case.cell == "gru":
        tree["hn"]["bias"] = w.bias_n
    params = jax.tree.map(jnp.asarray, ({"params": {scope: tree}}, w.readout))
    assert jax.tree.structure(params[0]["params"]) == jax.tree.structure(shapes["params"])

    def forward(params, inputs):
        return rnn.apply(params[0], inputs)[:, -1] @ params[1].T

    def sort(gradient):
        found = gradient[0]["params"][scope]
        bias = [found[i].get("bias", found[h].get("bias")) for i, h in layers]
        return {
            "weight_hh": jnp.concatenate([found[h]["kernel"].T for _, h in layers]),
            "weight_xh": jnp.concatenate([found[i]["kernel"].T for i, _ in layers]),
            "bias": jnp.concatenate(bias),
            **({"bias_n": found["hn"]["bias"]} if case.cell == "gru" else {}),
            "readout": gradient[1],
        }

    return InJax(params, forward, sort)


IN_JAX: dict[str, Callable[[Case, Weights], InJax]] = {
    "vanishing_jax": ours,
    "plain scan": plain_scan,
    "plain scan, inputs multiplied before it": lambda c, w: plain_scan(c, w, hoisted=True),
    "Equinox": equinox,
    "Flax": flax,
}


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
