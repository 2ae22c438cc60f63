"""Speed of training recurrent networks, against PyTorch and a plain scan.

One update of a fixed batch (forward, backward, Adam), in one process on one core; the same weights
and batch in all; outputs (by the loss) and gradients are compared before anything is timed; all
alternatives in turn, round by round; CPU time; the first call, which compiles, apart.

    python benchmarks/bench_training.py [--quick] [--cells tanh,lstm]
"""

import functools as ft
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import _timing
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from _main import Benchmark, attempt, names, progress

import vanishing_jax as vj
from vanishing_jax.training import SequenceModel

OURS = "vanishing_jax"
GATES = {"tanh": 1, "lstm": 4, "gru": 3}
LEARNING_RATE = 1e-3

# (hidden, batch, time, inputs)
SIZES = [
    (16, 8, 100, 2),
    (64, 32, 100, 2),
    (128, 32, 100, 2),
    (128, 32, 400, 2),
    (256, 32, 100, 2),
    (128, 32, 100, 128),
]


class Case(NamedTuple):
    """Which network, on a batch of which size."""

    cell: str
    hidden: int
    batch: int
    time: int
    input: int = 2


Weights = dict[str, Any]


def weights_and_batch(case: Case) -> tuple[Weights, np.ndarray, np.ndarray]:
    """Return float32 weights as PyTorch draws them, with biases, a batch of inputs and targets.

    Rows of the gates one above the other, in PyTorch's order; of a GRU `bias_n` is inside the
    reset; a linear readout to one number.
    """
    rng, n, rows = np.random.default_rng(0), case.hidden, GATES[case.cell] * case.hidden
    shapes = {"weight_hh": (rows, n), "weight_xh": (rows, case.input), "bias": (rows,)}
    shapes |= {"bias_n": (n,), "readout": (1, n)}
    weights = {
        name: (rng.uniform(-1, 1, shape) / np.sqrt(n)).astype(np.float32)
        for name, shape in shapes.items()
    }
    if case.cell != "gru":
        del weights["bias_n"]
    inputs = rng.uniform(0, 1, (case.batch, case.time, case.input)).astype(np.float32)
    return weights, inputs, rng.uniform(0, 2, (case.batch, 1)).astype(np.float32)


# --- two in JAX: each a function from the case to outputs(weights, inputs), (batch, 1) --------


def ours(case: Case) -> Callable[[Weights, Any], Any]:
    """The model of this package, called as its training loop calls it."""
    classes = {"tanh": vj.cells.VanillaCell, "lstm": vj.cells.LSTMCell, "gru": vj.cells.GRUCell}
    cell = classes[case.cell](case.input, case.hidden, key=jax.random.key(0))
    model = SequenceModel(cell, 1, key=jax.random.key(1))

    def outputs(weights, inputs):
        def where(m):
            return [m.weight if name == "readout" else getattr(m.cell, name) for name in weights]

        return eqx.tree_at(where, model, list(weights.values())).run_batch(inputs)[0]

    return outputs


def _tanh(w, h, driven):
    return jnp.tanh(h @ w["weight_hh"].T + driven)


