"""Observe and replace the elementwise nonlinearities of any function, by interpreting its jaxpr.

Recognized as an activation:

- the primitives `tanh` and `logistic` (what `jnp.tanh`, `jax.nn.sigmoid` and most libraries use) on
  real floating arrays, and `max(x, 0.0)` of several numbers with a literal zero (`"relu"`);
- a `custom_jvp` or `custom_vjp` function whose forward computation is exactly one of these
  (`jax.nn.relu`, `vanishing_jax`'s own stable tanh and sigmoid).

Not recognized: a sigmoid spelled `1 / (1 + exp(-x))`, a maximum with an array of zeros, anything
inside the body of `lax.scan`, `while_loop` or `cond`, and anything inside a custom-derivative
function that computes more than the activation. Those are evaluated as they are, and so is a
derivative that the function itself takes.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core as jex

from . import _stable
from ._types import Array, PyTree

Rule: TypeAlias = Callable[[str, Array], Any]
"""`rule(kind, preactivation) -> activation`, kind "tanh", "sigmoid" or "relu".

Returning `NotImplemented` keeps the original computation, its derivative included.
"""

_KIND_OF_PRIMITIVE = {"tanh": "tanh", "logistic": "sigmoid"}
INLINED_CALLS = frozenset(
    {"jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint"}
)
CUSTOM_CALLS = frozenset({"custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"})
_DEBUG_INFO = jex.DebugInfo("with_activation_rule", "one equation", None, None)


def with_activation_rule(
    fn: Callable[..., PyTree], rule: Rule, *, replace_custom: bool = True
) -> Callable[..., PyTree]:
    """Return `fn` with each recognized activation computed by `rule`.

    The result takes `fn`'s arguments and can be differentiated, vmapped, jitted and called inside
    other traces. `jax.jit` and `jax.checkpoint` inside `fn` are inlined, so the activations inside
    are reached; the checkpoint's saving of memory is lost. The module docstring lists what is
    recognized.

    **Arguments:**

    - `fn`: any traceable function of pytrees. Leaves that are not arrays are passed through.
    - `rule`: called as `rule(kind, preactivation)` in the order of evaluation; returns an array of
      the same shape and dtype, or `NotImplemented` to keep the original computation.
    - `replace_custom`: whether an activation that carries a derivative of its own (`custom_jvp`,
      `custom_vjp`) is handed to the rule too.

    **Raises:** `ValueError` if the rule returns another shape or dtype.

    **Cost:** one extra trace of `fn` per call; wrap the result in `jax.jit` to pay it once.

    **Example:**

    >>> import jax.numpy as jnp
    >>> linearized = with_activation_rule(lambda x: 2 * jnp.tanh(x), lambda kind, a: a)
    >>> float(linearized(jnp.asarray(3.0)))
    6.0
    """

    def evaluate(*args: Any, **kwargs: Any) -> PyTree:
        traced = _trace(fn, args, kwargs)
        outputs = _evaluate(traced.jaxpr, traced.consts, traced.inputs, rule, replace_custom)
        return traced.rebuild(outputs)

    return evaluate


def stable_derivatives(fn: Callable[..., PyTree]) -> Callable[..., PyTree]:
    """Return `fn` with tanh and sigmoid derivatives that do not round to zero in saturation.

    Values are unchanged bit for bit; the derivatives become those of `vanishing_jax._stable`. ReLU
    and activations that bring a derivative of their own (`custom_jvp`, `custom_vjp`) are kept.

    **Example:**

    >>> import jax, jax.numpy as jnp
    >>> bool(jax.grad(stable_derivatives(jnp.tanh))(jnp.float32(9.5)) > 2e-8)
    True
    """
    stable = {"tanh": _stable.tanh, "sigmoid": _stable.sigmoid}

    def rule(kind: str, preactivation: Array) -> Any:
        return stable[kind](preactivation) if kind in stable else NotImplemented

    return with_activation_rule(fn, rule, replace_custom=False)


def record_activations(
    fn: Callable[..., PyTree],
) -> Callable[..., tuple[PyTree, tuple[Array, ...]]]:
    """Return a function that gives `(fn(...), preactivations)`.

    The preactivations come in the order of evaluation, one per entry of `activation_kinds`.

    **Example:**

    >>> import jax.numpy as jnp
    >>> out, (preactivation,) = record_activations(lambda x: jnp.tanh(2 * x))(jnp.asarray(1.5))
    >>> float(preactivation)
    3.0
    """

    def evaluate(*args: Any, **kwargs: Any) -> tuple[PyTree, tuple[Array, ...]]:
        preactivations: list[Array] = []

        def rule(kind: str, preactivation: Array) -> Any:
            preactivations.append(preactivation)
            return NotImplemented

        out = with_activation_rule(fn, rule)(*args, **kwargs)
        return out, tuple(preactivations)

    return evaluate


def activation_kinds(fn: Callable[..., PyTree], *args: Any, **kwargs: Any) -> tuple[str, ...]:
    """Return the kind of each recognized activation of `fn(*args)` in the order of evaluation.

    Nothing is computed; `args` may be `jax.ShapeDtypeStruct`s.

    **Example:**

    >>> import jax, jax.numpy as jnp
    >>> activation_kinds(lambda x: jax.nn.sigmoid(x) * jnp.tanh(x), jnp.ones(3))
    ('sigmoid', 'tanh')
    """
    kinds: list[str] = []

    def rule(kind: str, preactivation: Array) -> Any:
        kinds.append(kind)
        return NotImplemented

    eqx.filter_eval_shape(with_activation_rule(fn, rule), *args, **kwargs)
    return tuple(kinds)


class _Traced(NamedTuple):
    """A function traced at some arguments: flat arrays in, flat arrays out."""

    jaxpr: Any
    consts: Sequence[Any]
    inputs: list[Any]
    rebuild: Callable[[list[Any]], PyTree]


def _trace(fn: Callable[..., PyTree], args: tuple, kwargs: dict) -> _Traced:
    # Only arrays become variables of the jaxpr; functions and strings go around it.
    arrays, others = eqx.partition((args, kwargs), _is_array)
    inputs, structure = jax.tree.flatten(arrays)
    static_output: list[Any] = []

    def flat_fn(*leaves: Any) -> list[Any]:
        args, kwargs = eqx.combine(jax.tree.unflatten(structure, leaves), others)
        output, static = eqx.partition(fn(*args, **kwargs), _is_array)
        # `make_jaxpr` returns arrays only: structure and static leaves leave by the closure.
        leaves_out, structure_out = jax.tree.flatten(output)
        static_output[:] = [structure_out, static]
        return leaves_out

    closed = jax.make_jaxpr(flat_fn)(*inputs)
    structure_out, static = static_output

    def rebuild(outputs: list[Any]) -> PyTree:
        return eqx.combine(jax.tree.unflatten(structure_out, outputs), static)

    return _Traced(closed.jaxpr, closed.consts, inputs, rebuild)


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray)


def _evaluate(
    jaxpr: Any, consts: Sequence[Any], inputs: Sequence[Any], rule: Rule, replace_custom: bool
) -> list[Any]:
    """Evaluate a jaxpr equation by equation, activations by the rule."""
    env = dict(zip(jaxpr.constvars, consts, strict=True))
    env.update(zip(jaxpr.invars, inputs, strict=True))

    def read(var: Any) -> Any:
        if isinstance(var, jex.Literal):
            # Its value can be a Python scalar; the dtype is that of the variable.
            aval: Any = var.aval
            return jnp.asarray(var.val, aval.dtype)
        return env[var]

    for eqn in jaxpr.eqns:
        values = [read(var) for var in eqn.invars]
        outputs = _evaluate_equation(eqn, values, rule, replace_custom)
        env.update(zip(eqn.outvars, outputs, strict=True))
    return [read(var) for var in jaxpr.outvars]


def _evaluate_equation(
    eqn: Any, values: list[Any], rule: Rule, replace_custom: bool
) -> Sequence[Any]:
    name = eqn.primitive.name
    if name in INLINED_CALLS:
        # Evaluated in place, so that the rule reaches the activations inside.
        jaxpr, consts = called_jaxpr(eqn)
        return _evaluate(jaxpr, consts, values, rule, replace_custom)
    # A derivative of its own is lost with the function that carries it: only if that is wanted.
    if (replace_custom or name not in CUSTOM_CALLS) and not _is_clamp(eqn):
        recognized = _recognize(eqn)
        if recognized is not None:
            kind, position = recognized
            activation = rule(kind, jnp.asarray(values[position]))
            if activation is not NotImplemented:
                return [_check_activation(kind, activation, eqn.outvars[0].aval)]
    return _evaluate_as_it_is(eqn, values)


def _check_activation(kind: str, activation: Any, expected: Any) -> Any:
    shape, dtype = jnp.shape(activation), jnp.result_type(activation)
    if (shape, dtype) != (expected.shape, expected.dtype):
        raise ValueError(
            f"the rule for {kind!r} must return shape {expected.shape} and dtype {expected.dtype}, "
            f"as its preactivation; it returned {shape} and {dtype}."
        )
    return activation


def _evaluate_as_it_is(eqn: Any, values: list[Any]) -> list[Any]:
    # The public way to evaluate one equation of any primitive, higher-order ones included, without
    # knowing its parameters: wrap it as a jaxpr. Literals stay inside; repeated operands are one
    # variable; dropped outputs must not be asked for.
    operands = {
        var: value
        for var, value in zip(eqn.invars, values, strict=True)
        if not isinstance(var, jex.Literal)
    }
    kept = [var for var in eqn.outvars if not isinstance(var, jex.DropVar)]
    jaxpr = jex.Jaxpr((), list(operands), kept, [eqn], eqn.effects, _DEBUG_INFO)
    outputs = jex.jaxpr_as_fun(jex.ClosedJaxpr(jaxpr, ()))(*operands.values())
    by_var = dict(zip(kept, outputs, strict=True))
    return [by_var.get(var) for var in eqn.outvars]


def called_jaxpr(eqn: Any) -> tuple[Any, Sequence[Any]]:
    """Return the open jaxpr that a call equation runs, and its constants."""
    # Depending on the primitive and the JAX version the parameter is closed (carries constants)
    # or open.
    inner = eqn.params["jaxpr"] if "jaxpr" in eqn.params else eqn.params["call_jaxpr"]
    return getattr(inner, "jaxpr", inner), getattr(inner, "consts", ())


def _recognize(eqn: Any) -> tuple[str, int] | None:
    """Return the kind of activation that `eqn` is and which of its operands is activated."""
    name = eqn.primitive.name
    if name in CUSTOM_CALLS:
        return _recognize_call(eqn)
    if name != "max" and name not in _KIND_OF_PRIMITIVE:
        return None
    if not jnp.issubdtype(eqn.outvars[0].aval.dtype, jnp.floating):
        return None  # a complex tanh is no saturating unit
    if name != "max":
        return _KIND_OF_PRIMITIVE[name], 0
    # A ReLU compares with one literal zero; with none it is a maximum of two arrays.
    is_zero = [isinstance(var, jex.Literal) and np.all(var.val == 0) for var in eqn.invars]
    return ("relu", is_zero.index(False)) if sum(is_zero) == 1 else None


def _is_clamp(eqn: Any) -> bool:
    # A bare max(x, 0) of one number keeps a variance or a norm positive: no layer of units.
    return eqn.primitive.name == "max" and eqn.outvars[0].aval.size <= 1


def _recognize_call(eqn: Any) -> tuple[str, int] | None:
    jaxpr, _ = called_jaxpr(eqn)
    # Of a function that computes more, a rule would replace more than the activation.
    if len(jaxpr.eqns) != 1:
        return None
    (only,) = jaxpr.eqns
    inner = _recognize_call(only) if only.primitive.name in INLINED_CALLS else _recognize(only)
    if inner is None or list(jaxpr.outvars) != list(only.outvars):
        return None
    kind, position = inner
    # What is activated must be an argument of the call; its place there is what the rule needs.
    operand = only.invars[position]
    if isinstance(operand, jex.Literal) or operand not in jaxpr.invars:
        return None
    return kind, jaxpr.invars.index(operand)
