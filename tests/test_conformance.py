"""What must hold for every public name."""

import ast
import importlib
import inspect
import pathlib
import subprocess
import sys

import pytest

from . import tables

NAMESPACES = "cells diagnostics interop plots report spectra tasks theory training".split()
PACKAGE = pathlib.Path(__file__).parent.parent / "vanishing_jax"


def public_objects():
    """Return every public name of the package, by reading its `__init__` files."""
    names = []
    for namespace in ("", *NAMESPACES):
        tree = ast.parse((PACKAGE / namespace / "__init__.py").read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                names += [(namespace, alias.asname) for alias in node.names if alias.asname]
    return names


@pytest.mark.parametrize(("namespace", "name"), public_objects())
def test_public_name_is_documented_annotated_and_keyed(namespace, name):
    home = importlib.import_module(f"vanishing_jax{'.' if namespace else ''}{namespace}")
    thing = getattr(home, name)
    documentation = inspect.getdoc(thing) or ""
    assert documentation, f"{name} has no docstring"
    if not inspect.isfunction(thing):
        return
    signature = inspect.signature(thing)
    assert "**Returns:**" in documentation or documentation.split()[0] in (
        "Return",
        "Draw",
        "Write",
    )
    parameters = list(signature.parameters.values())
    if "key" in signature.parameters:
        assert (
            parameters[-1].name == "key" and parameters[-1].kind is inspect.Parameter.KEYWORD_ONLY
        )
    if namespace == "plots" and name != "plot_diagnosis":
        assert signature.parameters["ax"].default is None


def test_top_level_names_are_the_same_for_type_checkers_and_at_run_time():
    import vanishing_jax

    declared = {name for namespace, name in public_objects() if not namespace}
    assert declared | set(NAMESPACES) == set(vanishing_jax.__all__) | declared & set(NAMESPACES)
    assert set(vanishing_jax.__all__) <= set(dir(vanishing_jax))
    for name in vanishing_jax.__all__:
        assert getattr(vanishing_jax, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = vanishing_jax.nonsense


def test_every_public_sibling_has_its_row():
    from vanishing_jax import cells, spectra, tasks

    rows = {name.split(",")[0] for name in tables.CELLS}
    concrete = {
        name
        for name, thing in vars(cells).items()
        if inspect.isclass(thing)
        and issubclass(thing, cells.AbstractCell)
        and thing is not cells.AbstractCell
    }
    assert rows == concrete
    makers = {
        name
        for name, thing in vars(tasks).items()
        if (inspect.isfunction(thing) and not name.startswith("_") and name != "named")
        or (inspect.isclass(thing) and issubclass(thing, tasks.AbstractTask))
    }
    assert makers - {"AbstractTask"} == {name.split(",")[0] for name in tables.TASKS}
    tests = {path.stem for path in (PACKAGE.parent / "tests" / "plots").glob("test_*.py")}
    drawn = {path.stem.lstrip("_") for path in (PACKAGE / "plots").glob("_*.py")}
    assert {f"test_{name}" for name in drawn - {"_init__", "init__"}} <= tests, (
        "a plot without tests"
    )
    algorithms = {n for n, f in vars(spectra).items() if callable(f) and n.islower()}
    assert algorithms == {
        "covariant_lyapunov_vectors", "decoupled_blocks", "entropy_rate", "entropy_rate_error",
        "input_loadings",
        "kaplan_yorke_dimension", "kaplan_yorke_error", "leading_singular_values",
        "log_singular_values", "lyapunov_exponents", "product_log_growth",
        "product_log_singular_values", "spectral_gradient", "spectral_norm_triangle",
        "surviving_directions", "trailing_singular_values",
    }  # fmt: skip


def test_no_private_jax_and_imports_run_one_way():
    layers = [
        "core cells spectra diagnostics theory".split(),
        ["tasks", "interop"], ["training"], ["plots"], ["report"], ["cli"],
    ]  # fmt: skip
    level = {name: i for i, names in enumerate(layers) for name in names}
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        assert "jax._src" not in text, path
        inside = path.relative_to(PACKAGE).parts
        mine = level[inside[0]] if len(inside) > 1 else 0
        # Imports at module level only: Diagnosis.plot and .save reach up when they are called.
        for node in ast.parse(text).body:
            if isinstance(node, ast.ImportFrom) and node.level == 2 and node.module:
                other = level.get(node.module.split(".")[0], 0)
                assert other <= mine, f"{path} imports {node.module}"


def run_python(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    ).stdout


@pytest.mark.float64_anyway
def test_importing_changes_no_global_state():
    code = """
import sys
import vanishing_jax
assert not {"jax", "matplotlib", "equinox", "numpy"} & set(sys.modules), "not lazy"
import jax, matplotlib, warnings, logging, equinox, optax, scipy.special  # these change filters
def state():
    flags = [n for n in dir(jax.config) if n.startswith("jax_")]
    config = {n: str(getattr(jax.config, n)) for n in flags}
    return config, dict(matplotlib.rcParams), list(warnings.filters), list(logging.root.handlers)
before = state()
for name in vanishing_jax.__all__:
    getattr(vanishing_jax, name)
assert state() == before
assert "sklearn" not in sys.modules and "jinja2" not in sys.modules
print("unchanged")
"""
    assert run_python(code) == "unchanged\n"
