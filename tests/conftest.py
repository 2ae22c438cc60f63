"""Fixtures and the numerical settings under which the whole suite runs.

The suite runs with 64-bit types (`VANISHING_JAX_X64=1`, the default). What is marked `as_users`
runs without them, too, together with the examples in docstrings.
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
    if maps.exists() and len(maps.read_bytes().splitlines()) > 40_000:
        jax.clear_caches()


def _runs(item) -> bool:
    """Say whether a test belongs to the run with the x64 flag as it is.

    Each test of `tests` runs with 64-bit types. What is marked `as_users` runs as users run it,
    too, as do the examples in docstrings. Spectra are computed in float64 whatever the flag: of
    those, and of diagnoses, what names float32.
    """
    if _X64 or isinstance(item, pytest.DoctestItem) or item.get_closest_marker("as_users"):
        return True
    return item.path.parent.name in ("spectra", "diagnostics") and "float32" in item.nodeid


def pytest_ignore_collect(collection_path):
    """Import no file for the run without 64-bit types that has nothing for it."""
    if _X64 or not collection_path.match("test_*.py"):
        return None
    text = collection_path.read_text()
    return None if "as_users" in text or "float32" in text else True


def pytest_collection_modifyitems(config, items):
    """Leave out what belongs to the other run; begin with the longest test."""
    config.hook.pytest_deselected(items=[item for item in items if not _runs(item)])
    items[:] = [item for item in items if _runs(item)]
    items.sort(key=lambda item: item.path.name != "test_notebooks.py")
