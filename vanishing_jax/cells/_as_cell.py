"""The one place where a user's object becomes a cell."""

from typing import Any

import equinox as eqx

from ._adapters import EquinoxCell
from ._base import AbstractCell
from ._flax import is_linen, is_nnx
from ._foreign import is_instance_of
from ._haiku import is_transformed
from ._keras import is_keras


def as_cell(obj: Any) -> AbstractCell:
    """Return `obj` as a cell, `cell(state, input) -> state`.

    A cell is returned as it is; `eqx.nn.LSTMCell` and `eqx.nn.GRUCell` become an `EquinoxCell`. For
    anything else the order of arguments is not guessed: the error names the wrapper to write.

    **Arguments:**

    - `obj`: the user's cell.

    **Returns:** an `AbstractCell`.

    **Raises:** `TypeError`, with the line to write instead.

    **Example:**

    >>> import equinox as eqx, jax
    >>> as_cell(eqx.nn.GRUCell(3, 5, key=jax.random.key(0))).gate_names
    ('reset', 'update')
    """
    if isinstance(obj, AbstractCell):
        return obj
    if isinstance(obj, eqx.nn.LSTMCell | eqx.nn.GRUCell):
        return EquinoxCell(obj)
    raise TypeError(f"expected a cell; got {_advice(obj)}")


def _advice(obj: Any) -> str:
    name = type(obj).__name__
    if isinstance(obj, type):
        return f"the class {obj.__name__}. Pass an instance of it."
    if is_linen(obj):
        return (
            f"the Flax Linen module {name}. Wrap it: FlaxCell(module, variables) with variables = "
            "module.init(key, carry, input)."
        )
    if is_nnx(obj):
        return f"the Flax NNX module {name}. Wrap it: FlaxCell(module)."
    if is_transformed(obj):
        return (
            "what hk.transform returns. Wrap it: HaikuCell(lambda: hk.LSTM(64), params) with the "
            "function that builds your core, or HaikuCell(transformed, params) for one step "
            "(input, state) -> (output, state)."
        )
    if is_keras(obj):
        layer = "layer.cell" if hasattr(obj, "cell") else "layer"
        return f"the Keras layer {name}. Wrap its cell: KerasCell({layer})."
    if is_instance_of(obj, "torch.nn.modules.module", "Module"):
        return (
            f"the PyTorch module {name}. Save its weights, "
            "safetensors.torch.save_file(module.state_dict(), 'model.safetensors'), and load them: "
            "vanishing_jax.interop.load_torch('model.safetensors')."
        )
    if isinstance(obj, eqx.Module):
        return (
            f"the Equinox module {name}, whose order of arguments cannot be known. Wrap it: "
            "EquinoxCell(module) if it is called module(input, state); "
            "FunctionCell(lambda p, s, x: p(s, x), module) if module(state, input)."
        )
    if callable(obj):
        what = "a plain function" if hasattr(obj, "__code__") else f"the callable {name}"
        return f"{what}. Wrap it: FunctionCell(fn, params) for fn(params, state, input)."
    return (
        f"{name}. Wrap one step of your network: FunctionCell(fn, params) for "
        "fn(params, state, input)."
    )
