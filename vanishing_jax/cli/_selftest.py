"""`vanishing-jax selftest`: the engine against exact laws, on this machine."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from tqdm import tqdm

from .. import cells
from .._chain import JacobianChain
from .._linearize import linearize
from .._rollout import rollout
from ..spectra import log_singular_values, lyapunov_exponents
from ..theory import ginibre_exponents, ginibre_growth_variance
from ..theory._maps import baker_map, cat_map, henon_map, logistic_map, lorenz_flow
from ..theory.random_matrices._products import (
    masked_ginibre_exponents,
    masked_ginibre_growth_variance,
    truncated_orthogonal_exponents,
    truncated_orthogonal_growth_variance,
)
from ._exact import proven_error
from ._output import FAILED, in_columns

if TYPE_CHECKING:
    from ._main import Selftest

# One size for all random chains, so that they share their compilations.
_N, _STEPS = 16, 1000

# Largest |z| that chance explains: 4.5 standard deviations, 7 in a million for one number.
_Z = 4.5

# Size of the products that exact integers check, and the error that must be proven for them.
_SMALL, _SHORT, _PROVEN = 6, 40, 1e-8


_LAW_HEADS = ("law", "measured", "expected", "deviation", "allowed", "unit", "")
_PRODUCT_HEADS = ("Jacobians", "log sigma from", "to", "zeros", "error <=", "allowed", "")


class Check(NamedTuple):
    """One row of a table: its cells, and whether what it checks holds."""

    cells: tuple[str, ...]
    passed: bool


def run(command: "Selftest") -> int:
    """Print the tables; return 0 if everything holds and 1 otherwise."""
    begin, seed = time.monotonic(), command.seed
    laws: list[Check] = []
    products: list[Check] = []
    # On standard error, and only where someone watches.
    with tqdm(total=len(_LAWS) + len(_FAMILIES), disable=None, leave=False) as bar:
        for index, law in enumerate(_LAWS):
            bar.set_description(law.__name__.strip("_").replace("_", " "))
            laws += law(np.random.default_rng([seed, index]))
            bar.update()
        for index, family in enumerate(_FAMILIES):
            bar.set_description(family)
            products.append(_accuracy(family, np.random.default_rng([seed, 100 + index])))
            bar.update()
    print(_table(_LAW_HEADS, laws, numbers=range(1, 5)))
    print(
        f"\nProducts of {_SHORT} Jacobians of size {_SMALL}: error proven in exact integers, nats\n"
        f"{_table(_PRODUCT_HEADS, products, numbers=range(1, 6))}\n"
    )
    results = [*laws, *products]
    failed = sum(not result.passed for result in results)
    seconds = time.monotonic() - begin
    print(f"{len(results) - failed} of {len(results)} checks hold ({seconds:.0f} s, seed {seed})")
    return FAILED if failed else 0


def _table(heads: tuple[str, ...], checks: list[Check], *, numbers: range) -> str:
    rows = [(*check.cells, "ok" if check.passed else "FAILED") for check in checks]
    return "\n".join(in_columns([heads, *rows], right=numbers))


def _worst(law, measured, expected, allowed, *, scale=1.0, unit="nats") -> Check:
    """Return the check of the entry that deviates most in units of `scale`."""
    measured, expected, scale = np.broadcast_arrays(
        *(np.atleast_1d(np.asarray(x, np.float64)) for x in (measured, expected, scale))
    )
    with np.errstate(invalid="ignore"):
        deviation = np.abs(measured - expected) / scale
    deviation = np.where(np.isnan(deviation), np.inf, deviation)
    i = int(np.argmax(deviation))
    numbers = (f"{measured[i]:.6g}", f"{expected[i]:.6g}", f"{deviation[i]:.2g}", f"{allowed:.2g}")
    passed = bool(np.isfinite(deviation[i]) and deviation[i] <= allowed)
    return Check((law, *numbers, unit), passed)


def _within_chance(law, found, expected, deviation) -> Check:
    """Return the check of numbers that scatter about the law with known standard deviations."""
    return _worst(law, found, expected, _Z, scale=deviation, unit="std")


# --- laws of random products: every exponent, with the exact scatter of T steps -------------------


def _gaussian(rng, *shape) -> np.ndarray:
    return rng.standard_normal((*shape, _N, _N)) / np.sqrt(_N)


def _orthogonal(rng) -> Iterator[Check]:
    chain = JacobianChain(np.linalg.qr(_gaussian(rng, _STEPS))[0])
    logs = log_singular_values(chain).log_singular_values
    yield _worst("orthogonal: log sigma = 0", logs, 0.0, 1e-11)


def _diagonal(rng) -> Iterator[Check]:
    w = np.exp(np.linspace(8, -8, _N))
    chain = JacobianChain(np.stack([np.diag(w)] * _STEPS))
    logs = log_singular_values(chain).log_singular_values
    yield _worst("diagonal: log sigma = T log w, to e^±8000", logs, _STEPS * np.log(w), 1e-8)


def _real_ginibre(rng) -> Iterator[Check]:
    found = lyapunov_exponents(JacobianChain(_gaussian(rng, _STEPS))).exponents
    law = ginibre_exponents(_N, variance=1 / _N)
    deviation = np.sqrt(ginibre_growth_variance(_N) / _STEPS)
    yield _within_chance("real Ginibre: Newman's exponents", found, law, deviation)


def _complex_ginibre(rng) -> Iterator[Check]:
    half = _N // 2
    real, imaginary = rng.standard_normal((2, _STEPS, half, half)) / np.sqrt(2 * half)
    chain = JacobianChain(np.block([[real, -imaginary], [imaginary, real]]))
    found = lyapunov_exponents(chain).exponents
    law = np.repeat(ginibre_exponents(half, variance=1 / half, beta=2), 2)
    variance = np.repeat(ginibre_growth_variance(half, beta=2), 2)
    deviation = np.sqrt(variance / _STEPS)
    yield _within_chance("complex Ginibre: each exponent twice", found, law, deviation)


def _truncated_orthogonal(rng) -> Iterator[Check]:
    removed = 4
    size = _N + removed
    Q, R = np.linalg.qr(rng.standard_normal((_STEPS, size, size)))
    Q = Q * np.sign(np.diagonal(R, axis1=1, axis2=2))[:, None, :]  # uniform, as QR alone is not
    found = lyapunov_exponents(JacobianChain(Q[:, :_N, :_N])).exponents
    law = truncated_orthogonal_exponents(_N, removed=removed)
    variance = truncated_orthogonal_growth_variance(_N, removed=removed)
    deviation = np.sqrt(variance / _STEPS)
    yield _within_chance(f"{_N} of {size} rows of orthogonal: exponents", found, law, deviation)


def _masked_relu(rng) -> Iterator[Check]:
    leading, active = 4, 0.75
    masks = rng.random((_STEPS, _N)) < active
    # Fewer active rows end these exponents; the law is conditional on that not happening.
    while (few := masks.sum(axis=1) < leading).any():
        masks[few] = rng.random((few.sum(), _N)) < active
    chain = JacobianChain(masks[:, :, None] * _gaussian(rng, _STEPS))
    found = lyapunov_exponents(chain).exponents[:leading]
    law = masked_ginibre_exponents(_N, variance=1 / _N, active=active)[:leading]
    variance = masked_ginibre_growth_variance(_N, active=active)[:leading]
    deviation = np.sqrt(variance / _STEPS)
    yield _within_chance("ReLU masks on Ginibre: leading exponents", found, law, deviation)


# --- identities -----------------------------------------------------------------------------------


def _determinant(rng) -> Iterator[Check]:
    jacobians = _gaussian(rng, _STEPS)
    total = float(np.sum(np.linalg.slogdet(jacobians).logabsdet))
    found = float(np.sum(log_singular_values(JacobianChain(jacobians)).log_singular_values))
    law = "sum log sigma = sum log |det J|"
    yield _worst(law, found, total, 1e-11, scale=abs(total), unit="rel")


def _adjoint(rng) -> Iterator[Check]:
    gains = np.exp(rng.uniform(-30, 0, (_STEPS, _N, 1)))
    chain = JacobianChain(gains * _gaussian(rng, _STEPS))
    forward, backward = (
        log_singular_values(chain, direction=d).log_singular_values for d in ("forward", "backward")
    )
    yield _worst("saturated: same spectrum forward and backward", backward, forward, 1e-7)


# --- maps whose exponents are known ---------------------------------------------------------------


def _follow(system, steps) -> tuple[JacobianChain, np.ndarray]:
    """Return the chain and the states of an orbit, in float64."""
    with jax.enable_x64(True):
        # Built in this context, because outside it 0.3 would be a float32.
        known = system()
        trajectory = rollout(known.cell, known.state0, jnp.zeros((steps, 0)))
        jacobians = np.asarray(linearize(known.cell, trajectory).jacobians)
        return JacobianChain(jacobians), np.asarray(trajectory.states)


def _logistic_map(rng) -> Iterator[Check]:
    chain, states = _follow(logistic_map, _STEPS)
    first, last = states[0, 0], states[-1, 0]
    # Conjugacy to the tent map makes the growth over any finite time exact, up to the two ends.
    ends = np.log(last * (1 - last) / (first * (1 - first))) / 2
    found = lyapunov_exponents(chain).exponents - ends / _STEPS
    yield _worst("logistic map: log 2, corrected for both ends", found, np.log(2), 1e-8)


def _henon_map(rng) -> Iterator[Check]:
    yield from _published("Henon map", henon_map, 4096, 1.0, 1e-10)


def _lorenz_flow(rng) -> Iterator[Check]:
    # The discretized divergence of the flow is off by 1e-4 on average.
    yield from _published("Lorenz flow", lorenz_flow, 20_000, 0.01, 5e-4)


def _published(name, system, steps, time_step, allowed) -> Iterator[Check]:
    """Check published exponents within the scatter of this orbit, and their exact sum."""
    chain, _ = _follow(system, steps)
    result, known = lyapunov_exponents(chain), system()
    deviation = np.hypot(result.standard_error, known.uncertainty)
    found, law = result.exponents / time_step, known.exponents / time_step
    yield _within_chance(f"{name}: published exponents", found, law, deviation / time_step)
    total = known.sum_of_exponents / time_step
    yield _worst(f"{name}: sum of exponents = log |det J|", np.sum(found), total, allowed)


def _cat_map(rng) -> Iterator[Check]:
    yield from _constant("cat map: ± log((3 + sqrt 5) / 2)", cat_map)


def _baker_map(rng) -> Iterator[Check]:
    yield from _constant("baker map: ± log 2", baker_map)


def _constant(law, system) -> Iterator[Check]:
    """Check a map whose singular values over T steps are e^(T lambda) exactly."""
    chain, _ = _follow(system, _STEPS)
    found = log_singular_values(chain).log_singular_values / _STEPS
    yield _worst(law, found, system().exponents, 1e-11)


_LAWS = (
    _orthogonal,
    _diagonal,
    _real_ginibre,
    _complex_ginibre,
    _truncated_orthogonal,
    _masked_relu,
    _determinant,
    _adjoint,
    _logistic_map,
    _henon_map,
    _cat_map,
    _baker_map,
    _lorenz_flow,
)


# --- products small enough for exact integers -----------------------------------------------------


def _accuracy(family: str, rng) -> Check:
    """Return the check of the proven error of the log singular values of one product."""
    jacobians = _FAMILIES[family](rng)
    logs = log_singular_values(JacobianChain(jacobians)).log_singular_values
    finite = logs[np.isfinite(logs)]
    largest, smallest = (finite[0], finite[-1]) if finite.size else (np.nan, np.nan)
    zeros, error = int(np.isneginf(logs).sum()), proven_error(jacobians, logs)
    numbers = f"{largest:.6g}", f"{smallest:.6g}", str(zeros), f"{error:.0e}", f"{_PROVEN:.0e}"
    return Check((family, *numbers), error <= _PROVEN)


def _network(rng, kind, *, units=_SMALL, gain=1.0) -> np.ndarray:
    """Return the Jacobians of a driven network of the package, its recurrence times `gain`."""

    def drawn(leaf):
        return rng.standard_normal(leaf.shape) / np.sqrt(_SMALL)

    with jax.enable_x64(True):
        # Shapes alone: to compile the cells' own initializers takes longer than all else here.
        shapes = eqx.filter_eval_shape(lambda key: kind(1, units, key=key), jr.key(0))
        cell = jax.tree.map(drawn, shapes)
        cell = eqx.tree_at(lambda c: c.weight_hh, cell, gain * cell.weight_hh)
        cell = jax.tree.map(jnp.asarray, cell)
        inputs = jnp.asarray(rng.standard_normal((_SHORT, 1)))
        trajectory = rollout(cell, cell.initial_state(), inputs)
        return np.asarray(linearize(cell, trajectory).jacobians)


def _small_gaussian(rng) -> np.ndarray:
    return rng.standard_normal((_SHORT, _SMALL, _SMALL)) / np.sqrt(_SMALL)


def _relu(rng) -> np.ndarray:
    """Return one matrix with rows switched off: at least two units stay on."""
    masks = rng.random((_SHORT, _SMALL, 1)) < 0.7
    masks[:, :2] = True
    return masks * (1.6 * _small_gaussian(rng)[0])


def _graded(rng) -> np.ndarray:
    left, right = 10 ** rng.uniform(-6, 0, (2, _SHORT, _SMALL))
    return left[:, :, None] * _small_gaussian(rng) * right[:, None, :]


def _jordan(rng) -> np.ndarray:
    return np.stack([0.9 * np.eye(_SMALL) + np.diag(np.ones(_SMALL - 1), 1)] * _SHORT)


def _triangular(rng) -> np.ndarray:
    """Return upper triangular matrices whose slow directions come first."""
    return np.triu(0.3 * _small_gaussian(rng), 1) + np.diag(np.linspace(0.5, 1.2, _SMALL))


_FAMILIES = {
    "tanh, gain 0.5": lambda rng: _network(rng, cells.VanillaCell, gain=0.5),
    "tanh, gain 2": lambda rng: _network(rng, cells.VanillaCell, gain=2.0),
    "tanh, gain 5": lambda rng: _network(rng, cells.VanillaCell, gain=5.0),
    "tanh, gain 12": lambda rng: _network(rng, cells.VanillaCell, gain=12.0),
    # The state (h, c) counts twice.
    "LSTM": lambda rng: _network(rng, cells.LSTMCell, units=_SMALL // 2),
    "GRU": lambda rng: _network(rng, cells.GRUCell),
    "ReLU, exact zeros": _relu,
    "orthogonal": lambda rng: np.linalg.qr(_small_gaussian(rng))[0],
    "Ginibre": _small_gaussian,
    "graded over 12 decades": _graded,
    "Jordan block": _jordan,
    "triangular, ascending": _triangular,
}
