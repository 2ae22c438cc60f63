"""Where a chain is walked, how its steps are factored, and where the spectra are finished."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np

from .._chain import JacobianChain
from ._engine import Method

Device = Any  # jax.Device, which type checkers take for a variable

# Entries of the frames (of all sequences) from which a GPU has enough to do per step: below, its
# latency of some ten kernels a step costs more than the step itself does on a CPU. Not measured.
_WORTH_A_GPU = 2**16

# From this state size on the sequences of a batch are walked one by one on a CPU (see
# `walks_together`).
_ONE_BY_ONE_FROM = 40


class Backend(NamedTuple):
    """The one place where hardware decides.

    - `device`: where the steps are taken.
    - `method`: `"lu"`, or `"cholesky"`: matrix products where the growth allows it, else LU.
    - `finish_apart`: records leave the walk as products and are finished on the CPU.
    """

    device: Device
    method: Method
    finish_apart: bool


def cpu() -> Backend:
    """Return the way of the CPU: LAPACK's LU, everything in one program."""
    return Backend(jax.local_devices(backend="cpu")[0], "lu", False)


def accelerator(device: Device) -> Backend:
    """Return the way of a GPU: matrix products, and the singular values on the CPU.

    A GPU's batched LU is a long chain of small kernels. Its singular value decompositions promise
    accuracy relative to the largest value only, and the finish needs it in every one: LAPACK's.
    """
    return Backend(device, "cholesky", True)


def backend_for(chain: JacobianChain) -> Backend:
    """Return how to walk this chain: on the GPU it lives on if that is worth it, else on the CPU.

    TPUs have no float64, in which the walk computes: chains that live there are walked on the CPU.
    No GPU was at hand when this was written: the accelerator's way is tested on the CPU for what it
    computes, its speed is not measured.
    """
    device = _home(chain)
    size = chain.state_size**2 * (chain.batch_size or 1)
    if device is not None and device.platform == "gpu" and size >= _WORTH_A_GPU:
        return accelerator(device)
    return cpu()


def walks_together(n: int, backend: Backend) -> bool:
    """Return whether the sequences of a batch advance side by side (vmap) or one by one (map).

    On a CPU side by side wins as long as the cost is that of many small kernels, and loses when the
    matrices of several sequences push each other out of the cache. One over the other, CPU time on
    one core, tanh networks to 1e-6, batches of 8 and 32: 2.6 and 3.2 at n = 8, 1.8 and 1.7 at 16,
    1.1 and 1.0 at 32, 0.93 and 0.84 at 48, 1.1 and 0.64 at 64, 0.93 and 0.58 at 128
    (`benchmarks/ideas.md`). An accelerator always has them side by side: it waits for kernels.
    """
    return backend.device.platform != "cpu" or n < _ONE_BY_ONE_FROM


def _home(chain) -> Device | None:
    """Return the device of the chain's largest array; None for NumPy arrays or several devices."""
    leaves = [leaf for leaf in jax.tree.leaves(eqx.filter(chain, eqx.is_array)) if np.ndim(leaf)]
    if not leaves:
        return None
    largest = max(leaves, key=np.size)
    devices = largest.devices() if isinstance(largest, jax.Array) else ()
    return next(iter(devices)) if len(devices) == 1 else None
