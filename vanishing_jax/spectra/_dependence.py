"""Which components of a vector the results of a linear program depend on, by reading its jaxpr.

Each entry of each array in the program carries a label: one of the components it depends on, or
NONE. Where an entry depends on several, one label stands for all and the pairs are noted, so that
in the end the components that meet anywhere are the connected components of the noted pairs. That
is one label per entry instead of a set, and just what a partition into decoupled blocks needs.

The reading never looks at numbers, so a zero weight still couples; and it errs on one side only:
a primitive without a rule lets everything it is given meet. Components that meet in an entry that
no result uses are not counted, as far as whole arrays go.
"""

import functools as ft
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from jax.extend import core as jex
from jaxtyping import Int

from .._activations import CUSTOM_CALLS, INLINED_CALLS, called_jaxpr

NONE = -1

Labels: TypeAlias = np.ndarray | None
"""Labels of one array, of its shape; None stands for NONE everywhere."""

Pairs: TypeAlias = list[tuple[np.ndarray, np.ndarray]]

# Arrays beyond this many entries are not looked at entry by entry: everything in them meets.
_LARGEST = 2**24

# What a program that is linear in the vector does entry by entry, and a few more.
_ELEMENTWISE = frozenset(
    "abs add add_any complex conj convert_element_type cos div exp expm1 floor imag "
    "integer_pow log log1p logistic max min mul neg pow real reduce_precision round rsqrt select_n "
    "sign sin sqrt square sub tanh".split()
)
_IDENTITIES = frozenset("copy copy_p name optimization_barrier sharding_constraint".split())
_REDUCTIONS = frozenset("reduce_sum reduce_max reduce_min reduce_prod reduce_and reduce_or".split())
_CUMULATIVE = frozenset("cumsum cumprod cummax cummin cumlogsumexp".split())
_OVERWRITING = frozenset("scatter scatter_add scatter_mul dynamic_update_slice".split())


def noted_pairs(jaxpr: Any, position: int, size: int) -> Int[np.ndarray, "pair 2"]:
    """Return the pairs of components that meet in a jaxpr, or in one component of its result.

    **Arguments:**

    - `jaxpr`: linear in the vector of `size` entries that is its argument number `position`; its
      only result is a vector of the same size, whose entry i counts as component i.
    """
    pairs: Pairs = []
    labels: list[Labels] = [None] * len(jaxpr.invars)
    labels[position] = np.arange(size, dtype=np.int32)
    (result,) = _read_jaxpr(jaxpr, labels, [True], pairs)
    if result is not None:
        there = np.flatnonzero(result != NONE)
        pairs.append((there, result[there]))
    found = [np.stack(pair, axis=-1) for pair in pairs if pair[0].size]
    return np.concatenate(found) if found else np.zeros((0, 2), np.int32)


def _read_jaxpr(
    jaxpr: Any, inputs: Sequence[Labels], needed: Sequence[bool], pairs: Pairs
) -> list[Labels]:
    """Return the labels of a jaxpr's results from those of its arguments."""
    labels = dict(zip(jaxpr.invars, inputs, strict=True))
    live = _live(jaxpr, needed)

    def read(var):
        return None if isinstance(var, jex.Literal) else labels.get(var)

    for eqn in jaxpr.eqns:
        operands = [read(var) for var in eqn.invars]
        wanted = [var in live for var in eqn.outvars]
        if any(wanted) and any(x is not None for x in operands):
            results = _read_equation(eqn, operands, wanted, pairs)
            labels.update(zip(eqn.outvars, results, strict=True))
    return [read(var) for var in jaxpr.outvars]


def _live(jaxpr, needed) -> set:
    """Return the variables that a needed result may depend on."""
    live = {
        var
        for var, wanted in zip(jaxpr.outvars, needed, strict=True)
        if wanted and not isinstance(var, jex.Literal)
    }
    for eqn in reversed(jaxpr.eqns):
        if any(var in live for var in eqn.outvars):
            live.update(var for var in eqn.invars if not isinstance(var, jex.Literal))
    return live


