"""What must hold for every public name."""

import ast
import importlib
import inspect
import pathlib
import subprocess
import sys

import pytest

from . import tables

NAMESPACES = (
    "cells comparison/recipes diagnostics interop mitigations networks plots report spectra "
    "studies studies/claims studies/table tasks theory training"
).split()
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
    home = importlib.import_module(".".join(["vanishing_jax", *namespace.split("/")]).rstrip("."))
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
    pages = ("plot_diagnosis", "plot_network", "plot_phase_diagram")
    if namespace == "plots" and name not in pages:
        assert signature.parameters["ax"].default is None


@pytest.mark.parametrize("namespace", ["", *NAMESPACES])
def test_names_are_the_same_for_type_checkers_and_at_run_time(namespace):
    home = importlib.import_module(".".join(["vanishing_jax", *namespace.split("/")]).rstrip("."))
    declared = {name for where, name in public_objects() if where == namespace}
    declared |= {name.split("/")[-1] for name in NAMESPACES if name.rpartition("/")[0] == namespace}
    assert set(getattr(home, "__all__", declared)) == declared <= set(dir(home))
    for name in declared:
        assert getattr(home, name) is not None
    with pytest.raises(AttributeError, match=f"module '{home.__name__}' has no attribute 'x'"):
        _ = home.x


def public(module):
    return {name: getattr(module, name) for name in dir(module) if not name.startswith("_")}


def test_every_public_sibling_has_its_row():
    from vanishing_jax import cells, mitigations, spectra, tasks

    rows = {name.split(",")[0] for name in tables.CELLS}
    concrete = {
        name
        for name, thing in public(cells).items()
        if inspect.isclass(thing)
        and issubclass(thing, cells.AbstractCell)
        and thing is not cells.AbstractCell
    }
    assert rows == concrete
    makers = {
        name
        for name, thing in public(tasks).items()
        if (inspect.isfunction(thing) and not name.startswith("_") and name != "named")
        or (inspect.isclass(thing) and issubclass(thing, tasks.AbstractTask))
    }
    assert makers - {"AbstractTask"} == {name.split(",")[0] for name in tables.TASKS}
    remedies = {n for n, f in public(mitigations).items() if inspect.isfunction(f)} - {"chain"}
    assert remedies == set(tables.MITIGATIONS)
    tests = {path.stem for path in (PACKAGE.parent / "tests" / "plots").glob("test_*.py")}
    drawn = {path.stem.lstrip("_") for path in (PACKAGE / "plots").glob("_*.py")}
    assert {f"test_{name}" for name in drawn - {"_init__", "init__"}} <= tests, (
        "a plot without tests"
    )
    algorithms = {n for n, f in public(spectra).items() if callable(f) and n.islower()}
    assert algorithms == {
        "block_log_singular_values", "covariant_lyapunov_vectors", "decoupled_blocks",
        "input_loadings", "leading_singular_values",
        "log_singular_values", "lyapunov_exponents", "product_log_growth",
        "product_log_singular_values", "spectral_gradient", "surviving_directions",
    }  # fmt: skip


@pytest.mark.as_users
@pytest.mark.parametrize("name", tables.MITIGATIONS)
def test_every_mitigation_is_a_record_of_pure_hooks(name):
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    from vanishing_jax import cells

    mitigation = tables.MITIGATIONS[name]()
    kind = cells.VanillaCell if name == "critical" else cells.LSTMCell  # critical knows no gates
    cell = kind(2, 3, key=jax.random.key(0))
    assert str(mitigation) and "array" not in str(mitigation).lower()
    hooks = (mitigation.gradient_transform, mitigation.update_transform)
    used = [mitigation.transform_cell, mitigation.penalty, *hooks, mitigation.project]
    used.append(mitigation.initial_state)
    assert sum(hook is not None for hook in used) == 1
    if mitigation.transform_cell is not None:
        one, two = (mitigation.transform_cell(cell, key=jax.random.key(1)) for _ in range(2))
        assert eqx.tree_equal(one, two)
        assert not eqx.tree_equal(one, cell)
        state = one(one.initial_state(), jnp.ones(2))
        assert jax.tree.structure(state) == jax.tree.structure(one.initial_state())
    params = eqx.filter(cell, eqx.is_inexact_array)
    for hook in filter(None, hooks):
        with jax.numpy_dtype_promotion("standard"):
            new, _ = hook.update(params, hook.init(params), params)
        assert jax.tree.structure(new) == jax.tree.structure(params)
        assert all(
            a.dtype == b.dtype for a, b in zip(*map(jax.tree.leaves, (new, params)), strict=True)
        )
        assert not eqx.tree_equal(new, params)
    if mitigation.penalty is not None:
        doubled, inputs = cell.map_recurrent(lambda w: 2 * w), jnp.ones((4, 3, 2))
        value = mitigation.penalty(doubled, inputs, lambda states: jnp.zeros(()))
        assert value.shape == () and value > 0 and value.dtype == cell.weight_hh.dtype
    if mitigation.project is not None:
        once = mitigation.project(cell.map_recurrent(lambda w: 2 * w))
        assert not eqx.tree_equal(once, cell)
        for a, b in zip(*map(jax.tree.leaves, (once, mitigation.project(once))), strict=True):
            assert jnp.allclose(a, b, rtol=1e-5, atol=1e-6) and a.dtype == b.dtype


def test_no_private_jax():
    for path in PACKAGE.rglob("*.py"):
        assert "jax._src" not in path.read_text(), path


def run_python(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    ).stdout


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


HEAVY = (
    "flax h5netcdf h5py haiku jinja2 keras matplotlib optax pandas sklearn "
    "safetensors scipy.linalg scipy.optimize scipy.special scipy.stats torch tqdm tyro xarray"
).split()


def test_first_names_load_nothing_heavy():
    """One after the other, in one process: what none of them loads, no first one does."""
    code = f"""
import sys
import vanishing_jax as vj
vj.cells.LSTMCell
for name in ("as_cell", "rollout", "log_singular_values", "diagnose"):
    getattr(vj, name)
    for heavy in {HEAVY}:
        assert heavy not in sys.modules, (name, heavy)
"""
    assert run_python(code) == ""
