import os
import pathlib
import subprocess
import sys

import pytest

COMPILE = """
import os
from vanishing_jax.cli._cache import set_up
set_up(no_cache={no_cache})
import jax
jax.jit(lambda x: 3 * x)(2.0)
"""
NAMES = (
    "JAX_COMPILATION_CACHE_DIR JAX_ENABLE_COMPILATION_CACHE "
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"
).split()


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    """Give the cache a folder of its own, and JAX no settings."""
    for name in NAMES:
        monkeypatch.setenv(name, "")  # so that it is restored, also where it was not set
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def compile_one(no_cache=False):
    code = [sys.executable, "-W", "error", "-c", COMPILE.format(no_cache=no_cache)]
    return subprocess.run(code, check=True, capture_output=True, text=True, timeout=120).stderr


def kept(folder):
    return {path.name for path in folder.rglob("*-cache")}


def test_small_programs_are_kept_and_found_again(tmp_path):
    compile_one()
    first = kept(tmp_path / "vanishing_jax" / "jax")
    assert any("lambda" in name for name in first)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*-cache")}
    compile_one()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*-cache")} == before


def test_nothing_is_kept_without_the_cache_or_where_a_file_is_in_the_way(tmp_path, monkeypatch):
    compile_one(no_cache=True)
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "own"))
    compile_one(no_cache=True)
    assert not kept(tmp_path)
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    (tmp_path / "vanishing_jax").touch()
    assert compile_one() == ""


def test_what_jax_cannot_read_is_compiled_again(tmp_path):
    compile_one()
    for path in tmp_path.rglob("*-cache"):
        path.write_bytes(path.read_bytes()[:50])
    assert compile_one() == ""


def test_folder_of_the_user_stays(tmp_path, monkeypatch):
    from vanishing_jax.cli._cache import set_up

    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "mine")
    set_up(no_cache=False)
    assert {name: os.environ[name] for name in NAMES if name in os.environ} == {NAMES[0]: "mine"}
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, "home/.cache"),
        ("linux", {"XDG_CACHE_HOME": "xdg"}, "xdg"),
        ("darwin", {}, "home/Library/Caches"),
        ("win32", {"LOCALAPPDATA": "local"}, "local"),
        ("win32", {}, "home/AppData/Local"),
    ],
)
def test_folder_is_the_platforms(monkeypatch, platform, variables, expected):
    from vanishing_jax.cli import _cache

    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(pathlib.Path, "home", lambda: pathlib.Path("home"))
    assert _cache.folder() == pathlib.Path(expected, "vanishing_jax", "jax")


def test_what_was_used_longest_ago_is_dropped(tmp_path, monkeypatch):
    from vanishing_jax.cli import _cache

    for age, name in enumerate(["newest", "newer", "older", "oldest"]):
        (tmp_path / name).write_bytes(bytes(10))
        os.utime(tmp_path / name, (1e9 - 2 * age, 1e9 - 2 * age))
    os.utime(tmp_path / "oldest", (1e9 - 1, 1e9 - 9))  # written first, but read since
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(_cache, "_MOST_BYTES", 25)
    _cache._drop_oldest(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"newest", "oldest", "folder"}


def test_main_with_arguments_leaves_the_process_as_it_is(tmp_path, capsys):
    from vanishing_jax.cli import main

    before = dict(os.environ)
    with pytest.raises(SystemExit):
        main(["diagnose", str(tmp_path / "none"), "--inputs", str(tmp_path / "none")])
    assert dict(os.environ) == before and not list(tmp_path.iterdir())
    assert "no such file" in capsys.readouterr().err