def _read_equation(eqn, operands: list[Labels], wanted, pairs: Pairs) -> list[Labels]:
    name = eqn.primitive.name
    sizes = [x.size for x in operands if x is not None]
    if max(*sizes, *(math.prod(_shape(var)) for var in eqn.outvars)) > _LARGEST:
        return _mix(eqn, operands, pairs)
    if name in INLINED_CALLS or name in CUSTOM_CALLS:
        jaxpr, _ = called_jaxpr(eqn)
        if len(jaxpr.invars) == len(operands) and len(jaxpr.outvars) == len(wanted):
            return _read_jaxpr(jaxpr, operands, wanted, pairs)
        return _mix(eqn, operands, pairs)
    if name in _ELEMENTWISE:
        return _elementwise(eqn, operands, pairs)
    if name in _IDENTITIES and len(operands) == len(wanted):
        return operands
    if name in _REDUCTIONS:
        return [_meet(_first(operands), eqn.params["axes"], pairs)]
    if name in _CUMULATIVE:
        return [_along(_first(operands), eqn.params["axis"], pairs)]
    if name.replace("-", "_") in _OVERWRITING and all(x is None for x in operands[1:]):
        return [operands[0]]  # what is written over depends on nothing: at most too many labels
    rule = _RULES.get(name)
    results = None if rule is None else rule(eqn, operands, wanted, pairs)
    return _mix(eqn, operands, pairs) if results is None else list(results)


def _shape(var) -> tuple[int, ...]:
    return tuple(getattr(var.aval, "shape", ()))


def _first(operands: list[Labels]) -> np.ndarray:
    return next(x for x in operands if x is not None)


def _mix(eqn, operands: list[Labels], pairs: Pairs) -> list[Labels]:
    """Let all that comes in meet, in every result."""
    together = np.concatenate([np.ravel(x) for x in operands if x is not None])
    one = _meet(together, (0,), pairs)
    return [np.broadcast_to(one, _shape(var)) for var in eqn.outvars]


def _meet(labels: np.ndarray, axes: Sequence[int], pairs: Pairs) -> np.ndarray:
    """Return the labels with the entries along `axes` made one, noting who met."""
    axes = tuple(axis % labels.ndim for axis in axes)
    kept = [axis for axis in range(labels.ndim) if axis not in axes]
    shape = [labels.shape[axis] for axis in kept]
    rows = np.transpose(labels, (*kept, *axes)).reshape(*shape, -1)
    one = np.asarray(np.max(rows, axis=-1, initial=NONE))
    meeting = (rows != NONE) & (rows != one[..., None])
    pairs.append((rows[meeting], np.broadcast_to(one[..., None], rows.shape)[meeting]))
    return one


def _along(labels, axis, pairs):
    one = _meet(labels, (axis,), pairs)
    return np.broadcast_to(np.expand_dims(one, axis), labels.shape)


def _combine(a: Labels, b: Labels, pairs: Pairs) -> Labels:
    """Return the labels of a function of two arrays, entry by entry."""
    if a is None or b is None:
        return b if a is None else a
    meeting = (a != NONE) & (b != NONE) & (a != b)
    pairs.append((a[meeting], b[meeting]))
    return np.where(a != NONE, a, b)


def _elementwise(eqn, operands, pairs):
    results = []
    for var in eqn.outvars:
        wide = [None if x is None else np.broadcast_to(x, _shape(var)) for x in operands]
        results.append(ft.reduce(lambda a, b: _combine(a, b, pairs), wide))
    return results


# Rules that move entries about. Each returns the results' labels, or None where it does not apply.


def _reshape(eqn, operands, wanted, pairs):
    if eqn.params.get("dimensions") is not None:
        return None
    return [operands[0].reshape(_shape(eqn.outvars[0]))]


def _squeeze(eqn, operands, wanted, pairs):
    return [operands[0].reshape(_shape(eqn.outvars[0]))]


def _broadcast_in_dim(eqn, operands, wanted, pairs):
    shape, places = _shape(eqn.outvars[0]), eqn.params["broadcast_dimensions"]
    inner = [1] * len(shape)
    for axis, place in enumerate(places):
        inner[place] = operands[0].shape[axis]
    return [np.broadcast_to(operands[0].reshape(inner), shape)]


def _transpose(eqn, operands, wanted, pairs):
    return [np.transpose(operands[0], eqn.params["permutation"])]


def _rev(eqn, operands, wanted, pairs):
    return [np.flip(operands[0], eqn.params["dimensions"])]


def _slice(eqn, operands, wanted, pairs):
    start, limit = eqn.params["start_indices"], eqn.params["limit_indices"]
    strides = eqn.params["strides"] or (1,) * len(start)
    return [operands[0][tuple(map(slice, start, limit, strides))]]


