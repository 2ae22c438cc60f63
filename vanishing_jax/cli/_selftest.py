"""`vanishing-jax selftest`: the engine against exact laws, on this machine."""

from typing import NamedTuple

import numpy as np

from .._chain import JacobianChain
from ..spectra import log_singular_values, lyapunov_exponents
from ..theory import ginibre_exponents, ginibre_growth_variance


class Check(NamedTuple):
    """One law: the deviation found and the largest one allowed."""

    name: str
    deviation: float
    allowed: float
    unit: str

    @property
    def passed(self) -> bool:
        """Whether the deviation is finite and within bounds."""
        return bool(np.isfinite(self.deviation) and self.deviation <= self.allowed)


def run_selftest(seed: int = 0) -> int:
    """Print a table of residuals; return 0 if all hold and 1 otherwise."""
    results = checks(seed)
    width = max(len(check.name) for check in results)
    print(f"{'check':<{width}}  {'deviation':>10}  {'allowed':>8}  unit")
    for check in results:
        mark = "ok" if check.passed else "FAILED"
        print(
            f"{check.name:<{width}}  {check.deviation:>10.2e}  {check.allowed:>8.0e}  "
            f"{check.unit:<6} {mark}"
        )
    failed = sum(not check.passed for check in results)
    print(f"{len(results) - failed} of {len(results)} checks hold")
    return 1 if failed else 0


def checks(seed: int) -> list[Check]:
    """Return every check, computed."""
    rng = np.random.default_rng(seed)
    return [*_orthogonal(rng), *_diagonal(), *_ginibre(rng), *_determinant(rng), *_adjoint(rng)]


def _orthogonal(rng):
    jacobians = np.linalg.qr(rng.standard_normal((1000, 16, 16)))[0]
    logs = log_singular_values(JacobianChain(jacobians)).log_singular_values
    yield Check("orthogonal chain: log sigma = 0", float(np.max(np.abs(logs))), 1e-11, "nats")


def _diagonal():
    w = np.exp(np.linspace(8, -8, 16))
    found = log_singular_values(JacobianChain(np.stack([np.diag(w)] * 1000))).log_singular_values
    deviation = float(np.max(np.abs(found - 1000 * np.log(w))))
    yield Check("diagonal chain: log sigma = T log |w|, to e^±8000", deviation, 1e-8, "nats")


def _ginibre(rng):
    n, steps = 16, 2000
    chain = JacobianChain(rng.standard_normal((steps, n, n)) / np.sqrt(n))
    found = lyapunov_exponents(chain).exponents
    deviation = np.sqrt(ginibre_growth_variance(n) / steps)
    z = (found - ginibre_exponents(n, variance=1 / n)) / deviation
    yield Check("Ginibre products: Newman's exponents, max |z|", float(np.max(np.abs(z))), 4.5, "z")


def _determinant(rng):
    jacobians = rng.standard_normal((500, 16, 16)) / 4
    total = float(np.sum(np.linalg.slogdet(jacobians).logabsdet))
    logs = log_singular_values(JacobianChain(jacobians)).log_singular_values
    residual = abs(float(np.sum(logs)) - total) / abs(total)
    yield Check("determinant sum rule: sum log sigma = sum log |det J|", residual, 1e-11, "rel")


def _adjoint(rng):
    gains = np.exp(rng.uniform(-30, 0, (100, 16, 1)))
    chain = JacobianChain(gains * rng.standard_normal((100, 16, 16)))
    forward, backward = (
        log_singular_values(chain, direction=d).log_singular_values for d in ("forward", "backward")
    )
    deviation = float(np.max(np.abs(forward - backward)))
    yield Check("same spectrum forward and backward, saturated", deviation, 1e-7, "nats")
