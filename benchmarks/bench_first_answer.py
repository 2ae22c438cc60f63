"""Measure how long a first and a second diagnosis take, in units of one gradient of the loss.

python benchmarks/bench_first_answer.py

Each measurement is a process of its own. "gradient": `import jax` and the first jitted
`value_and_grad` of the loss; "diagnosis": `import jax`, `import vanishing_jax` and the first
diagnosis, printed. Both in CPU seconds of all threads, children included; then both once more,
warm. Peak memory is that of the process.
"""

import argparse
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import time
from typing import Any, NamedTuple

# Nothing else is imported here: a child counts what it imports.


class Case(NamedTuple):
    """A network of `size` units on `batch` sequences of `steps` steps, or `depth` layers."""

    kind: str
    size: int
    batch: int
    steps: int
    depth: int = 1


CASES = {
    "tanh 32, 16 x 100": Case("tanh", 32, 16, 100),
    "LSTM 128, 32 x 200": Case("lstm", 128, 32, 200),
    "GRU 512, 64 x 500": Case("gru", 512, 64, 500),
    "9 GRU layers of 32, 16 x 100": Case("network", 32, 16, 100, 9),
    "9 functions of width 64, 16 samples": Case("layers", 64, 16, 0, 9),
}
QUICK = {"tanh 3, 4 x 9": Case("tanh", 3, 4, 9), "3 functions": Case("layers", 3, 4, 0, 3)}

# Inputs of each step.
_INPUT = 8


def child(case: Case, what: str, repeats: int) -> dict[str, float]:
    """Return CPU seconds, first and warm, of the gradient or the diagnosis in this process."""
    begin = time.process_time()
    import jax
    import numpy as np

    rng = np.random.default_rng(0)
    once = {"gradient": _gradient, "diagnosis": _diagnosis}[what](case, rng, jax)
    once()
    first = time.process_time()
    warm = []
    for _ in range(repeats):
        start = time.process_time()
        once()
        warm.append(time.process_time() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"first": first - begin, "warm": min(warm), "peak_gib": peak}


def _weights(case, rng):
    """Return NumPy weights: their making is no part of what is compared."""
    import numpy as np

    gates = {"lstm": 4, "gru": 3, "network": 3}.get(case.kind, 1)
    n, found = case.size, []
    for layer in range(case.depth):
        fan_in = n if case.kind == "layers" or layer else _INPUT
        W, U = rng.standard_normal((gates * n, n)), rng.standard_normal((gates * n, fan_in))
        found.append(tuple((w / np.sqrt(w.shape[1])).astype(np.float32) for w in (W, U)))
    return found


def _data(case, rng):
    import numpy as np

    shape = (case.batch, case.size) if case.kind == "layers" else (case.batch, case.steps, _INPUT)
    return rng.standard_normal(shape).astype(np.float32)


def _step(kind):
    """Return step(weights, state, input) -> state of one layer, and its hidden output."""
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

    return {"tanh": tanh, "lstm": lstm, "gru": gru, "network": gru}[kind]


def _state0(case):
    import numpy as np

    zero = np.zeros(case.size, np.float32)
    return (zero, zero) if case.kind == "lstm" else zero


def _gradient(case, rng, jax):
    weights, data = _weights(case, rng), _data(case, rng)
    jnp = jax.numpy

    def loss(weights, data):
        if case.kind == "layers":
            rows = data
            for W, _ in weights:
                rows = jnp.tanh(rows @ W.T)
            return jnp.mean(rows)
        step, rows = _step(case.kind), data
        for p in weights:

            def run(x, p=p):
                def body(state, x):
                    state = step(p, state, x)
                    return state, jax.tree.leaves(state)[0]

                return jax.lax.scan(body, _state0(case), x)[1]

            rows = jax.vmap(run)(rows)
        return jnp.mean(rows[:, -1])

    compiled = jax.jit(jax.value_and_grad(loss))
    return lambda: jax.block_until_ready(compiled(weights, data))


def _diagnosis(case, rng, jax):
    import vanishing_jax as vj

    weights, data = _weights(case, rng), _data(case, rng)
    jnp = jax.numpy
    if case.kind == "layers":

        def layer(W):
            return lambda x: jnp.tanh(W @ x)

        layers = [layer(jax.device_put(W)) for W, _ in weights]
        return lambda: str(vj.diagnose_layers(layers, data, loss=jnp.mean, batched=True))
    if case.kind == "network":
        return _network(case, weights, data, vj, jnp)
    cell = vj.FunctionCell(_step(case.kind), jax.device_put(weights[0]))

    def loss(states):
        return jnp.mean((states[0] if case.kind == "lstm" else states)[:, -1])

    return lambda: str(vj.diagnose(cell, data, loss=loss, state0=_state0(case)))


def _network(case, weights, data, vj, jnp):
    step = _step("gru")
    cells = [vj.FunctionCell(step, w) for w in weights]
    network = vj.networks.RecurrentNetwork(cells)
    states = tuple(_state0(case) for _ in cells)

    def loss(output):
        return jnp.mean(output[:, -1])

    return lambda: str(vj.diagnose(network, data, loss=loss, state0=states))


def in_a_process(name: str, what: str, quick: bool, repeats: int) -> dict[str, float]:
    """Return what `child` measures, in a fresh process."""
    command = [sys.executable, __file__, "--child", name, what, "--repeats", str(repeats)]
    out = subprocess.run(
        command + ["--quick"] * quick, check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(out.stdout)


def rows(quick: bool, rounds: int, repeats: int) -> list[dict[str, Any]]:
    """Return medians over the rounds and the ratios of each round's pair."""
    found = []
    for name in QUICK if quick else CASES:
        pairs = []
        for _ in range(rounds):
            kinds = "gradient", "diagnosis"
            pairs.append([in_a_process(name, what, quick, repeats) for what in kinds])
        row: dict[str, Any] = {"case": name}
        for when in ("first", "warm"):
            row[f"{when}_gradient_seconds"] = statistics.median(g[when] for g, _ in pairs)
            row[f"{when}_diagnosis_seconds"] = statistics.median(d[when] for _, d in pairs)
            row[f"{when}_ratio"] = statistics.median(d[when] / g[when] for g, d in pairs)
        row["peak_gib"] = max(d["peak_gib"] for _, d in pairs)
        found.append(row)
        print(row, file=sys.stderr)
    return found


def parse(arguments=None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description="Measure first and second diagnoses.")
    parser.add_argument("--quick", action="store_true", help="toy sizes, to see that it runs")
    parser.add_argument("--rounds", type=int, default=5, help="fresh processes of each")
    parser.add_argument("--repeats", type=int, default=3, help="warm calls in each process")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=pathlib.Path, help="JSON file to write")
    return parser.parse_args(arguments)


def main(arguments=None) -> int:
    """Measure and write, or be one of the processes that are measured."""
    options = parse(arguments)
    if options.child is not None:
        name, what = options.child
        case = (QUICK if options.quick else CASES)[name]
        print(json.dumps(child(case, what, options.repeats)))
        return 0
    begin = time.perf_counter()
    found = rows(options.quick, 1 if options.quick else options.rounds, options.repeats)
    import _timing

    out = options.out or _timing.RESULTS / "first_answer.json"
    settings = {"quick": options.quick, "rounds": options.rounds, "repeats": options.repeats}
    settings["wall_seconds"] = time.perf_counter() - begin
    _timing.write(out, "first_answer", settings, rows=found)
    print(f"wrote {out}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
