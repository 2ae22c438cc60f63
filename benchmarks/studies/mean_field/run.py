"""Leading exponents of wide random networks, measured beside what mean-field theory predicts.

The growth of one vector along each network, (1/T) log ||J_T ... J_1 v||, by the package's own
streamed products, after a burn-in; several networks each, so that the mean has a standard error.
Plain tanh networks of two sizes, and of a third where they differ; the same over few steps; layer
normalization in both placements, batch normalization over a batch.

    python benchmarks/study.py mean_field [--quick] [--only short]
"""

import functools as ft
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from _main import Benchmark, kept, progress
from studies.mean_field.page import TARGET

import vanishing_jax as vj
from vanishing_jax import theory

GAINS = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0)
INPUT_VARIANCES = (0.0, 0.01, 0.1, 1.0)
PARTS = ("plain", "short", "normalized", "wide")
SHORT = {"n": 500, "steps": 20, "burn": 100, "seeds": 24}
FULL = {"n": 500, "steps": 1500, "burn": 300, "seeds": 48}
NORMALIZED = {"n": 500, "steps": 800, "burn": 100, "seeds": 8}
BATCH = {"n": 500, "batch": 256, "steps": 100, "burn": 30, "seeds": 3}
WIDE = {"n": 2000, "steps": 1500, "burn": 300, "seeds": 6}
SIZES = (FULL, SHORT, NORMALIZED, BATCH, WIDE)


# --- measuring --------------------------------------------------------------------------------


def growth(cell, state, inputs, vector, burn: int):
    """Return (1/T) log ||J_T ... J_1 v|| of the steps after the burn-in."""
    trajectory = vj.rollout(cell, state, inputs)
    chain = vj.linearize(cell, trajectory, dense=False)
    window = (burn, chain.num_steps)
    v, exponent = chain.scaled_mv(vector / jnp.linalg.norm(vector), window=window)
    log_norm = jnp.log(jnp.linalg.norm(v)) + exponent.astype(v.dtype) * np.log(2.0)
    return log_norm / (window[1] - burn)


@ft.partial(jax.jit, static_argnums=(0, 1, 2))
def plain_growth(n: int, steps: int, burn: int, gain, input_variance, key):
    """Return the growth in one tanh network whose every unit has an input of its own."""
    key_weight, key_state, key_input, key_vector = jr.split(key, 4)
    W = gain / np.sqrt(n) * jr.normal(key_weight, (n, n))
    inputs = jnp.sqrt(input_variance) * jr.normal(key_input, (burn + steps, n))
    cell = vj.FunctionCell(lambda W, h, u: jnp.tanh(W @ h + u), W)
    state, vector = jr.normal(key_state, (n,)), jr.normal(key_vector, (n,))
    return growth(cell, state, inputs, vector, burn)


def _normal_cell(n, input_deviation, activation, key):
    def normal(key, shape, dtype):
        return jr.normal(key, shape, dtype) / np.sqrt(shape[0])

    initializers = {"recurrent_initializer": normal, "input_initializer": normal}
    cell = vj.cells.VanillaCell(n, n, activation=activation, **initializers, key=key)
    return eqx.tree_at(lambda c: c.weight_xh, cell, replace_fn=lambda U: input_deviation * U)


@ft.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def layer_norm_growth(n: int, steps: int, burn: int, placement: str, gain, input_variance, key):
    """Return the growth in one tanh network with layer normalization."""
    key_cell, key_state, key_input, key_vector = jr.split(key, 4)
    inner = _normal_cell(n, jnp.sqrt(input_variance), jnp.tanh, key_cell)
    cell = vj.cells.LayerNormCell(inner, placement=placement, epsilon=1e-10)
    cell = eqx.tree_at(
        lambda c: [norm.weight for norm in c.norms.values()],
        cell,
        [gain * jnp.ones(n) for _ in cell.norms],
    )
    inputs = jr.normal(key_input, (burn + steps, n))
    state, vector = jr.normal(key_state, (n,)), jr.normal(key_vector, (n,))
    return growth(cell, state, inputs, vector, burn)


