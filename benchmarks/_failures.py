"""What goes wrong elsewhere, each as a function that returns the numbers which show it.

Every function takes `quick` and returns a dictionary with `what`, `expected`, `found` and `ours`.
"""

import time
from typing import Any

import _chains
import _tools
import jax
import jax.numpy as jnp
import numpy as np
from _exact import exact_log_singular_values
from _forced import network

import vanishing_jax as vj

_DECADE = np.log(10)


def lyapax_renorm(quick) -> dict[str, Any]:
    """QR only at every 10th step, as in the example of lyapax's docstring (there for Lorenz)."""
    n, steps = (8, 40) if quick else (64, 400)
    p = network("tanh 1.5", n, steps)
    each = {k: np.asarray(_tools.lyapax_tool(p, renorm_every=k)()) for k in (1, 10, 20)}
    ours = np.asarray(_tools.our_exponents(p)())
    log_det = np.mean(np.linalg.slogdet(p.jacobians)[1])
    return {
        "what": "exponents with renorm_every=10 (its docstring's value, for Lorenz) differ from "
        f"those with 1 by, per step; tanh network, gain 1.5, n = {n}, {steps} steps",
        "expected": 0.0,
        "found": float(np.max(np.abs(each[10] - each[1]))),
        "found_at_20": float(np.max(np.abs(each[20] - each[1]))),
        "not_finite": {str(k): int(np.sum(~np.isfinite(v))) for k, v in each.items()},
        "ours": float(abs(np.sum(ours) - log_det)),
        "ours_is": "residual of the sum rule",
    }


def lyapax_recompiles(quick) -> dict[str, Any]:
    """A call of lyapax outside jit compiles again."""
    import lyapax

    p = network("tanh 1.5", 8, 50)
    step, start = p.extended_step(), p.extended_start()
    return _recompiles(
        "lyapax.lyapunov_spectrum", lambda: lyapax.lyapunov_spectrum(step, start, 1.0, 50)[0], p
    )


def chaotax_recompiles(quick) -> dict[str, Any]:
    """A call of chaotax compiles again; and jit, which would help, fails."""
    p = network("tanh 1.5", 8, 50)
    call = _tools.chaotax_tool(p)
    try:
        jax.jit(call)()
        jitted = "works"
    except Exception as error:
        jitted = f"{type(error).__name__}: {str(error).splitlines()[0][:120]}"
    return _recompiles("chaotax.lyapunov_spectrum", call, p) | {"under_jit": jitted}


def _recompiles(name, call, p):
    def seconds(f):
        f()
        begin = time.perf_counter()
        jax.block_until_ready(f())
        return time.perf_counter() - begin

    return {
        "what": f"{name}: seconds of the second call with the same arguments, n = 8, 50 steps",
        "expected": "below a millisecond",
        "found": seconds(call),
        "ours": seconds(_tools.our_exponents(p)),
    }


def saturated(tool, dtype, gain, quick):
    """A saturated tanh has the derivative 0 for automatic differentiation."""
    n, steps = (6, 20) if quick else (16, 200)
    p = network(f"tanh {gain}", n, steps)
    found = np.asarray(tool(p, dtype=dtype)())
    ours = np.asarray(_tools.our_spectrum(p)())
    return {
        "what": f"exponents that are -inf or NaN, tanh network, gain {gain}, n = {n}, "
        f"{steps} steps, {np.dtype(dtype).name}",
        "expected": 0,
        "found": int(np.sum(~np.isfinite(found))),
        "ours": int(np.sum(~np.isfinite(ours))),
    }


