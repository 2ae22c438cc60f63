"""Driven recurrent networks for the benchmarks, as a user would write them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

import vanishing_jax as vj

_INPUTS = 4


class Problem(NamedTuple):
    """A cell `fn(params, state, input)` and the trajectory around which it is linearized.

    With `batch` > 1 the leaves of `states` and `inputs` have a leading axis of that length.
    """

    name: str
    fn: Callable
    params: Any
    states: Any
    inputs: Any
    size: int
    steps: int
    batch: int

    @property
    def cell(self):
        """The cell for vanishing_jax."""
        return vj.FunctionCell(self.fn, self.params)

    @property
    def trajectory(self):
        """The trajectory for vanishing_jax."""
        return vj.Trajectory(self.states, self.inputs)

    def vector_step(self):
        """Return step(params, vector, input): the cell on a flat state."""
        batched = self.batch > 1
        example = jax.tree.map(lambda x: x[0, 0] if batched else x[0], self.states)
        _, unravel = ravel_pytree(example)
        return lambda params, s, x: ravel_pytree(self.fn(params, unravel(s), x))[0]

    def vector_states(self):
        """Return the states before each step as vectors: (*batch, time, state)."""
        leaves = jax.tree.leaves(self.states)
        return jnp.concatenate([leaf[..., :-1, :] for leaf in leaves], axis=-1)

    def jacobians(self):
        """Return all Jacobians by plain forward differentiation: (*batch, time, state, state)."""
        step = self.vector_step()
        over_time = jax.vmap(lambda s, x: jax.jacfwd(lambda v: step(self.params, v, x))(s))
        run = jax.vmap(over_time) if self.batch > 1 else over_time
        return jax.jit(run)(self.vector_states(), self.inputs)


def tanh_step(params, h, x):
    """One step of the plain network."""
    W, U, b = params
    return jnp.tanh(W @ h + U @ x + b)


def lstm_step(params, state, x):
    """One step of an LSTM; the state is (h, c)."""
    W, U, b = params
    h, c = state
    i, f, g, o = jnp.split(W @ h + U @ x + b, 4)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


def problem(name: str, n: int, steps: int, batch: int = 1, seed: int = 0) -> Problem:
    """Return the network `name` with state size n, driven by noise for `steps` steps.

    `name`: "tanh <gain>" or "lstm" (n counts h and c). Gaussian weights.
    """
    rng = np.random.default_rng([seed, n])
    kind, _, gain = name.partition(" ")
    h = n // 2 if kind == "lstm" else n
    rows = 4 * h if kind == "lstm" else h
    W = float(gain or 1.0) * rng.standard_normal((rows, h)) / np.sqrt(h)
    U = 0.3 * rng.standard_normal((rows, _INPUTS))
    b = np.zeros(rows)
    if kind == "lstm":
        b[h : 2 * h] = 1.0  # the forget gate's
    fn = {"tanh": tanh_step, "lstm": lstm_step}[kind]
    params = jax.tree.map(jnp.asarray, (W, U, b))
    shape = () if batch == 1 else (batch,)
    inputs = jnp.asarray(rng.standard_normal((*shape, steps, _INPUTS)))
    start = [jnp.asarray(0.5 * rng.standard_normal((*shape, h))) for _ in range(2)]
    state0 = tuple(start) if kind == "lstm" else start[0]
    cell = vj.FunctionCell(fn, params)

    def states(state0, inputs):
        return vj.rollout(cell, state0, inputs).states

    run = jax.vmap(states) if batch > 1 else states
    return Problem(name, fn, params, run(state0, inputs), inputs, n, steps, batch)
