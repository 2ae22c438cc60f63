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


# Floors that run once, beside what is marked so: their numbers come from the floors below them,
# which run both ways. Training as its users have it, without 64-bit types.
_ONCE_WITH = {"claims", "cli", "comparison", "interop", "plots", "report", "theory"}
_ONCE_WITHOUT = {"mitigations", "tasks", "training"}


def _runs(item) -> bool:
    """Say whether a test belongs to the run with the x64 flag as it is."""
    once = item.get_closest_marker("float64_anyway") or item.get_closest_marker("slow")
    floor = item.path.parent.name if item.path.parent.parent.name == "tests" else ""
    if _X64:
        return bool(once) or floor not in _ONCE_WITHOUT
    # Spectra are computed in float64 whatever the flag: there, what float32 chains give.
    if floor == "spectra" and "float32" not in item.nodeid:
        return False
    if floor == "diagnostics" and item.path.stem not in ("test_diagnose", "test_gradient_profile"):
        return False
    return not item.get_closest_marker("float64_anyway") and floor not in _ONCE_WITH


def pytest_collection_modifyitems(config, items):
    """Leave out what the other run does; begin with the longest test."""
    config.hook.pytest_deselected(items=[item for item in items if not _runs(item)])
    items[:] = [item for item in items if _runs(item)]
    items.sort(key=lambda item: item.path.name != "test_notebooks.py")
