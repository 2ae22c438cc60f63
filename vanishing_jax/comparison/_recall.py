"""A plain network learns to tell which symbol it saw T steps ago; T is traced."""

import functools as ft
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from jax import lax

from .._types import Array, Key, PyTree
from ..theory._slopes import Activation, slopes
from ._gain_grid import unit_matrix


class Sizes(NamedTuple):
    """What a compiled experiment is made for."""

    activation: Activation
    weights: str
    hidden_size: int
    longest: int  # lag; there is room for so many states
    symbols: int
    batch_size: int
    updates: int
    num_test: int


class Setting(NamedTuple):
    """Numbers of one network: another value compiles nothing."""

    gain: Array
    lag: Array
    input_deviation: Array
    resting_deviation: Array  # of pre-activations, from which sequences start


@ft.partial(jax.jit, static_argnums=(0, 1))
def recall_scores(
    sizes: Sizes, optimizer: optax.GradientTransformation, settings: Setting, keys: Key
) -> tuple[Array, Array]:
    """Return test accuracy and loss of one trained network per setting and key."""
    one = ft.partial(_trained_scores, sizes, optimizer)
    if jax.default_backend() == "cpu":  # one after the other: small matrices that stay in cache
        return lax.map(lambda pair: one(*pair), (settings, keys))
    return jax.vmap(one)(settings, keys)


def _trained_scores(sizes: Sizes, optimizer, setting: Setting, key: Key):
    key_model, key_data, key_test = jr.split(key, 3)
    params, symbols = _initial(sizes, setting.gain, key_model)

    def loss_of(params, key):
        return scores(params, symbols, sizes, setting, num=sizes.batch_size, key=key)[0]

    def update(carry, key):
        params, state = carry
        changes, state = optimizer.update(jax.grad(loss_of)(params, key), state, params)
        return (optax.apply_updates(params, changes), state), None

    keys = jr.split(key_data, sizes.updates)
    (params, _), _ = lax.scan(update, (params, optimizer.init(params)), keys)
    loss, accuracy = scores(params, symbols, sizes, setting, num=sizes.num_test, key=key_test)
    return accuracy, loss


def _initial(sizes: Sizes, gain: Array, key: Key) -> tuple[dict[str, Array], Array]:
    """Return what is trained, and what each unit gets of each symbol, which is not."""
    key_W, key_V, key_symbols = jr.split(key, 3)
    n, K = sizes.hidden_size, sizes.symbols
    params = {
        "W": gain * unit_matrix(sizes.weights, n, key=key_W),
        "b": jnp.zeros(n),
        "V": jr.normal(key_V, (K, n)) / np.sqrt(n),
        "c": jnp.zeros(K),
    }
    return params, jr.normal(key_symbols, (K, n))


def scores(
    params: PyTree, symbols: Array, sizes: Sizes, setting: Setting, *, num: int, key: Key
) -> tuple[Array, Array]:
    """Return loss and accuracy on `num` fresh sequences."""
    key_label, key_start, key_noise = jr.split(key, 3)
    label = jr.randint(key_label, (num,), 0, sizes.symbols)
    start = setting.resting_deviation * jr.normal(key_start, (num, sizes.hidden_size))
    phi = slopes(sizes.activation).value
    # The symbol comes at a step of its own, upon the noise of that step.
    first = phi(start) @ params["W"].T + params["b"][None] + symbols[label]
    noise = (key_noise, setting.input_deviation)
    last: Any = run(
        sizes.activation, sizes.longest, params["W"], params["b"], first, noise, setting.lag
    )
    logits = phi(last) @ params["V"].T + params["c"][None]
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, label).mean()
    accuracy = (logits.argmax(axis=1) == label).mean()
    return loss, accuracy.astype(loss.dtype)


@ft.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def run(
    activation: Activation, longest: int, W: Array, b: Array, first: Array, noise: Any, lag: Array
) -> Array:
    """Return the pre-activations `lag` steps after `first`, a batch of them, driven by noise.

    The number of steps is traced, so that one program serves all lags in time proportional to each;
    `scan` would fix it, and JAX does not differentiate a loop whose end is traced: hence the
    backward pass below.
    """
    return _forward(activation, longest, W, b, first, noise, lag)[0]


def _forward(activation, longest, W, b, first, noise, lag):
    phi, (key, deviation) = slopes(activation).value, noise

    def step(t, carry):
        a, kept = carry
        kept = lax.dynamic_update_index_in_dim(kept, a, t, 0)
        drive = deviation * jr.normal(jr.fold_in(key, t), a.shape)
        return phi(a) @ W.T + b[None] + drive, kept

    kept = jnp.zeros((longest, *first.shape), first.dtype)
    last, kept = lax.fori_loop(0, lag, step, (first, kept))
    return last, (W, kept, noise, lag)


def _backward(activation, longest, saved, gradient):
    W, kept, noise, lag = saved
    phi = slopes(activation)

    def step(i, carry):
        d, dW, db = carry  # d: of the pre-activations at step t + 1
        a = kept[lag - 1 - i]
        return phi.slope(a) * (d @ W), dW + d.T @ phi.value(a), db + d.sum(axis=0)

    zeros = jnp.zeros_like(W), jnp.zeros(W.shape[0], W.dtype)
    d, dW, db = lax.fori_loop(0, lag, step, (gradient, *zeros))
    return dW, db, d, jax.tree.map(_no_gradient, noise), _no_gradient(lag)


def _no_gradient(x):
    floating = jnp.issubdtype(x.dtype, jnp.inexact)
    return jnp.zeros_like(x) if floating else np.zeros(x.shape, jax.dtypes.float0)


run.defvjp(_forward, _backward)
