"""Compiled programs that the command keeps from one call to the next."""

import os
import pathlib
import sys
import warnings
from typing import Annotated, TypeAlias

import tyro

_MOST_BYTES = 500 * 2**20  # one diagnosis keeps some 2 MB

_HELP = (
    "Compile anew. By default compiled programs are kept in the user's cache folder, in "
    "vanishing_jax/jax, or where JAX_COMPILATION_CACHE_DIR says, and the next call starts warm."
)
NoCache: TypeAlias = Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help=_HELP)]
"""The option `--no-cache` of every command that compiles."""


def folder() -> pathlib.Path:
    """Return where compiled programs are kept, by the platform's custom."""
    if root := os.environ.get("XDG_CACHE_HOME"):
        pass
    elif sys.platform == "win32":
        root = os.environ.get("LOCALAPPDATA") or pathlib.Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        root = pathlib.Path.home() / "Library" / "Caches"
    else:
        root = pathlib.Path.home() / ".cache"
    return pathlib.Path(root) / "vanishing_jax" / "jax"


def set_up(*, no_cache: bool) -> None:
    """Let JAX keep all that it compiles in `folder()`, or nothing; call before JAX is imported.

    What the user has set stays. Nothing depends on the folder: where it cannot be made, read or
    written, programs are compiled as without it.
    """
    if no_cache:
        os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    if no_cache or "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    try:
        path = folder()
        path.mkdir(parents=True, exist_ok=True)
        _drop_oldest(path)
    except (OSError, RuntimeError):  # RuntimeError: there is no home
        return
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(path)
    # Many small programs make the seconds: JAX by itself keeps those that took one or more.
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")


def _drop_oldest(path):
    """Delete what was used longest ago, so that less than `_MOST_BYTES` stay.

    JAX's own limit (jax_compilation_cache_max_size) needs a package that it does not require.
    """
    with os.scandir(path) as entries:
        files = [(entry.stat(), entry.path) for entry in entries if entry.is_file()]
    files.sort(key=lambda file: max(file[0].st_atime, file[0].st_mtime), reverse=True)
    total = 0
    for status, name in files:
        total += status.st_size
        if total >= _MOST_BYTES:
            pathlib.Path(name).unlink(missing_ok=True)  # another process may have been faster