def _all_labeled(eqn, operands):
    return [
        np.full(_shape(var), NONE, np.int32) if x is None else x
        for var, x in zip(eqn.invars, operands, strict=True)
    ]


def _concatenate(eqn, operands, wanted, pairs):
    return [np.concatenate(_all_labeled(eqn, operands), axis=eqn.params["dimension"])]


def _stack(eqn, operands, wanted, pairs):
    return [np.stack(_all_labeled(eqn, operands), axis=eqn.params["axis"])]


def _split(eqn, operands, wanted, pairs):
    edges = np.cumsum(eqn.params["sizes"])[:-1]
    return np.split(operands[0], edges, axis=eqn.params["axis"])


def _tile(eqn, operands, wanted, pairs):
    return [np.tile(operands[0], eqn.params["reps"])]


def _pad(eqn, operands, wanted, pairs):
    config = eqn.params["padding_config"]
    if operands[1] is not None or any(min(part) < 0 for part in config):
        return None
    result = np.full(_shape(eqn.outvars[0]), NONE, np.int32)
    inside = tuple(
        slice(low, low + (size - 1) * (interior + 1) + 1 if size else low, interior + 1)
        for (low, _, interior), size in zip(config, operands[0].shape, strict=True)
    )
    result[inside] = operands[0]
    return [result]


def _dot_general(eqn, operands, wanted, pairs):
    if all(x is not None for x in operands):
        return None
    side = 0 if operands[0] is not None else 1
    contracted, batch = (axes[side] for axes in eqn.params["dimension_numbers"])
    labels = operands[side]
    free = [a for a in range(labels.ndim) if a not in (*contracted, *batch)]
    kept = np.transpose(labels, (*batch, *free, *contracted))
    ends = range(len(batch) + len(free), labels.ndim)
    one = _meet(kept, tuple(ends), pairs)
    shape = _shape(eqn.outvars[0])
    before = len(batch) if side == 0 else len(shape) - len(free)
    places = (*range(len(batch)), *range(before, before + len(free)))
    inner = [1] * len(shape)
    for axis, place in enumerate(places):
        inner[place] = one.shape[axis]
    return [np.broadcast_to(one.reshape(inner), shape)]


# Rules that read an inner program.


def _cond(eqn, operands, wanted, pairs):
    if operands[0] is not None:
        return None
    branches = [
        _read_jaxpr(branch.jaxpr, operands[1:], wanted, pairs) for branch in eqn.params["branches"]
    ]
    return [
        ft.reduce(lambda a, b: _combine(a, b, pairs), results)
        for results in zip(*branches, strict=True)
    ]


def _scan(eqn, operands, wanted, pairs):
    """Read the body again until no entry of the carry gets a label it did not have."""
    body, num_consts = eqn.params["jaxpr"].jaxpr, eqn.params["num_consts"]
    num_carry = eqn.params["num_carry"]
    consts, carry = operands[:num_consts], operands[num_consts : num_consts + num_carry]
    per_step = [
        None if x is None else _meet(x, (0,), pairs) for x in operands[num_consts + num_carry :]
    ]
    everything = [True] * len(body.outvars)
    while True:
        results = _read_jaxpr(body, [*consts, *carry, *per_step], everything, pairs)
        after = [_combine(a, b, pairs) for a, b in zip(carry, results[:num_carry], strict=True)]
        if _how_many(after) == _how_many(carry):
            break
        carry = after
    stacked = [
        None if x is None else np.broadcast_to(x, _shape(var))
        for x, var in zip(results[num_carry:], eqn.outvars[num_carry:], strict=True)
    ]
    return [*carry, *stacked]


def _how_many(carry):
    return sum(0 if x is None else int(np.sum(x != NONE)) for x in carry)


_RULES: dict[str, Callable[..., Sequence[Labels] | None]] = {
    "reshape": _reshape,
    "squeeze": _squeeze,
    "expand_dims": _squeeze,
    "broadcast_in_dim": _broadcast_in_dim,
    "transpose": _transpose,
    "rev": _rev,
    "slice": _slice,
    "concatenate": _concatenate,
    "stack": _stack,
    "split": _split,
    "tile": _tile,
    "pad": _pad,
    "dot_general": _dot_general,
    "cond": _cond,
    "scan": _scan,
}
