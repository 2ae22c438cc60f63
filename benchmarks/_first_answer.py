"""One process of bench_first_answer.py: the first gradient of a loss, or the first diagnosis.

python benchmarks/_first_answer.py CASE gradient|diagnosis
"""

import json
import pathlib
import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

# Nothing heavy is imported here: a process counts what it imports.


class Case(NamedTuple):
    """A network of `size` units on `batch` sequences of `steps` steps, or `depth` layers.

    `repeats`: warm calls of the diagnosis, and of the gradient, in each process.
    """

    kind: str
    size: int
    batch: int
    steps: int
    depth: int = 1
    repeats: int = 3


CASES = {
    "tanh 32, 16 x 100": Case("tanh", 32, 16, 100),
    "LSTM 128, 32 x 200": Case("lstm", 128, 32, 200),
    "GRU 512, 64 x 500": Case("gru", 512, 64, 500, repeats=1),
    "9 GRU layers of 32, 16 x 100": Case("network", 32, 16, 100, 9),
    "9 functions of width 64, 16 samples": Case("layers", 64, 16, 0, 9),
    "LSTM 24, 16 x 100": Case("lstm", 24, 16, 100),
    "LSTM 3, 4 x 9": Case("lstm", 3, 4, 9, repeats=2),
}

_INPUT = 8  # components of an input
_GATES = {"lstm": 4, "gru": 3, "network": 3}


def cpu_seconds() -> float:
    """Return the CPU time of this process, with all its threads and children, since it began."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def peak_bytes() -> int:
    """Return the largest resident memory of this process so far."""
    status = pathlib.Path("/proc/self/status")
    if status.exists():  # ru_maxrss may still be that of the process that started this one
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def first(case: Case, what: str) -> dict[str, float]:
    """Return what the first answer cost, from the start of this process on.

    After a diagnosis: its peak memory, medians of both when warm, and their ratio.
    """
    make = {"gradient": gradient, "diagnosis": diagnosis}[what]
    call = make(case)
    call()
    found = {"first": cpu_seconds(), "peak_bytes": peak_bytes()}
    if what == "gradient":
        return found
    other = gradient(case)
    other()
    pairs = [(_seconds(call), _seconds(other)) for _ in range(case.repeats)]
    found["warm_diagnosis"] = statistics.median(d for d, _ in pairs)
    found["warm_gradient"] = statistics.median(g for _, g in pairs)
    return found | {"warm_ratio": statistics.median(d / g for d, g in pairs)}


def _seconds(call: Callable[[], Any]) -> float:
    """Return CPU seconds of one call: its mean over as many as take a tenth of a second."""
    begin, count = cpu_seconds(), 0
    while count == 0 or cpu_seconds() - begin < 0.1:
        call()
        count += 1
    return (cpu_seconds() - begin) / count


def gradient(case: Case) -> Callable[[], Any]:
    """Return the call of a jitted `value_and_grad` of the loss, written without this package."""
    import jax
    import jax.numpy as jnp

    step, state0 = _step(case.kind), _state0(case)

    def layer(p, rows):
        def body(state, x):
            state = step(p, state, x)
            return state, jax.tree.leaves(state)[0]

        return jax.vmap(lambda x: jax.lax.scan(body, state0, x)[1])(rows)

    def loss(weights, rows):
        for p in weights:
            rows = jnp.tanh(rows @ p[0].T) if case.kind == "layers" else layer(p, rows)
        return jnp.mean(rows if case.kind == "layers" else rows[:, -1])

    compiled, weights, data = jax.jit(jax.value_and_grad(loss)), _weights(case), _data(case)
    return lambda: jax.block_until_ready(compiled(weights, data))


def diagnosis(case: Case) -> Callable[[], str]:
    """Return the call of a diagnosis of the same network and loss, printed."""
    import jax
    import jax.numpy as jnp

    import vanishing_jax as vj

    weights, data, state0 = _weights(case), _data(case), _state0(case)
    if case.kind == "layers":
        layers = [_layer(jax.device_put(W)) for W, _ in weights]
        return lambda: str(vj.diagnose_layers(layers, data, loss=jnp.mean, batched=True))
    if case.kind == "network":
        step = _step(case.kind)  # one function of all layers, as one writes it
        network = vj.networks.RecurrentNetwork([vj.FunctionCell(step, p) for p in weights])
        states = (state0,) * case.depth
        return lambda: str(vj.diagnose(network, data, loss=_of_last_step, state0=states))
    cell = vj.FunctionCell(_step(case.kind), jax.device_put(weights[0]))
    return lambda: str(vj.diagnose(cell, data, loss=_of_last_step, state0=state0))


def _of_last_step(states):
    import jax

    hidden = jax.tree.leaves(states)[0]
    return hidden[:, -1].mean()


def _layer(W):
    import jax.numpy as jnp

    return lambda x: jnp.tanh(W @ x)


def _step(kind: str):
    """Return step(weights, state, input) -> state of one layer."""
    import jax
    import jax.numpy as jnp

    def tanh(p, h, x):
        return jnp.tanh(p[0] @ h + p[1] @ x)

    def lstm(p, state, x):
        i, f, g, o = jnp.split(p[0] @ state[0] + p[1] @ x, 4)
        c = jax.nn.sigmoid(f) * state[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
        return jax.nn.sigmoid(o) * jnp.tanh(c), c

    def gru(p, h, x):
        (a, b, c), (d, e, f) = jnp.split(p[0] @ h, 3), jnp.split(p[1] @ x, 3)
        r, z = jax.nn.sigmoid(a + d), jax.nn.sigmoid(b + e)
        return (1 - z) * jnp.tanh(r * c + f) + z * h

    return {"lstm": lstm, "gru": gru, "network": gru}.get(kind, tanh)


# --- NumPy arrays: their making is no part of what is compared ------------------------------------


def _weights(case: Case):
    """Return (recurrent, input) of each layer."""
    import numpy as np

    rng, n, found = np.random.default_rng(0), case.size, []
    for layer in range(case.depth):
        rows, fan_in = _GATES.get(case.kind, 1) * n, n if layer else _INPUT
        W, U = rng.standard_normal((rows, n)), rng.standard_normal((rows, fan_in))
        found.append(tuple((w / np.sqrt(w.shape[1])).astype(np.float32) for w in (W, U)))
    return found


def _data(case: Case):
    import numpy as np

    shape = (case.batch, case.size) if case.kind == "layers" else (case.batch, case.steps, _INPUT)
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def _state0(case: Case):
    import numpy as np

    zero = np.zeros(case.size, np.float32)
    return (zero, zero) if case.kind == "lstm" else zero


def save_for_command_line(case: Case, folder: pathlib.Path) -> list[str]:
    """Write a torch LSTM's weights and inputs; return the arguments that diagnose them."""
    import numpy as np
    from safetensors.numpy import save_file

    ((W, U),) = _weights(case)
    bias = np.zeros(len(W), np.float32)
    weights = {"weight_hh_l0": W, "weight_ih_l0": U, "bias_ih_l0": bias, "bias_hh_l0": bias}
    save_file(weights, folder / "lstm.safetensors")
    np.save(folder / "inputs.npy", _data(case))
    return ["diagnose", str(folder / "lstm.safetensors"), "--inputs", str(folder / "inputs.npy")]


if __name__ == "__main__":
    print(json.dumps(first(CASES[sys.argv[1]], sys.argv[2])))
