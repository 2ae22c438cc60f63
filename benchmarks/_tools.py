"""Other tools for Lyapunov exponents, each called the way its documentation says.

All are given the same linearization: `Forced` holds a trajectory, and a step whose *value* does not
matter but whose derivative at step t is that of the user's function at the stored state. Chaotic
trajectories of two programs part after some tens of steps; so nothing would be comparable without.
"""

import contextlib
import io
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from _alternatives import qr_loop
from _forced import Forced

import vanishing_jax as vj
from vanishing_jax.spectra._sweep import start_basis


class Tool(NamedTuple):
    """A way to get exponents: what it is fed, the call, its first basis."""

    name: str
    fed: str  # "function" or "Jacobians"
    make: Callable[[Forced], Callable[[], Any]]
    start: Callable[[Forced], np.ndarray] | None = None

    @property
    def is_extended(self) -> bool:
        """Whether it returns one more exponent, 0, for the time."""
        return self.name.startswith(("lyapax", "chaotax"))


def _identity(p: Forced):
    return np.eye(p.size)


# --- ours -------------------------------------------------------------------------------------


def our_spectrum(p: Forced):
    """Return the call for (1/T) log sigma_i of the whole product."""
    chain = _our_chain(p)
    return lambda: vj.log_singular_values(chain()).log_singular_values / p.num_steps


def our_exponents(p: Forced):
    """Return the call for the QR growth rates."""
    chain = _our_chain(p)
    return lambda: vj.lyapunov_exponents(chain()).exponents


def _our_chain(p: Forced):
    # One cell for all calls: a new function would be compiled anew.
    cell = vj.FunctionCell(lambda _, s, x: p.step(s, x), ())
    trajectory = vj.Trajectory(jnp.asarray(p.states), jnp.asarray(p.inputs))
    return lambda: vj.linearize(cell, trajectory, dense=False)


# --- recipes ----------------------------------------------------------------------------------


def jax_recipe(p: Forced):
    """What users write: jacfwd, QR, sum of logs."""
    states, inputs = jnp.asarray(p.states[:-1]), jnp.asarray(p.inputs)

    @jax.jit
    def run(states, inputs):
        def push(carry, sx):
            Q, total = carry
            Q, R = jnp.linalg.qr(jax.jacfwd(p.step)(*sx) @ Q)
            return (Q, total + jnp.log(jnp.abs(jnp.diagonal(R)))), None

        start = jnp.eye(p.size), jnp.zeros(p.size)
        return jax.lax.scan(push, start, (states, inputs))[0][1] / p.num_steps

    return lambda: run(states, inputs)


def numpy_loop(p: Forced):
    """The same loop by LAPACK."""
    return lambda: qr_loop(p.jacobians)


def product_and_svd(p: Forced):
    """The first script: form the product, then NumPy's SVD; no exponent is a QR growth rate."""

    def call():
        product = np.eye(p.size)
        with np.errstate(all="ignore"):
            for J in p.jacobians:
                product = J @ product
            return np.log(np.linalg.svd(product, compute_uv=False)) / p.num_steps

    return call


# --- packages ---------------------------------------------------------------------------------


def lyapax_tool(p: Forced):
    """lyapax.lyapunov_spectrum under jit."""
    import lyapax

    step, start = p.extended_step(), p.extended_start()

    @jax.jit
    def run(start):
        return lyapax.lyapunov_spectrum(step, start, 1.0, p.num_steps).exponents

    return lambda: run(start)


def lyapax_start(p: Forced):
    """The basis that lyapax draws (seed 0)."""
    normal = jax.random.normal(jax.random.PRNGKey(0), (p.size + 1, p.size + 1), dtype=float)
    return np.asarray(jnp.linalg.qr(normal)[0])


def chaotax_tool(p: Forced):
    """chaotax.lyapunov_spectrum; it cannot be jitted, so it compiles at every call."""
    import chaotax

    spectrum = chaotax.lyapunov_spectrum(
        p.extended_step(), rollout_steps=p.num_steps, warmup_steps=0, discard_steps=0
    )
    start, basis = p.extended_start(), jnp.eye(p.size + 1)
    return lambda: spectrum(start, basis)


def lyapynov_tool(p: Forced):
    """lyapynov.LCE of a discrete system with a time-dependent Jacobian."""
    import lyapynov

    def call():
        system = lyapynov.DiscreteDS(
            p.states[0], 0, lambda x, t: p.states[t + 1], lambda x, t: p.jacobians[t]
        )
        with np.errstate(divide="ignore"):
            return lyapynov.LCE(system, p.size, 0, p.num_steps, False)

    return call


def clvlib_tool(p: Forced):
    """clvlib.numpy.lyap_exp with its discrete stepper."""
    import clvlib.numpy as clv

    time = np.arange(p.num_steps + 1.0)

    def call():
        with contextlib.redirect_stderr(io.StringIO()), np.errstate(divide="ignore"):
            return clv.lyap_exp(
                lambda t, x: p.states[int(t) + 1],
                lambda t, x: p.jacobians[int(t)],
                p.states,
                time,
                stepper="discrete",
            )[0]

    return call


TOOLS = [
    Tool("vanishing_jax, spectrum", "function", our_spectrum),
    Tool("vanishing_jax, exponents", "function", our_exponents, lambda p: start_basis(p.size)),
    Tool("JAX recipe (jacfwd, QR)", "function", jax_recipe, _identity),
    Tool("lyapax", "function", lyapax_tool, lyapax_start),
    Tool("chaotax", "function", chaotax_tool, lambda p: np.eye(p.size + 1)),
    Tool("NumPy QR loop", "Jacobians", numpy_loop, _identity),
    Tool("lyapynov", "Jacobians", lyapynov_tool, _identity),
    Tool("clvlib", "Jacobians", clvlib_tool, _identity),
    Tool("product and SVD", "Jacobians", product_and_svd),
]