@ft.partial(jax.jit, static_argnums=(0, 1, 2, 3, 4, 5))
def batch_norm_growth(n, batch, steps, burn, placement, activation, gain, key):
    """Return the growth in a whole batch of networks, its statistics differentiated through."""
    key_cell, key_state, key_input, key_vector = jr.split(key, 4)
    functions = {"tanh": jnp.tanh, "relu": jax.nn.relu}
    inner = _normal_cell(n, 1.0, functions[activation], key_cell)
    normalized = vj.cells.BatchNormCell(
        inner, num_steps=1, placement=placement, gain=1.0, epsilon=1e-10
    )
    normalized = eqx.tree_at(
        lambda c: c.gain, normalized, {site: gain * g for site, g in normalized.gain.items()}
    )
    training = vj.cells.use_batch_statistics(normalized)
    _, step, statistics = training.initial_state()

    def advance(_, states, inputs):
        one = lambda h, x: training((h, step, statistics), x)[0]  # noqa: E731
        return jax.vmap(one, axis_name="batch")(states, inputs)

    cell = vj.FunctionCell(advance, None)
    inputs = jr.normal(key_input, (burn + steps, batch, n))
    states, vector = jr.normal(key_state, (batch, n)), jr.normal(key_vector, (batch * n,))
    return growth(cell, states, inputs, vector, burn)


def spectral_radius_log(n: int, seeds: int) -> list[float]:
    """Return ln of the spectral radius of Gaussian matrices of gain 1."""
    rng = np.random.default_rng(0)
    matrices = (rng.standard_normal((n, n)) / np.sqrt(n) for _ in range(seeds))
    return [float(np.log(np.abs(np.linalg.eigvals(W)).max())) for W in matrices]


def summary(values) -> dict[str, float]:
    """Return mean, standard error of the mean, and standard deviation between networks."""
    values = np.asarray(values, float)
    deviation = values.std(ddof=1)
    return {
        "measured": values.mean(),
        "standard_error": deviation / np.sqrt(len(values)),
        "deviation": deviation,
        "networks": len(values),
    }


# --- the experiments --------------------------------------------------------------------------


