"""The measured table of docs/guides/interop.md, from what bench_imports.py wrote."""

import pathlib

from _tables import short, table

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "guides" / "interop.md"
_PACKAGES = {
    "PyTorch": ("torch",),
    "Flax Linen": ("flax",),
    "Flax NNX": ("flax",),
    "Haiku": ("dm-haiku",),
    "Equinox": ("equinox",),
    "Keras": ("keras",),
    "ONNX": ("onnx", "onnxruntime"),
}


def measured(result: dict) -> str:
    """Return the table of errors."""
    lines = []
    for row in result["rows"]:
        errors = [row.get(name) for name in ("forward", "inputs", "state", "weights")]
        lines.append([row["framework"], row["network"], *map(short, errors)])
    headings = ["framework", "network", "output", "by inputs", "by first state", "by weights"]
    settings, versions = result["settings"], result["versions"]
    names = dict.fromkeys(name for names in _PACKAGES.values() for name in names)
    return "\n\n".join(
        [
            table(headings, lines),
            f"`{result['command']}`, {result['utc'][:10]}: the largest error over "
            f"{settings['seeds']} draws of inputs and first states, {settings['inputs']} inputs, "
            f"{settings['units']} units, {settings['steps']} steps, float32. With "
            + ", ".join(f"{name} {versions[name]}" for name in ("jax", *names))
            + ".",
        ]
    )
