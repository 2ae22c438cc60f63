"""Every public signature says what it takes and gives."""

import ast
from collections.abc import Iterator
from pathlib import Path

import vanishing_jax

ROOT = Path(vanishing_jax.__file__).parent


def unannotated(body: list[ast.stmt], where: str, in_class: bool = False) -> Iterator[str]:
    """Yield the public functions, and methods of public classes, that leave something out."""
    for node in body:
        name = getattr(node, "name", "_")
        if name.startswith("_"):
            continue
        if isinstance(node, ast.ClassDef):
            yield from unannotated(node.body, f"{where}:{name}", in_class=True)
        elif isinstance(node, ast.FunctionDef):
            given = node.args
            arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs]
            arguments += [one for one in (given.vararg, given.kwarg) if one is not None]
            static = any(getattr(d, "id", "") == "staticmethod" for d in node.decorator_list)
            arguments = arguments[1:] if in_class and not static else arguments
            if node.returns is None or any(one.annotation is None for one in arguments):
                yield f"{where}:{name}"


def test_every_public_signature_is_annotated():
    missing = [
        name
        for path in sorted(ROOT.rglob("*.py"))
        for name in unannotated(ast.parse(path.read_text()).body, str(path.relative_to(ROOT)))
    ]
    assert missing == []
