"""Networks of Flax, Haiku and Equinox with drawn weights, to compare imports with."""

import functools as ft
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from _imports import Original, Run, Sizes, redraw

from vanishing_jax import interop

Step = Callable[[Any, Any, Any], Any]


def plainly(fn: Callable) -> Callable:
    """Return `fn` under JAX's own rules of promotion, which other libraries rely on."""

    @ft.wraps(fn)
    def call(*args, **options):
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            return fn(*args, **options)

    return call


def by_steps(step: Step, weights: Any, order: Callable[[Any], Any] = lambda s: s) -> Callable:
    """Return a `run` of `step(weights, state, x) -> (state, output)`.

    `order` swaps between the order of a state here and there; it is its own inverse.
    """

    def sequence(weights, state0, inputs):
        return jax.lax.scan(lambda s, x: step(weights, s, x), order(state0), inputs)[1]

    return by_sequence(sequence, weights)


def by_sequence(sequence: Callable, weights: Any) -> Callable:
    """Return a `run` of `sequence(weights, state0, inputs) -> outputs`."""

    @jax.jit
    def differentiate(weights, state0, inputs, probe):
        def loss(weights, state0, inputs):
            outputs = sequence(weights, state0, inputs)
            return jnp.sum(outputs * probe), outputs

        grad = jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)
        return grad(weights, state0, inputs)

    @plainly
    def run(state0, inputs, probe):
        if probe is None:
            return Run(np.asarray(sequence(weights, state0[0], inputs)))
        (_, outputs), gradients = differentiate(weights, state0[0], inputs, probe)
        return Run(np.asarray(outputs), gradients[2], (gradients[1],), gradients[0])

    return run


def swapped(state: tuple) -> tuple:
    """Return (c, h) as (h, c), and the other way round."""
    return state[1], state[0]


@plainly
def linen(kind: str, sizes: Sizes) -> Original:
    """Return a cell of Flax Linen."""
    from flax import linen

    module = getattr(linen, kind)(sizes.units)
    x, key = jnp.zeros(sizes.inputs, jnp.float32), jax.random.key(0)
    carry = jax.eval_shape(lambda: module.initialize_carry(key, x.shape))
    weights = redraw(jax.eval_shape(module.init, key, carry, x), np.random.default_rng(1))
    order = swapped if isinstance(carry, tuple) else lambda s: s
    options = {"activation": "tanh"} if kind == "SimpleCell" else {}
    load = ft.partial(interop.load_flax, **options)
    return Original(kind, weights, load, by_steps(module.apply, weights, order))


@plainly
def linen_bidirectional(kind: str, sizes: Sizes) -> Original:
    """Return a layer of Flax Linen that reads both ways; it starts from 0."""
    from flax import linen

    rnn = [linen.RNN(getattr(linen, kind)(sizes.units)) for _ in range(2)]
    module, x = linen.Bidirectional(*rnn), jnp.zeros((sizes.steps, sizes.inputs), jnp.float32)
    shapes = jax.eval_shape(module.init, jax.random.key(0), x)
    weights = redraw(shapes, np.random.default_rng(1))
    order = swapped if "LSTM" in kind else lambda s: s

    def sequence(weights, state0, inputs):
        start = tuple(map(order, state0))
        return module.apply(weights, inputs, initial_carry=start)

    run = by_sequence(sequence, weights)
    return Original(f"Bidirectional, {kind}", weights, interop.load_flax, run)


@plainly
def nnx(kind: str, sizes: Sizes) -> Original:
    """Return a cell of Flax NNX."""
    from flax import nnx

    make = getattr(nnx, kind)
    module = nnx.eval_shape(lambda: make(sizes.inputs, sizes.units, rngs=nnx.Rngs(0)))
    graph, params, rest = nnx.split(module, nnx.Param, ...)
    weights = redraw(params, np.random.default_rng(1))
    order = swapped if "LSTM" in kind else lambda s: s

    def step(weights, state, x):
        return nnx.merge(graph, weights, rest)(state, x)

    options = {"activation": "tanh"} if kind == "SimpleCell" else {}
    load = ft.partial(interop.load_flax, **options)
    return Original(kind, weights, load, by_steps(step, weights, order))


@plainly
def haiku(kind: str, sizes: Sizes) -> Original:
    """Return a core of Haiku."""
    import haiku as hk

    def call(x, state):
        core = getattr(hk, kind)(sizes.units)
        return core(x, core.initial_state(None) if state is None else state)

    module = hk.without_apply_rng(hk.transform(call))
    x = jnp.zeros(sizes.inputs, jnp.float32)
    shapes = jax.eval_shape(lambda key: module.init(key, x, None), jax.random.key(0))
    weights = redraw(shapes, np.random.default_rng(1))

    def step(weights, state, x):
        state = hk.LSTMState(*state) if kind == "LSTM" else state
        output, state = module.apply(weights, x, state)
        return tuple(state) if kind == "LSTM" else state, output

    run = by_steps(step, weights)

    def with_one_bias(state0, inputs, probe):
        found = run(state0, inputs, probe)
        second = "vanilla_rnn/linear_1"
        if probe is not None and second in found.of_weights:
            found.of_weights[second]["b"] = np.zeros(sizes.units, np.float32)
        return found

    return Original(kind, weights, interop.load_haiku, with_one_bias)


@plainly
def equinox(kind: str, sizes: Sizes) -> Original:
    """Return a cell of Equinox."""
    make = ft.partial(getattr(eqx.nn, kind), sizes.inputs, sizes.units, dtype=jnp.float32)
    shapes = eqx.filter_eval_shape(make, key=jax.random.key(0))
    module = redraw(shapes, np.random.default_rng(1))

    def step(module, state, x):
        state = module(x, state)
        return state, state[0] if kind == "LSTMCell" else state

    def load(module):
        leaves = jax.tree_util.tree_leaves_with_path(module)
        return interop.load_equinox({jax.tree_util.keystr(p): leaf for p, leaf in leaves})

    return Original(kind, module, load, by_steps(step, module))
