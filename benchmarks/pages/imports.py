"""The measured table of docs/guides/interop.md, from what bench_imports.py wrote."""

from _pages import table_of

_PACKAGES = ("jax", "torch", "flax", "dm-haiku", "equinox", "keras", "onnx", "onnxruntime")


def measured(result: dict) -> str:
    """Return the table of errors, and how it was measured."""
    cells = {"framework": "framework", "network": "network", "output": "forward"}
    cells |= {"by inputs": "inputs", "by first state": "state", "by weights": "weights"}
    settings, versions = result["settings"], result["versions"]
    return (
        f"{table_of(result['rows'], cells)}\n\n"
        f"`{result['command']}`, {result['utc'][:10]}: the largest error over "
        f"{settings['seeds']} draws of inputs and first states, {settings['inputs']} inputs, "
        f"{settings['units']} units, {settings['steps']} steps, float32. With "
        + ", ".join(f"{name} {versions[name]}" for name in _PACKAGES)
        + "."
    )
