"""Systems with a stored trajectory at which every tool linearizes the same step function."""

from collections.abc import Callable
from typing import NamedTuple

import _chains
import jax
import jax.numpy as jnp
import numpy as np


class Forced(NamedTuple):
    """A step function and the trajectory at which everyone is to linearize it.

    - `step`: `(vector, input) -> vector`, as a user writes it in JAX.
    - `states`: s_0, ..., s_T; `inputs`: x_1, ..., x_T.
    - `jacobians`: J_1, ..., J_T with slopes from the pre-activation: the truth.
    """

    name: str
    step: Callable
    states: np.ndarray
    inputs: np.ndarray
    jacobians: np.ndarray

    def extended_step(self):
        """Return step(vector and time): autonomous, linearized at the stored states.

        Its Jacobian is J_t with one more row and column for the time, whose exponent is 0.
        """
        states, inputs = jnp.asarray(self.states), jnp.asarray(self.inputs)

        def step(extended):
            vector, t = extended[:-1], extended[-1]
            i = jax.lax.stop_gradient(t).astype(jnp.int32)
            at = states[i] + vector - jax.lax.stop_gradient(vector)
            return jnp.append(self.step(at, inputs[i]), t + 1)

        return step

    def extended_start(self):
        """Return the first state with the time 0 appended."""
        return jnp.append(jnp.asarray(self.states[0]), 0)

    @property
    def num_steps(self) -> int:
        """Number of steps T."""
        return len(self.jacobians)

    @property
    def size(self) -> int:
        """Size n of the state."""
        return self.jacobians.shape[-1]


def network(name: str, n: int, steps: int, seed: int = 0) -> Forced:
    """Return "tanh <gain>", "relu" or "lstm" with state size n, driven by noise."""
    rng = np.random.default_rng([seed, n])
    kind, _, gain = name.partition(" ")
    make = {"tanh": _tanh, "relu": _relu, "lstm": _lstm}[kind]
    step, pieces, state, inputs = make(rng, n, steps, float(gain or 1.0))
    states, jacobians = [state], []
    for x in inputs:
        J, state = pieces(state, x)
        jacobians.append(J)
        states.append(state)
    return Forced(name, step, np.stack(states), inputs, np.stack(jacobians))


# Each returns the step in JAX, (Jacobian, next state) in NumPy, the first state, and the inputs.


def _tanh(rng, n, steps, gain):
    W = gain * rng.standard_normal((n, n)) / np.sqrt(n)
    inputs = 0.3 * rng.standard_normal((steps, n))

    def pieces(s, x):
        return _chains.tanh_slope(W @ s + x)[:, None] * W, np.tanh(W @ s + x)

    return lambda s, x: jnp.tanh(W @ s + x), pieces, 0.5 * rng.standard_normal(n), inputs


def _relu(rng, n, steps, gain):
    W = 1.6 * gain * rng.standard_normal((n, n)) / np.sqrt(n)
    inputs = 0.3 * rng.standard_normal((steps, n)) + 0.4

    def pieces(s, x):
        return ((W @ s + x) > 0)[:, None] * W, np.clip(W @ s + x, 0, 10)

    return lambda s, x: jax.nn.relu(W @ s + x), pieces, np.abs(rng.standard_normal(n)), inputs


def _lstm(rng, n, steps, gain):
    h = n // 2
    W = gain * 2 * rng.standard_normal((4, h, h)) / np.sqrt(h)
    inputs = rng.standard_normal((steps, 4 * h)) + np.repeat([0.0, 1.0, 0.0, 0.0], h)

    def step(s, x):
        z = jnp.einsum("kij,j->ki", W, s[:h]) + x.reshape(4, h)
        i, f, o = jax.nn.sigmoid(z[0]), jax.nn.sigmoid(z[1]), jax.nn.sigmoid(z[3])
        c = f * s[h:] + i * jnp.tanh(z[2])
        return jnp.concatenate([o * jnp.tanh(c), c])

    def pieces(s, x):
        J, *state = _chains.lstm_step(W, W @ s[:h] + x.reshape(4, h), s[h:])
        return J, np.concatenate(state)

    start = np.concatenate([0.3 * rng.standard_normal(h), rng.standard_normal(h)])
    return step, pieces, start, inputs
