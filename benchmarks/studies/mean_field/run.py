"""Leading exponents of wide random networks, measured beside what mean-field theory predicts.

The growth of one vector along each network, (1/T) log ||J_T ... J_1 v||, by the package's own
streamed products, after a burn-in; several networks each, so that the mean has a standard error.
Plain tanh networks of two sizes, and of a third where they differ; the same over few steps; layer
normalization in both placements, batch normalization over a batch.

    python benchmarks/study.py mean_field [--quick] [--only short]
"""

import functools as ft
import time
from collections.abc import Iterable, Iterator
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
SIZES = {
    "plain": {"n": 500, "steps": 1500, "burn": 300, "seeds": 48},
    "short": {"n": 500, "steps": 20, "burn": 100, "seeds": 24},
    "layer_norm": {"n": 500, "steps": 800, "burn": 100, "seeds": 8},
    "batch_norm": {"n": 500, "batch": 256, "steps": 100, "burn": 30, "seeds": 3},
    "wide": {"n": 2000, "steps": 1500, "burn": 300, "seeds": 6},
}


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


def measured(grow, sizes: dict[str, int], arguments: Iterable[Any], key) -> dict[str, float]:
    """Return the summary of as many networks as `sizes` says."""
    arguments = tuple(arguments)
    return summary([grow(*arguments, one) for one in jr.split(key, sizes["seeds"])])


def plain_networks(sizes: dict[str, int], row: dict[str, Any], key) -> dict[str, float]:
    """Return the summary of tanh networks at the gain and the input variance of a row."""
    shape = (sizes[name] for name in ("n", "steps", "burn"))
    place = (float(row[name]) for name in ("gain", "input_variance"))
    return measured(plain_growth, sizes, (*shape, *place), key)


def grid(gains, input_variances) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield a number and the prediction of each pair of input variance and gain."""
    for i, input_variance in enumerate(input_variances):
        for j, gain in enumerate(gains):
            place = {"gain": gain, "input_variance": input_variance}
            predicted = theory.mean_field_exponent(activation="tanh", **place)
            yield 100 * i + j, {**place, "predicted": predicted}


def plain(sizes, places):
    """Yield one row per (input variance, gain), at n and at n/2."""
    for number, row in places:
        for n, name in ((sizes["n"], "full"), (sizes["n"] // 2, "half")):
            key = jr.fold_in(jr.key(n), number)
            row[name] = {"n": n, **plain_networks(sizes | {"n": n}, row, key)}
        yield row


def short(sizes, places):
    """Yield one row per (input variance, gain): the growth over the first few steps alone."""
    for number, row in places:
        yield row | plain_networks(sizes, row, jr.fold_in(jr.key(1), number))


def wide(sizes, plain_rows):
    """Yield one row per plain case outside the target, from wider networks."""
    for number, row in enumerate(plain_rows):
        if abs(row["full"]["measured"] - row["predicted"]) > TARGET:
            key = jr.fold_in(jr.key(sizes["n"]), number)
            place = {name: row[name] for name in ("input_variance", "gain", "predicted")}
            yield place | plain_networks(sizes, row, key)


def layer_norm(sizes, cases):
    """Yield one row per (placement, gain, input variance)."""
    for number, (placement, gain, input_variance) in enumerate(cases):
        given = {"input_variance": input_variance} if placement == "joint" else {}
        row = {"norm": "LayerNorm", "placement": placement, "gain": gain, "activation": "tanh"}
        row |= {"input_variance": input_variance}
        row["predicted"] = theory.layer_norm_exponent(placement=placement, gain=gain, **given)
        shape = (sizes[name] for name in ("n", "steps", "burn"))
        arguments = (*shape, placement, float(gain), float(input_variance))
        yield row | measured(layer_norm_growth, sizes, arguments, jr.fold_in(jr.key(7), number))


def batch_norm(sizes, cases):
    """Yield one row per (placement, activation, gain)."""
    for number, (placement, activation, gain) in enumerate(cases):
        row = {"norm": "BatchNorm", "placement": placement, "gain": gain, "activation": activation}
        row["input_variance"] = 1.0
        if placement == "input":
            row["predicted"] = theory.mean_field_exponent(
                activation=activation, gain=1.0, input_variance=gain**2
            )
        else:
            row["predicted"] = theory.batch_norm_exponent(activation=activation, gain=gain)
        shape = (sizes[name] for name in ("n", "batch", "steps", "burn"))
        arguments = (*shape, placement, activation, float(gain))
        yield row | measured(batch_norm_growth, sizes, arguments, jr.fold_in(jr.key(8), number))


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
    sizes, places = SIZES, (GAINS, INPUT_VARIANCES)
    layer_cases, batch_cases = LAYER_NORM_CASES, BATCH_NORM_CASES
    if options.quick:
        sizes = dict.fromkeys(SIZES, {"n": 8, "batch": 4, "steps": 6, "burn": 2, "seeds": 2})
        layer_cases, batch_cases = layer_cases[-1:], batch_cases[:1]
        places = ((0.5, 2.0), (0.0, 0.1))
    found, seconds = kept(options, PARTS, ["spectral_radius"])
    for part in options.only:
        begin = time.process_time()
        if part == "plain":
            found[part] = list(plain(sizes[part], grid(*places)))
            radius = spectral_radius_log(sizes[part]["n"], 2 * sizes[part]["seeds"])
            found["spectral_radius"] = summary(radius)
        elif part == "short":
            found[part] = list(short(sizes[part], grid(*places)))
        elif part == "wide":
            found[part] = list(wide(sizes[part], found["plain"]))
        else:
            found[part] = list(layer_norm(sizes["layer_norm"], layer_cases))
            found[part] += batch_norm(sizes["batch_norm"], batch_cases)
        seconds[part] = time.process_time() - begin
        progress(f"{part}: {seconds[part]:.0f} CPU s")
        yield found | {"settings": sizes | {"cpu_seconds": seconds}}


BENCHMARK = Benchmark("mean_field", __doc__, measure, add_options)