def clvlib_off_by_one(quick) -> dict[str, Any]:
    """Covariant vectors must be covariant: J_t v_{t-1} parallel to v_t."""
    import contextlib
    import io

    import clvlib.numpy as clv

    n, steps = (4, 60) if quick else (8, 400)
    p = network("tanh 1.5", n, steps)
    with contextlib.redirect_stderr(io.StringIO()):
        _, _, Q, _, V, _ = clv.lyap_analysis(
            lambda t, x: p.states[int(t) + 1],
            lambda t, x: p.jacobians[int(t)],
            p.states,
            np.arange(steps + 1.0),
            stepper="discrete",
        )

    def covariance(V):
        cosines = []
        for t in range(steps // 4, steps // 2):
            pushed = p.jacobians[t] @ V[t]
            size = np.linalg.norm(pushed, axis=0) * np.linalg.norm(V[t + 1], axis=0)
            cosines.append(np.abs(np.sum(pushed * V[t + 1], axis=0)) / size)
        return float(np.min(cosines))

    # Its vectors are Q_t c with the coefficients c that belong to the frame one step before.
    repaired = np.stack([Q[t] @ (Q[t + 1].T @ V[t + 1]) for t in range(steps)])
    result = {
        "what": "smallest |cos| between J_t v_{t-1} and v_t, covariant vectors of a tanh network, "
        f"gain 1.5, n = {n}, {steps} steps",
        "expected": 1.0,
        "found": covariance(V),
        "found_with_the_frame_one_step_earlier": covariance(repaired),
    }
    ours = getattr(vj.spectra, "covariant_lyapunov_vectors", None)
    if ours is not None:
        vectors = ours(vj.JacobianChain(p.jacobians))
        result["ours"] = float(np.sqrt(1 - vectors.covariance_residual**2))
    return result


def product_then_svd(quick) -> dict[str, Any]:
    """The SVD of the formed product knows 16 decades below the largest value."""
    n, steps = (8, 60) if quick else (16, 200)
    p = network("tanh 5", n, steps)
    truth = exact_log_singular_values(p.jacobians)
    with np.errstate(divide="ignore"):
        found = np.asarray(_tools.product_and_svd(p)()) * steps
    off = np.abs(np.where(np.isfinite(found), found, -745.0) - truth)
    ours = np.asarray(_tools.our_spectrum(p)()) * steps
    return {
        "what": f"decades by which singular values are off (0 counted as the smallest float), "
        f"tanh network, gain 5, n = {n}, {steps} steps",
        "expected": 0.0,
        "found": float(np.max(off)) / _DECADE,
        "values_that_are_0": int(np.sum(~np.isfinite(found))),
        "ours": float(np.max(np.abs(ours - truth))) / _DECADE,
    }


def dropped_cell_state(quick) -> dict[str, Any]:
    """The product of the dh/dh blocks of an LSTM is not the dh/dh block of the product."""
    n, steps = (6, 30) if quick else (32, 200)
    rng = np.random.default_rng(4)
    jacobians = _chains.lstm_network(rng, n, steps, gain=0.6)
    h = n // 2
    blocks = exact_log_singular_values(jacobians[:, :h, :h])
    whole = exact_log_singular_values(jacobians)
    ours = vj.log_singular_values(vj.JacobianChain(jacobians)).log_singular_values
    return {
        "what": f"log10 of the largest singular value of ds_T/ds_0, LSTM with {h} units, "
        f"{steps} steps; found: from products of dh/dh",
        "expected": float(whole[0]) / _DECADE,
        "found": float(blocks[0]) / _DECADE,
        "ours": float(ours[0]) / _DECADE,
    }


def float32_underflow(quick) -> dict[str, Any]:
    """0.25^64 is 2^-128: below the smallest normal float32, flushed to 0."""
    jacobians = np.repeat(np.float32(0.25) * np.eye(2, dtype=np.float32)[None], 64, axis=0)

    @jax.jit
    def product(jacobians):
        start = jnp.eye(2, dtype=jnp.float32)
        return jax.lax.scan(lambda P, J: (J @ P, None), start, jacobians)[0]

    sigma = np.linalg.svd(np.asarray(product(jacobians)), compute_uv=False)
    tiny = jnp.full(4, 1e-20, jnp.float32)
    with np.errstate(divide="ignore"):
        found = float(np.log(sigma[0]))
    ours = vj.log_singular_values(vj.JacobianChain(jacobians)).log_singular_values
    return {
        "what": "log singular value of 0.25 I, 64 times, in float32",
        "expected": 64 * float(np.log(0.25)),
        "found": found,
        "norm_of_four_1e-20": float(jnp.linalg.norm(tiny)),
        "ours": float(ours[0]),
    }


def qr_growth_as_spectrum(quick) -> dict[str, Any]:
    """Sums of log |R_ii| are not log singular values at any finite time."""
    n = 8 if quick else 32
    steps = (10, 30) if quick else (10, 30, 100, 300)
    p = network("tanh 1.5", n, steps[-1])
    off, ours = {}, 0.0
    for lag in steps:
        part = p._replace(
            states=p.states[: lag + 1], inputs=p.inputs[:lag], jacobians=p.jacobians[:lag]
        )
        truth = exact_log_singular_values(part.jacobians) / lag
        growth = np.sort(np.asarray(_tools.numpy_loop(part)()))[::-1]
        off[str(lag)] = float(np.max(np.abs(growth - truth)))
        ours = max(ours, float(np.max(np.abs(np.asarray(_tools.our_spectrum(part)()) - truth))))
    return {
        "what": "QR growth rates against (1/T) log sigma, largest difference per step, tanh "
        f"network, gain 1.5, n = {n}; by T",
        "expected": 0.0,
        "found": off,
        "ours": ours,
    }


def wrong_order(quick) -> dict[str, Any]:
    """Transposed Jacobians multiplied forward in time: another product, with other exponents."""
    n, steps = (6, 40) if quick else (32, 400)
    jacobians = _chains.FAMILIES["tanh, gain 1.5"](np.random.default_rng(0), n, steps)
    truth = exact_log_singular_values(jacobians) / steps
    wrong = exact_log_singular_values(jacobians.transpose(0, 2, 1)) / steps
    ours = vj.log_singular_values(vj.JacobianChain(jacobians)).log_singular_values / steps
    return {
        "what": "exponents of J_T^T ... J_1^T (transposed, in forward order) against those of "
        f"J_T ... J_1, largest difference per step, tanh network, gain 1.5, n = {n}, {steps} steps",
        "expected": 0.0,
        "found": float(np.max(np.abs(wrong - truth))),
        "ours": float(np.max(np.abs(ours - truth))),
    }


def pynamicalsys_new_state(quick) -> dict[str, Any]:
    """The Jacobian must be taken at the state before the step."""
    import pynamicalsys

    steps, r, x = (100 if quick else 1000), 3.9, 0.3
    system = pynamicalsys.DiscreteDynamicalSystem(model="logistic map")
    found = float(np.ravel(system.lyapunov([x], steps, parameters=[r]))[0])
    slopes = []
    for _ in range(steps):
        slopes.append(r * (1 - 2 * x))
        x = r * x * (1 - x)
    jacobians = np.array(slopes)[:, None, None]
    truth = float(np.mean(np.log(np.abs(slopes))))
    ours = float(vj.lyapunov_exponents(vj.JacobianChain(jacobians)).exponents[0])
    return {
        "what": f"exponent of the logistic map, r = {r}, {steps} steps from 0.3: off by",
        "expected": 0.0,
        "found": abs(found - truth),
        "ours": abs(ours - truth),
    }


def _saturated(tool, dtype, gain):
    return lambda quick: saturated(tool, dtype, gain, quick)


FAILURES = {
    "lyapax-renorm-every": ("lyapax", lyapax_renorm),
    "lyapax-recompiles": ("lyapax", lyapax_recompiles),
    "lyapax-saturated-float32": ("lyapax", _saturated(_tools.lyapax_tool, np.float32, 5)),
    "lyapax-saturated-float64": ("lyapax", _saturated(_tools.lyapax_tool, np.float64, 12)),
    "chaotax-recompiles": ("chaotax", chaotax_recompiles),
    "chaotax-saturated-float32": ("chaotax", _saturated(_tools.chaotax_tool, np.float32, 5)),
    "chaotax-saturated-float64": ("chaotax", _saturated(_tools.chaotax_tool, np.float64, 12)),
    "clvlib-off-by-one": ("clvlib", clvlib_off_by_one),
    "pynamicalsys-new-state": ("pynamicalsys", pynamicalsys_new_state),
    "product-then-svd": ("numpy", product_then_svd),
    "qr-growth-as-spectrum": ("numpy", qr_growth_as_spectrum),
    "wrong-order": ("numpy", wrong_order),
    "dropped-cell-state": ("numpy", dropped_cell_state),
    "float32-underflow": ("numpy", float32_underflow),
}
"""name -> (package it needs, function)"""
