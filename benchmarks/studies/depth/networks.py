"""Deep networks at random initialization, as lists of layers for `layer_gradient_profile`.

Every layer is an Equinox module whose weights are leaves, so that all layers of a network share one
compiled program.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np


class Block(eqx.Module):
    """One layer on a batch (batch, features): where it normalizes, and whether it skips.

    `placement`: "none" phi(x W); "batch" phi(BN(x W)); "layer" phi(LN(x W)); with a skip "none"
    x + phi(x W), "batch" x + phi(BN(x)) W, "layer pre" x + phi(LN(x)) W, "layer post"
    LN(x + phi(x W)).
    """

    weight: jax.Array
    activation: Callable = eqx.field(static=True)
    placement: str = eqx.field(static=True)
    skip: bool = eqx.field(static=True)

    def __call__(self, x):
        """Return the layer's output."""
        phi, W = self.activation, self.weight
        if not self.skip:
            axis = {"none": None, "batch": 0, "layer": -1}[self.placement]
            return phi(x @ W if axis is None else jax.nn.standardize(x @ W, axis))
        if self.placement == "none":
            return x + phi(x @ W)
        if self.placement == "layer post":
            return jax.nn.standardize(x + phi(x @ W))
        return x + phi(jax.nn.standardize(x, 0 if self.placement == "batch" else -1)) @ W


class Transformer(eqx.Module):
    """A pre-norm block on tokens (token, features): multi-head attention, then an MLP."""

    query: jax.Array
    key: jax.Array
    value: jax.Array
    out: jax.Array
    up: jax.Array
    down: jax.Array
    heads: int = eqx.field(static=True)

    def __call__(self, x):
        """Return the block's output."""
        y = jax.nn.standardize(x)
        q, k, v = (self._split(y @ W) for W in (self.query, self.key, self.value))
        x = x + jax.nn.dot_product_attention(q, k, v).reshape(x.shape) @ self.out
        return x + jax.nn.gelu(jax.nn.standardize(x) @ self.up) @ self.down

    def _split(self, y):
        return y.reshape(len(y), self.heads, -1)


class Network(NamedTuple):
    """A row of the table: its name, how a layer is drawn, and a law for its growth per layer.

    `law`: the growth of the squared gradient per layer in the limit of infinite width and batch,
    where one is known. `growing`: whether depth adds ever less (a power of depth) instead of a
    factor per layer.
    """

    name: str
    draw: Callable[[Any, int], eqx.Module]
    law: float | None = None
    tokens: bool = False


def _linear(x):
    return x


def block(gain: float, activation=jax.nn.relu, placement="none", skip=False):
    """Return a function that draws a block with weights of variance gain^2/n."""

    def draw(key, n):
        weight = gain / np.sqrt(n) * np.asarray(jr.normal(key, (n, n), jnp.float32))
        return Block(jnp.asarray(weight, jnp.float32), activation, placement, skip)

    return draw


def transformer(key, n):
    """Draw a pre-norm transformer block: all weights of variance 1/fan-in, MLP of width 4n."""
    keys = jr.split(key, 6)
    shapes = [(n, n)] * 4 + [(n, 4 * n), (4 * n, n)]
    W = [
        jr.normal(k, s, jnp.float32) / jnp.sqrt(jnp.float32(s[0]))
        for k, s in zip(keys, shapes, strict=True)
    ]
    return Transformer(*W, heads=max(1, n // 32))


# Squared-gradient growth of ReLU with batch normalization, Yang et al. (2019).
RELU_BATCH_NORM = float(np.pi / (np.pi - 1))

_HE, _GLOROT = float(np.sqrt(2)), 1.0

NETWORKS = [
    Network("tanh, Glorot", block(_GLOROT, jnp.tanh)),
    Network("tanh, He", block(_HE, jnp.tanh)),
    Network("ReLU, Glorot", block(_GLOROT), 0.5),
    Network("ReLU, He", block(_HE), 1.0),
    Network("ReLU, batch norm", block(_HE, placement="batch"), RELU_BATCH_NORM),
    Network("tanh, batch norm", block(_GLOROT, jnp.tanh, "batch")),
    Network("linear, batch norm", block(_GLOROT, _linear, "batch"), 1.0),
    Network("ReLU, layer norm", block(_HE, placement="layer")),
    Network("ReLU, He, skip", block(_HE, skip=True)),
    Network("ReLU, batch norm, skip", block(_HE, placement="batch", skip=True)),
    Network("ReLU, layer norm before, skip", block(_HE, placement="layer pre", skip=True)),
    Network("ReLU, layer norm after, skip", block(_HE, placement="layer post", skip=True)),
    Network("transformer, pre-norm", transformer, tokens=True),
]
