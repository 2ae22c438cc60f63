"""What bench_spectrum.py times: each a function from a problem to the call that is timed."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from _problems import Problem

import vanishing_jax as vj
from vanishing_jax.spectra._sweep import start_basis

# --- ours: each a small function, from a problem to the call that is timed --------------------


def our_spectrum(p: Problem, **options):
    def call():
        chain = vj.linearize(p.cell, p.trajectory, dense=False)
        return vj.log_singular_values(chain, **options).log_singular_values

    return call


def our_exponents(p: Problem, **options):
    def call():
        chain = vj.linearize(p.cell, p.trajectory, dense=False)
        return vj.lyapunov_exponents(chain, **options).exponents

    return call


def our_top_exponent(p: Problem):
    chain = vj.JacobianChain(np.asarray(p.jacobians()))
    return lambda: vj.lyapunov_exponents(chain, k=1).exponents


def numpy_top_exponent(p: Problem):
    """One column pushed and normalized by LAPACK, on Jacobians that are given."""
    jacobians = np.asarray(p.jacobians())
    start = start_basis(p.size)[:, :1]

    def call():
        q, total = start, 0.0
        for J in jacobians:
            q, r = np.linalg.qr(J @ q)
            total += np.log(np.abs(r[0, 0]))
        return np.array([total / len(jacobians)])

    return call


def our_product(p: Problem):
    jacobians = p.jacobians()
    return lambda: vj.spectra.product_log_singular_values(jacobians)


def our_gradient(p: Problem):
    jacobians = p.jacobians()
    weights = jnp.asarray(np.random.default_rng(0).standard_normal(p.size))

    @jax.jit
    @jax.value_and_grad
    def loss(jacobians):
        return weights @ vj.spectra.product_log_singular_values(jacobians)

    return lambda: loss(jacobians)


def our_batch(p: Problem):
    @eqx.filter_vmap
    def streamed(states, inputs):
        return vj.linearize(p.cell, vj.Trajectory(states, inputs), dense=False)

    def call():
        chains = streamed(p.states, p.inputs)
        return vj.log_singular_values(chains).log_singular_values

    return call


# --- what users write -------------------------------------------------------------------------


def qr_exponents(p: Problem, jacobians_first: bool):
    """The usual recipe: J_t by jacfwd, QR of J_t Q, sum of log |R_ii|."""
    step = p.vector_step()

    def jacobian(s, x):
        return jax.jacfwd(lambda v: step(p.params, v, x))(s)

    def push(carry, J):
        Q, total = carry
        Q, R = jnp.linalg.qr(J @ Q)
        return (Q, total + jnp.log(jnp.abs(jnp.diagonal(R)))), None

    def exponents(states, inputs):
        start = jnp.eye(p.size), jnp.zeros(p.size)
        if jacobians_first:
            (_, total), _ = jax.lax.scan(push, start, jax.vmap(jacobian)(states, inputs))
        else:
            body = lambda carry, sx: push(carry, jacobian(*sx))  # noqa: E731
            (_, total), _ = jax.lax.scan(body, start, (states, inputs))
        return total / p.steps

    run = jax.jit(jax.vmap(exponents) if p.batch > 1 else exponents)
    states = p.vector_states()
    return lambda: run(states, p.inputs)


def qr_loop(jacobians: np.ndarray) -> np.ndarray:
    """Return the mean log |R_ii| of a QR factorization by LAPACK at every step."""
    Q, total = np.eye(jacobians.shape[-1]), np.zeros(jacobians.shape[-1])
    for J in jacobians:
        Q, R = np.linalg.qr(J @ Q)
        with np.errstate(divide="ignore"):
            total += np.log(np.abs(np.diagonal(R)))
    return total / len(jacobians)


def numpy_exponents(p: Problem):
    """The LAPACK loop on Jacobians that are given."""
    jacobians = np.asarray(p.jacobians())
    if p.batch > 1:
        return lambda: np.stack([qr_loop(chain) for chain in jacobians])
    return lambda: qr_loop(jacobians)


def gemm_floor(p: Problem):
    """One product with an n by n matrix per step on Jacobians that are given; no factorization."""
    jacobians = p.jacobians()
    # So scaled that the product neither overflows nor decays: subnormal numbers would be slow.
    _, log_det = np.linalg.slogdet(np.asarray(jacobians))
    scale = np.exp(-np.mean(log_det, axis=-1) / p.size)
    jacobians = jacobians * jnp.asarray(scale)[..., None, None, None]

    def chain(jacobians):
        def push(X, J):
            X = J @ X
            return X / jnp.max(jnp.abs(X)), None

        return jax.lax.scan(push, jnp.eye(p.size), jacobians)[0]

    run = jax.jit(jax.vmap(chain) if p.batch > 1 else chain)
    return lambda: run(jacobians)


def product_svd_per_lag(p: Problem):
    """The first script everyone writes: form the (normalized) product, SVD at each lag. Wrong."""
    step = p.vector_step()

    @jax.jit
    def spectra(states, inputs):
        def push(carry, sx):
            P, scale = carry
            s, x = sx
            P = jax.jacfwd(lambda v: step(p.params, v, x))(s) @ P
            size = jnp.max(jnp.abs(P))
            P, scale = P / size, scale + jnp.log(size)
            return (P, scale), scale + jnp.log(jnp.linalg.svd(P, compute_uv=False))

        return jax.lax.scan(push, (jnp.eye(p.size), jnp.zeros(())), (states, inputs))[1]

    states = p.vector_states()
    return lambda: spectra(states, p.inputs)


# --- peers: both take an autonomous step, so the network gets a constant input ----------------


def _autonomous(p: Problem):
    step = p.vector_step()
    return (lambda s: step(p.params, s, p.inputs[0])), p.vector_states()[0]


def lyapax_exponents(p: Problem):
    import lyapax

    step, state = _autonomous(p)

    @jax.jit
    def run(state):
        return lyapax.lyapunov_spectrum(step, state, 1.0, p.steps).exponents

    return lambda: run(state)


def chaotax_exponents(p: Problem):
    import chaotax

    step, state = _autonomous(p)
    spectrum = chaotax.lyapunov_spectrum(
        step, rollout_steps=p.steps, warmup_steps=0, discard_steps=0
    )
    start = jnp.eye(p.size)
    # Not under jit: it counts the state's components by jnp.prod, which fails on a tracer.
    return lambda: spectrum(state, start)
