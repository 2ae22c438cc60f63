"""From a list of layers to the exact Jacobians of each activation with respect to the one before.

Depth instead of time: x_l = f_l(x_{l-1}), J_l = dx_l/dx_{l-1}, l = 1..L. The layers differ, so
nothing is scanned; each is compiled once, and layers that differ in their weights alone share it.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import equinox as eqx
import jax
import numpy as np

from ._activations import stable_derivatives
from ._chain import JacobianChain
from ._checks import as_arrays, check_choice, check_finite
from ._linearization import dense_bytes, gib
from ._linearize import MEMORY_LIMIT, widened
from ._shared_layers import shared_layers
from ._tree import StateLayout, describe, state_layout
from ._types import PyTree

Layer: TypeAlias = Callable[[PyTree], PyTree]
Mode: TypeAlias = Literal["fwd", "rev"]


def linearize_layers(
    layers: Sequence[Layer],
    x: PyTree,
    *,
    mode: Mode | None = None,
    memory_limit: int = MEMORY_LIMIT,
    precision: Literal["float64"] | None = None,
) -> JacobianChain:
    r"""Return the exact Jacobians J_l = dx_l/dx_{l-1} of `x_l = layers[l-1](x_{l-1})`, x_0 = `x`.

    The chain through depth that back-propagation walks in a feed-forward, residual or transformer
    network, for the same spectra and figures as a recurrence's chain through time. The layers are
    any functions of one activation, an array or a pytree; widths may differ. Then the Jacobians are
    rectangular, and the product J_t ... J_{s+1} has as many singular values as the narrowest
    activation from x_s to x_t has components; all others are zero by construction and left out. A
    residual block x + f(x) is one layer: a layer that sees only f is no chain.

    One activation is one state: where samples act on each other, as in batch normalization, `x` is
    the whole batch (batch, features). Independent samples go through `eqx.filter_vmap` of this
    function, which gives a batched chain.

    Derivatives are taken of floating leaves (complex ones as real and imaginary parts); those of
    tanh and sigmoid survive saturation, as in `linearize`.

    **Arguments:**

    - `layers`: a list of callables x -> y: functions, Equinox modules, Flax modules bound to their
      weights. Layers that differ in their arrays alone, be they leaves of the callable (Equinox
      modules, `jax.tree_util.Partial`) or in its closure, share one compiled program.
    - `x`: the input of the first layer.
    - `mode`: `"fwd"` (`jax.jacfwd`) or `"rev"` (`jax.jacrev`); by default the cheaper one for each
      layer's shape, and the other where that one is not defined (`custom_vjp`, `while_loop`).
    - `memory_limit`: bytes that the Jacobians may take.
    - `precision`: `"float64"` evaluates all layers in float64, whatever the x64 flag, and stores
      NumPy arrays; for layers whose code fixes no dtype.

    **Returns:** a dense `JacobianChain` with `axis="layer"`; `chain.jacobian(l)` is J_l,
    `chain.widths` are the sizes of x_0, ..., x_L. Rectangular Jacobians are padded by zeros to the
    largest width inside.

    **Raises:** `TypeError` for no list, a layer that cannot be called, or that fails on the
    activation it gets, with its place; `ValueError` for an empty list or an activation without
    floating leaves; `NonFiniteError` for NaN in `x` or in what a layer gives (outside `jit`);
    `MemoryError` before anything is computed.

    **Cost:** min(n_l, n_{l-1}) tangents or cotangents of each layer, two traces of it; L n^2
    numbers for the largest width n.

    **Validity:** tested against `jax.jacrev` of the whole composition and singular values in high
    precision, f32 and f64 (`tests/test_linearize_layers.py`). Layers that carry a state of their
    own beside the activation (running averages) must be given in inference mode, as functions of x
    alone.

    **Example:**

    >>> import equinox as eqx, jax, jax.numpy as jnp, vanishing_jax as vj
    >>> keys = jax.random.split(jax.random.key(0), 3)
    >>> sizes = [(3, 5), (5, 2), (2, 4)]
    >>> layers = [eqx.nn.Linear(n, m, key=key) for (n, m), key in zip(sizes, keys)]
    >>> chain = vj.linearize_layers(layers, jnp.ones(3))
    >>> chain
    JacobianChain(3 layers, widths 3-5-2-4, float...)
    >>> vj.log_singular_values(chain).log_singular_values.shape
    (2,)
    """
    check_choice("mode", mode, ("fwd", "rev", None))
    check_choice("precision", precision, ("float64", None))
    layers, x = check_layers(layers), as_arrays(x, "x")
    if precision is not None:
        return _in_float64(layers, x, mode, memory_limit)
    check_finite(x, "input x")
    shapes = activation_shapes(layers, x)
    widths, dtype = _widths(shapes)
    needed = dense_bytes(len(layers), max(widths), dtype)
    if needed > memory_limit:
        raise MemoryError(
            f"{len(layers)} Jacobians of widths up to {max(widths)} in {dtype} need {gib(needed)}; "
            f"memory_limit is {gib(memory_limit)}. Raise it, or leave out the wide layers: "
            "linearize_layers(layers[1:], layers[0](x))."
        )
    jacobians = []
    for index, layer in enumerate(shared_layers(layers, shapes[:-1])):
        place = _place(index, layers[index])
        J, x = _linearized(layer, place, x, widths[index : index + 2], mode)
        check_activation(x, index)
        jacobians.append(J.astype(dtype))
    return JacobianChain(jacobians, axis="layer")


def check_layers(layers: Any) -> list[Layer]:
    """Return the layers as a list, or raise saying what is wrong with them."""
    if not isinstance(layers, Sequence) or isinstance(layers, str):
        hint = "linearize_layers(list(model.layers), x)" if callable(layers) else "[f1, f2]"
        raise TypeError(
            f"expected a list of layers, functions x -> y; got a {type(layers).__name__}. Give the "
            f"parts of the network in their order, for example {hint}."
        )
    if not layers:
        raise ValueError("expected at least one layer; got an empty list.")
    for index, layer in enumerate(layers):
        if not callable(layer):
            raise TypeError(
                f"expected every layer to be a function x -> y; layers[{index}] is a "
                f"{type(layer).__name__}. A matrix W becomes one by lambda x: W @ x."
            )
    return list(layers)


def activation_shapes(layers: Sequence[Layer], x: PyTree) -> list[PyTree]:
    """Return shapes and dtypes of x_0, ..., x_L, each with something to differentiate."""
    shapes = [x]
    for index, layer in enumerate(layers):
        layout_of(shapes[-1], index)
        shapes.append(_shape_of(layer, index, shapes[-1]))
    layout_of(shapes[-1], len(layers))
    return shapes


def _shape_of(layer: Layer, index: int, x: PyTree) -> PyTree:
    try:
        return eqx.filter_eval_shape(layer, x)
    except Exception as error:  # a layer may raise anything on an activation that does not fit it
        advice = (
            "A layer is called with the activation alone: wrap one that takes more, such as "
            "lambda x: layer(x, key=key) or lambda x: layer(x, state)[0]; independent samples go "
            "through eqx.filter_vmap."
        )
        if isinstance(error, jax.errors.JAXTypeError):
            advice = "It must be traceable by JAX: no float(), `if` or NumPy on its argument."
        raise TypeError(
            f"{_place(index, layer)} failed on the activation {describe(x)}: {error}\n{advice}"
        ) from error


def _place(index: int, layer: Layer) -> str:
    name = getattr(layer, "__name__", type(layer).__name__)
    return f"layers[{index}] ({name})"


def layout_of(x: PyTree, index: int) -> StateLayout:
    """Return the layout of x_index, or raise saying which layer made it."""
    try:
        return state_layout(x)
    except (TypeError, ValueError) as error:
        made = "the input x" if index == 0 else f"what layers[{index - 1}] returned"
        raise type(error)(
            f"expected activations with floating leaves; {made} is {describe(x)}, through which no "
            "gradient passes. Start after an embedding or a lookup, and stop before an argmax."
        ) from error


def _widths(shapes: list[PyTree]) -> tuple[tuple[int, ...], np.dtype]:
    """Return the sizes of all activations and the dtype of the chain, at least float32."""
    layouts = [layout_of(x, index) for index, x in enumerate(shapes)]
    dtypes = [np.dtype(np.float32), *(layout.dtype for layout in layouts)]
    widest = max(dtypes, key=lambda dtype: dtype.itemsize)
    return tuple(layout.size for layout in layouts), widest


def check_activation(x: PyTree, index: int) -> None:
    """Raise `NonFiniteError` where layer `index` gave a NaN or an infinity."""
    advice = (
        "Its weights, or a division by 0 in it, made them: the activation before is finite. Where "
        "activations overflow after many layers, compute in float64 or scale the weights down."
    )
    check_finite(x, f"activations out of layers[{index}]", advice=advice)


def _linearized(layer: Layer, place: str, x: PyTree, widths: tuple[int, ...], mode: Mode | None):
    """Return J and the next activation; without a mode by whichever is defined, cheaper first."""
    # A tangent for each input component, or a cotangent for each output component.
    first: Mode = mode or ("fwd" if widths[0] <= widths[1] else "rev")
    other: Mode = "rev" if first == "fwd" else "fwd"
    try:
        return _jacobian(layer, x, first)
    except (TypeError, ValueError) as error:
        if mode is None:
            return _linearized(layer, place, x, widths, other)
        raise TypeError(
            f"{place} has no derivative by mode {mode!r}: {error}\nForward mode is "
            "not defined for custom_vjp functions, reverse mode not for while loops. Leave mode "
            f"out, or take {other!r}."
        ) from error


@eqx.filter_jit
def _jacobian(layer: Layer, x: PyTree, mode: Mode):
    """Return (J, y): the Jacobian of y = layer(x) between their vectors."""
    before = state_layout(x)

    def step(vector):
        # The activation itself is the auxiliary output: the layer is evaluated once.
        y = layer(before.unravel(vector, x))
        return state_layout(y).ravel(y), y

    jacobian = jax.jacfwd if mode == "fwd" else jax.jacrev
    return jacobian(stable_derivatives(step), has_aux=True)(before.ravel(x))


def _in_float64(layers, x, mode, memory_limit) -> JacobianChain:
    with jax.enable_x64(True):
        layers, x = widened((layers, x))
        for index, activation in enumerate(activation_shapes(layers, x)):
            dtype = layout_of(activation, index).dtype
            if dtype != np.float64:
                raise ValueError(
                    f"expected layers that compute in float64 when given float64; "
                    f"layers[{index - 1}] returns {dtype}. Leave precision out."
                )
        wide = linearize_layers(layers, x, mode=mode, memory_limit=memory_limit)
        jacobians = np.asarray(wide.jacobians)
    widths = wide.widths if wide.is_rectangular else None
    return JacobianChain(jacobians, axis="layer", widths=widths)
