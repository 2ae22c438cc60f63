"""Fixtures and the numerical settings under which the whole suite runs.

The suite runs twice: with 64-bit types (`VANISHING_JAX_X64=1`, the default) and without.
"""

import os
import pathlib
import secrets

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import matplotlib
import pytest

matplotlib.use("Agg")
_X64 = os.environ.get("VANISHING_JAX_X64", "1") == "1"
jax.config.update("jax_enable_x64", _X64)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def getkey(request):
    """Return a function that gives a fresh key at each call; its seed prints when a test fails.

    Pin it by `VANISHING_JAX_SEED=123 pytest ...`.
    """
    seed = int(os.environ.get("VANISHING_JAX_SEED", secrets.randbelow(2**31)))
    print(f"getkey seed: VANISHING_JAX_SEED={seed}")
    counter = iter(range(10**9))
    root = jax.random.key(seed)
    return lambda: jax.random.fold_in(root, next(counter))


@pytest.fixture(autouse=True)
def _close_figures():
    """Leave no figure open behind a test."""
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.fixture(autouse=True, scope="module")
def _few_programs():
    """Forget compiled programs when there are thousands: each takes memory maps of the process.

    Linux gives a process 65530 of them; a compiler that gets no more crashes.
    """
    yield
    maps = pathlib.Path("/proc/self/maps")
    if maps.exists() and len(maps.read_bytes().splitlines()) > 20_000:
        jax.clear_caches()


# The upper floors: their numbers come from below, which both runs test.
_RUN_ONCE = {"claims", "cli", "comparison", "interop", "plots", "report", "theory"}


def pytest_collection_modifyitems(config, items):
    """With the x64 flag off, leave out what computes the same whatever the flag."""
    if _X64:
        return
    again = [
        item
        for item in items
        if item.get_closest_marker("float64_anyway")
        or (item.path.parent.name in _RUN_ONCE and item.path.parent.parent.name == "tests")
    ]
    config.hook.pytest_deselected(items=again)
    items[:] = [item for item in items if item not in again]
