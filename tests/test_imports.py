"""Imports run one way, from layer to layer and from file to file, the lazy ones included.

An edge is an import anywhere in a file, inside functions too; those under `TYPE_CHECKING` are for
readers and type checkers. A name taken from a package that loads lazily comes from its own file; a
name taken from another package loads that package's `__init__`, and with it all that this imports.
"""

import ast
import pathlib

PACKAGE = pathlib.Path(__file__).parent.parent / "vanishing_jax"

# CONTRIBUTING, "The house", from the bottom to the top.
CHAIN = (
    "_rollout _linearization _linearize _chain _linearize_layers _shared_layers _hashing"
).split()
LAYERS = (
    "leaves", "cells", "chain", "networks", "spectra", "theory", "diagnostics", "tasks",
    "mitigations", "interop", "training", "comparison", "plots", "report", "studies", "cli",
)  # fmt: skip


def name_of(path):
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(
        ".__init__"
    )


PATHS = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def layer_of(module):
    """Return the layer of a file; the package's own `__init__`, which loads lazily, has none."""
    inside = module.split(".")[1:]
    if not inside:
        return None
    if PATHS[module].parent == PACKAGE:
        return "chain" if inside[0] in CHAIN else "leaves"
    return inside[0]


def is_package(module):
    return module in PATHS and PATHS[module].name == "__init__.py"


def base_of(module, node):
    """Return the absolute name of what `from ... import` imports from; "" if it is not ours."""
    if not node.level:
        return node.module if (node.module or "").split(".")[0] == PACKAGE.name else ""
    parts = module.split(".") if is_package(module) else module.split(".")[:-1]
    parts = parts[: len(parts) - node.level + 1]
    return ".".join([*parts, *filter(None, [node.module])])


def split(tree):
    """Return the nodes that run, and those that only type checkers read."""
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    nodes = list(ast.walk(tree))
    return [n for n in nodes if id(n) not in guarded], [n for n in nodes if id(n) in guarded]


TREES = {module: split(ast.parse(path.read_text())) for module, path in PATHS.items()}
# package -> name -> (where from, name there), of the names that it loads when they are used
LAZY = {
    module: {
        alias.asname or alias.name: (base_of(module, node), alias.name)
        for node in TREES[module][1]
        if isinstance(node, ast.ImportFrom) and base_of(module, node)
        for alias in node.names
    }
    for module in filter(is_package, PATHS)
}


def homes(base, name):
    """Return the files that `from base import name` loads."""
    if f"{base}.{name}" in PATHS:
        return {f"{base}.{name}"}
    if name in LAZY.get(base, {}):
        return homes(*LAZY[base][name])
    return {base}


def edges_of(module):
    """Return the files of the package that a file imports, anywhere in it."""
    found, packages = set(), {}
    for node in TREES[module][0]:
        if isinstance(node, ast.ImportFrom) and (base := base_of(module, node)):
            for alias in node.names:
                loaded = homes(base, alias.name)
                found |= loaded
                packages[alias.asname or alias.name] = next(filter(is_package, loaded), "")
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in PATHS}
    for node in TREES[module][0]:  # `from .. import cells`, and then `cells.LSTMCell`
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            package = packages.get(node.value.id, "")
            if node.attr in LAZY.get(package, {}):
                found |= homes(package, node.attr)
    return found - {module}


EDGES = {module: edges_of(module) for module in PATHS}


def circles():
    """Return the groups of files that reach each other."""

    def reached(module):
        seen, ahead = set(), [module]
        while ahead:
            new = EDGES[ahead.pop()] - seen
            seen |= new
            ahead += new
        return seen

    reach = {module: reached(module) for module in PATHS}
    groups = {
        frozenset(other for other in reach[module] if module in reach[other])
        for module in PATHS
        if module in reach[module]
    }
    return sorted(map(sorted, groups))


def test_no_file_imports_itself_by_way_of_others():
    assert circles() == []


def test_imports_run_down_the_layers():
    upward = [
        f"{module} imports {other}"
        for module in PATHS
        for other in EDGES[module]
        if (mine := layer_of(module))
        and (theirs := layer_of(other))
        and LAYERS.index(theirs) > LAYERS.index(mine)
    ]
    assert upward == []
    assert EDGES["vanishing_jax"] == {"vanishing_jax._lazy"}  # importing it loads nothing else


def test_no_other_door_leads_up():
    """`_lazy.from_above` is the one way to a layer above, and only to public names."""
    import vanishing_jax

    asked = set()
    for module, (nodes, _) in TREES.items():
        for node in nodes:
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            assert "import_module" not in called or module == "vanishing_jax._lazy", module
            if called == "from_above":
                (path,) = map(ast.literal_eval, node.args)
                asked.add(path)
    assert asked
    for path in asked:
        thing = vanishing_jax
        for name in path.split("."):
            assert not name.startswith("_"), path
            thing = getattr(thing, name)
        assert callable(thing)