def _lstm(w, state, driven):
    h, c = state
    i, f, g, o = jnp.split(h @ w["weight_hh"].T + driven, 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


def _gru(w, h, driven):
    r, z, n = jnp.split(h @ w["weight_hh"].T, 3, axis=-1)
    driven_r, driven_z, driven_n = jnp.split(driven, 3, axis=-1)
    r, z = jax.nn.sigmoid(r + driven_r), jax.nn.sigmoid(z + driven_z)
    return (1 - z) * jnp.tanh(driven_n + r * (n + w["bias_n"])) + z * h


def plain_scan(case: Case) -> Callable[[Weights, Any], Any]:
    """A scan over time of one written-out step, differentiated by JAX."""
    cell = {"tanh": _tanh, "lstm": _lstm, "gru": _gru}[case.cell]

    def outputs(w, inputs):
        def step(state, x):
            return cell(w, state, x @ w["weight_xh"].T + w["bias"]), None

        start = jnp.zeros((case.batch, case.hidden))
        start = (start, start) if case.cell == "lstm" else start
        state, _ = jax.lax.scan(step, start, jnp.swapaxes(inputs, 0, 1))
        return jax.tree.leaves(state)[0] @ w["readout"].T

    return outputs


# --- one update -------------------------------------------------------------------------------


class Step(NamedTuple):
    """One update of a network whose weights stay inside: the call, and what it computes."""

    call: Callable[[], Any]
    loss: float
    gradient: dict[str, np.ndarray]  # before the first update
    temporary_bytes: int | None


def jax_step(outputs: Callable[[Weights, Any], Any], weights: Weights, inputs, targets) -> Step:
    """Return a step of mean squared error and Adam, compiled for this batch."""
    optimizer = optax.adam(LEARNING_RATE)
    weights, inputs = jax.tree.map(jnp.asarray, (weights, inputs))

    def update(weights, state, inputs):
        def loss(weights):
            return jnp.mean(jnp.square(outputs(weights, inputs) - targets))

        value, gradient = jax.value_and_grad(loss)(weights)
        change, state = optimizer.update(gradient, state)
        return optax.apply_updates(weights, change), state, value, gradient

    now = [weights, optimizer.init(weights)]
    compiled = jax.jit(update).lower(*now, inputs).compile()
    *_, value, gradient = compiled(*now, inputs)

    def call():
        *now[:], value, _ = compiled(*now, inputs)
        return value

    memory = getattr(compiled.memory_analysis(), "temp_size_in_bytes", None)
    return Step(call, float(value), jax.tree.map(np.asarray, gradient), memory)


def torch_step(case: Case, weights: Weights, inputs, targets) -> Step:
    """Return the same step of PyTorch's layer, on one thread."""
    import torch

    torch.set_num_threads(1)
    kinds = {"tanh": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
    layer, readout = kinds[case.cell](case.input, case.hidden), torch.nn.Linear(case.hidden, 1)
    # PyTorch adds two biases; the last third of a GRU's second stands inside the reset.
    second = np.zeros_like(weights["bias"])
    second[2 * case.hidden :] = weights.get("bias_n", 0)
    theirs = {"weight_hh_l0": weights["weight_hh"], "weight_ih_l0": weights["weight_xh"]}
    theirs |= {"bias_ih_l0": weights["bias"], "bias_hh_l0": second}
    layer.load_state_dict({name: torch.from_numpy(x) for name, x in theirs.items()})
    readout.load_state_dict({"weight": torch.tensor(weights["readout"]), "bias": torch.zeros(1)})
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
    hh, xh, bias, second = (getattr(layer, name).grad.numpy().copy() for name in theirs)
    gradient = {"weight_hh": hh, "weight_xh": xh, "bias": bias, "bias_n": second[-case.hidden :]}
    gradient["readout"] = readout.weight.grad.numpy().copy()
    call()  # makes the optimizer's state
    return Step(call, loss, gradient, None)


def difference(step: Step, reference: Step) -> float:
    """Return the largest difference of loss and gradients, relative to the largest entry of each.

    The bias of a library that has two is compared by the gradient that both have.
    """
    found = [abs(step.loss - reference.loss) / abs(reference.loss)]
    for name, expected in reference.gradient.items():
        found.append(np.max(np.abs(step.gradient[name] - expected)) / np.max(np.abs(expected)))
    return float(max(found))


# --- running ----------------------------------------------------------------------------------


def run_case(case: Case, rounds: int, read) -> list[dict[str, Any]]:
    """Return one row per alternative: compared with the plain scan, then timed in turn."""
    weights, *batch = weights_and_batch(case)
    makers = {
        "plain scan": ft.partial(jax_step, plain_scan(case), weights, *batch),
        OURS: ft.partial(jax_step, ours(case), weights, *batch),
        "PyTorch": ft.partial(torch_step, case, weights, *batch),
    }
    rows, calls, reference = [], {}, None
    for name, make in makers.items():
        row: dict[str, Any] = {**case._asdict(), "method": name}
        rows.append(row)
        begin = read()
        step = attempt(row, make)
        if step is None:
            continue
        row["first_call_seconds"] = read() - begin
        reference = reference or step
        row["difference"] = difference(step, reference)
        row["temporary_bytes"] = step.temporary_bytes
        if row["difference"] < 1e-3:
            calls[name] = step.call
        else:
            row["error"] = f"wrong: gradients differ by {row['difference']:.1e}"
    timings = _timing.measure(calls, rounds=rounds, read=read)
    for row in rows:
        if timing := timings.get(row["method"]):
            row |= timing.summary() | {"times_ours": _timing.ratio(timing, timings[OURS])}
    return rows


def add_options(parser) -> None:
    def sizes(text):
        return [tuple(int(x) for x in size.split("/")) for size in text.split(",")]

    parser.add_argument("--cells", type=names, default=list(GATES))
    what = "hidden/batch/time/inputs, with commas between"
    parser.add_argument("--sizes", type=sizes, default=SIZES, help=what)


def measure(options) -> Iterator[dict[str, Any]]:
    """Give all rows after every case."""
    read, rows = _timing.clock(options.both_cores), []
    with jax.enable_x64(False):
        for cell in options.cells:
            for size in options.sizes:
                rows += run_case(Case(cell, *size), options.rounds, read)
                progress(rows[-2:])
                yield {"rows": rows}


QUICK = {"sizes": [(4, 3, 5, 2)], "rounds": 2}

BENCHMARK = Benchmark("training", __doc__, measure, add_options, QUICK)


if __name__ == "__main__":
    BENCHMARK.start()
