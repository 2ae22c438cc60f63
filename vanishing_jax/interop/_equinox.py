"""Recurrent cells of Equinox, from their weights."""

from ._assemble import Loaded, assemble, single_layers
from ._canonical import GATES, Layer, fused_layer, kind_of
from ._tensors import Group, Prefix, Source, groups, read

_TAILS = ("weight_ih", "weight_hh", "bias", "bias_n")


def load_equinox(source: Source, cell: str | None = None, *, prefix: Prefix = None) -> Loaded:
    """Return the cell with the weights of an `eqx.nn.LSTMCell` or `eqx.nn.GRUCell`.

    A module at hand needs no conversion: `vanishing_jax.as_cell(module)`. This is for weights in a
    file. An `.eqx` file of `eqx.tree_serialise_leaves` holds arrays without names: load it into
    your model with Equinox, then use or save the cell.

    **Arguments:**

    - `source`: a mapping of names to arrays, nested or joined by "." or "/" (".cell.weight_ih", as
      `jax.tree_util.keystr` prints paths, is fine); or a safetensors file of it.
    - `cell`: "lstm" or "gru"; None reads it off the shapes.
    - `prefix`: the path before the cell's names ("encoder.cell"), if there are several cells; a
      list stacks them, the lowest first.

    **Returns:** an `LSTMCell` or `GRUCell`, or a `StackedCell` of these.

    **Raises:** `ValueError`, naming tensors and choices, for a file that is truncated or not
    safetensors, no cell, several without `prefix`, another kind than asked for, missing tensors,
    NaN or inf. `TypeError` for what holds no arrays.

    **Example:**

    >>> import equinox as eqx, jax
    >>> module = eqx.nn.GRUCell(3, 5, key=jax.random.key(0))
    >>> leaves = jax.tree_util.tree_leaves_with_path(eqx.filter(module, eqx.is_array))
    >>> load_equinox({jax.tree_util.keystr(path): leaf for path, leaf in leaves}).hidden_size
    5
    """
    tensors = read(source, "Equinox")
    found = {
        place: group
        for place, group in groups(tensors, _TAILS).items()
        if {"weight_ih", "weight_hh"} <= set(group)
    }
    readers = single_layers(tensors, found, _layer)
    return assemble(tensors, readers, cell=cell, prefix=prefix, examples="weight_ih, weight_hh")


def _layer(group: Group) -> Layer:
    kind = kind_of("weight_hh", group["weight_hh"].shape, ("lstm", "gru"))
    if ("bias_n" in group) != (kind == "gru" and "bias" in group):
        raise ValueError(
            "a GRU has bias and bias_n or neither, an LSTM no bias_n; got a "
            f"{kind.upper()} with {sorted(set(group) & {'bias', 'bias_n'})}"
        )
    layer = fused_layer(kind, GATES[kind], group, ("weight_hh", "weight_ih", "bias"))
    return layer._replace(hidden_bias={"n": group["bias_n"]}) if "bias_n" in group else layer