def plain(settings, gains, input_variances):
    """Return one row per (input variance, gain), at n and at n/2."""
    n, steps, burn = settings["n"], settings["steps"], settings["burn"]
    rows = []
    for i, input_variance in enumerate(input_variances):
        for j, gain in enumerate(gains):
            row = {"input_variance": input_variance, "gain": gain}
            row["predicted"] = theory.mean_field_exponent(
                activation="tanh", gain=gain, input_variance=input_variance
            )
            for size, name in ((n, "full"), (n // 2, "half")):
                keys = jr.split(jr.fold_in(jr.key(size), 100 * i + j), settings["seeds"])
                found = [
                    plain_growth(size, steps, burn, float(gain), float(input_variance), key)
                    for key in keys
                ]
                row[name] = {"n": size, **summary(found)}
            rows.append(row)
            progress(row)
    return rows


def short(settings, gains, input_variances):
    """Return one row per (input variance, gain): the growth over the first few steps alone."""
    rows = []
    for i, input_variance in enumerate(input_variances):
        for j, gain in enumerate(gains):
            keys = jr.split(jr.fold_in(jr.key(1), 100 * i + j), settings["seeds"])
            sizes = (settings[name] for name in ("n", "steps", "burn"))
            arguments = (*sizes, float(gain), float(input_variance))
            row = {"input_variance": input_variance, "gain": gain}
            row["predicted"] = theory.mean_field_exponent(
                activation="tanh", gain=gain, input_variance=input_variance
            )
            rows.append(row | summary([plain_growth(*arguments, key) for key in keys]))
            progress(rows[-1])
    return rows


def wide(settings, plain_rows):
    """Return one row per plain case outside the target, from wider networks."""
    rows = []
    for k, row in enumerate(plain_rows):
        if abs(row["full"]["measured"] - row["predicted"]) > TARGET:
            keys = jr.split(jr.fold_in(jr.key(settings["n"]), k), settings["seeds"])
            sizes = (settings[name] for name in ("n", "steps", "burn"))
            arguments = (*sizes, float(row["gain"]), float(row["input_variance"]))
            found = summary([plain_growth(*arguments, key) for key in keys])
            rows.append({x: row[x] for x in ("input_variance", "gain", "predicted")} | found)
            progress(rows[-1])
    return rows


def layer_norm(settings, cases):
    """Return one row per (placement, gain, input variance)."""
    rows = []
    for k, (placement, gain, input_variance) in enumerate(cases):
        given = {"input_variance": input_variance} if placement == "joint" else {}
        predicted = theory.layer_norm_exponent(placement=placement, gain=gain, **given)
        keys = jr.split(jr.fold_in(jr.key(7), k), settings["seeds"])
        arguments = (settings["n"], settings["steps"], settings["burn"], placement)
        found = [
            layer_norm_growth(*arguments, float(gain), float(input_variance), key) for key in keys
        ]
        row = {"norm": "LayerNorm", "placement": placement, "gain": gain, "activation": "tanh"}
        row |= {"input_variance": input_variance, "predicted": predicted, **summary(found)}
        rows.append(row)
        progress(row)
    return rows


def batch_norm(settings, cases):
    """Return one row per (placement, activation, gain)."""
    rows = []
    for k, (placement, activation, gain) in enumerate(cases):
        if placement == "input":
            predicted = theory.mean_field_exponent(
                activation=activation, gain=1.0, input_variance=gain**2
            )
        else:
            predicted = theory.batch_norm_exponent(activation=activation, gain=gain)
        keys = jr.split(jr.fold_in(jr.key(8), k), settings["seeds"])
        arguments = [settings[name] for name in ("n", "batch", "steps", "burn")]
        found = [
            batch_norm_growth(*arguments, placement, activation, float(gain), key) for key in keys
        ]
        row = {"norm": "BatchNorm", "placement": placement, "gain": gain, "activation": activation}
        row |= {"input_variance": 1.0, "predicted": predicted, **summary(found)}
        rows.append(row)
        progress(row)
    return rows


LAYER_NORM_CASES = [
    *[("joint", gain, 0.0) for gain in (0.5, 1.0, 2.0)],
    *[("joint", 1.0, input_variance) for input_variance in (0.01, 0.1, 1.0)],
    *[("separate", gain, 1.0) for gain in (0.1, 0.5, 1.0, 2.0, 4.0)],
]
BATCH_NORM_CASES = [
    *[("recurrent", "tanh", gain) for gain in (0.1, 0.5, 1.0, 2.0)],
    ("recurrent", "relu", 1.0),
    ("input", "tanh", 1.0),
]


def add_options(parser) -> None:
    parser.add_argument("--only", choices=PARTS, nargs="*", default=list(PARTS))


def measure(options) -> Iterator[dict[str, Any]]:
    """Give what was found after every part asked for, and the other parts of the JSON file."""
    sizes = dict(zip(("plain", "short", "layer_norm", "batch_norm", "wide"), SIZES, strict=True))
    layer_cases, batch_cases, grid = LAYER_NORM_CASES, BATCH_NORM_CASES, (GAINS, INPUT_VARIANCES)
    if options.quick:
        small = {"n": 8, "batch": 4, "steps": 6, "burn": 2, "seeds": 2}
        sizes = dict.fromkeys(sizes, small)
        layer_cases, batch_cases = layer_cases[-1:], batch_cases[:1]
        grid = ((0.5, 2.0), (0.0, 0.1))
    found, seconds = kept(options, PARTS, ["spectral_radius"])
    for part in options.only:
        begin = time.process_time()
        if part == "plain":
            found["plain"] = plain(sizes["plain"], *grid)
            radius = spectral_radius_log(sizes["plain"]["n"], 2 * sizes["plain"]["seeds"])
            found["spectral_radius"] = summary(radius)
        elif part == "short":
            found["short"] = short(sizes["short"], *grid)
        elif part == "wide":
            found["wide"] = wide(sizes["wide"], found["plain"])
        else:
            found["normalized"] = layer_norm(sizes["layer_norm"], layer_cases)
            found["normalized"] += batch_norm(sizes["batch_norm"], batch_cases)
        seconds[part] = time.process_time() - begin
        yield found | {"settings": sizes | {"cpu_seconds": seconds}}


BENCHMARK = Benchmark(
    "mean_field", __doc__, measure, add_options, out=pathlib.Path(__file__).with_name("result.json")
)
