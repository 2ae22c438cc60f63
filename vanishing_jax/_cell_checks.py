"""What runs without an error and is wrong all the same: batches, swapped states, noise.

These are found by running the cell, or tracing it, a second time; under `jit` and `vmap`, where
there are no numbers, nothing is looked for.
"""

import re
import warnings
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend import core as jex

from ._tree import describe
from ._types import PyTree

# Rows of a batched product agree to a few eps, whatever the others are; in half precision eps is
# large, and this share of the largest entry must do.
_SAME_EPS, _SAME = 32, 0.02

# Code that was traced twice already. A set and no `functools` cache, which would keep the arrays of
# the cells it was called with.
_SOUND: set[tuple] = set()
_MOST_SOUND = 64


def warn_of_suspicious_state(cell: Callable, state0: PyTree, input: PyTree) -> None:
    """Warn if `state0` behaves as a batch of states, or looks like a swapped (h, c)."""
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((cell, state0, input))):
        return
    message = _batch_in_rows(cell, state0, input) or _swapped(cell, state0)
    if message is not None:
        warnings.warn(message, UserWarning, stacklevel=3)


def _swapped(cell, state0) -> str | None:
    """Return a message if an LSTM's h lies where only c can."""
    names = cell.state_names
    leaves = [leaf for leaf in jax.tree.leaves(state0) if eqx.is_inexact_array(leaf)]
    if names is None or len(names) != len(leaves):
        return None
    named = dict(zip(names, leaves, strict=True))
    for name in names:
        cell_state = f"{name[:-1]}c"
        if name.split(".")[-1] != "h" or cell_state not in named:
            continue
        h, c = (float(np.max(np.abs(np.asarray(named[n])))) for n in (name, cell_state))
        if h > 1 and h > c:
            order = ", ".join(n.split(".")[-1] for n in names if n[:-1] == name[:-1])
            return (
                f"the state of this cell is ({order}); the h = o tanh(c) of an LSTM stays within "
                f"(-1, 1), but state0 has {h:.3g} there, and {c:.3g} at most in c. Are they "
                "swapped? PyTorch, Equinox, Haiku and Keras have (h, c), Flax has (c, h)."
            )
    return None


def _batch_in_rows(cell, state0, input) -> str | None:
    """Return a message if the first axis of the state, or the last, is that of a batch.

    The first: no row sees another, and exchanging rows exchanges results. (Several different
    recurrences side by side pass the first half only.) The last, where batch, hidden and input size
    are one number: `W @ state` runs over the batch, so no column sees another.
    """
    states = [leaf for leaf in jax.tree.leaves(state0) if eqx.is_inexact_array(leaf)]
    inputs = jax.tree.leaves(input)
    if min(leaf.ndim for leaf in states) < 2:
        return None
    rows, columns = ({leaf.shape[axis] for leaf in states} for axis in (0, -1))
    if len(rows) == 1 and min(rows) > 1:
        shared = {np.shape(leaf)[:1] for leaf in inputs} != {(min(rows),)}
        if _separate(cell, state0, input, 0, shared) and _alike(cell, state0, input, shared):
            return (
                f"state0 {describe(state0)} behaves as a batch of {min(rows)} states: no row sees "
                "another, and all follow one rule. A cell steps one sequence: pass the state of "
                "one, and batches through jax.vmap (diagnose: inputs (batch, time, ...)). "
                "Otherwise what is measured is a mixture of sequences."
            )
    alike = all(np.ndim(x) >= 2 and {np.shape(x)[-1]} == columns for x in inputs)
    if len(columns) == 1 and min(columns) > 1 and alike and inputs:
        if _separate(cell, state0, input, -1, False):
            return (
                f"in state0 {describe(state0)} no column sees another, so the last axis behaves as "
                "a batch. Where batch, hidden and input size are one number, W @ state runs over "
                "the batch axis and nothing fails. A cell steps one sequence: pass a state of one "
                "axis, and batches through jax.vmap (diagnose: inputs (batch, time, ...))."
            )
    return None


def _separate(cell, state0, input, axis, shared) -> bool:
    """Say whether other numbers at place 0 of an axis leave the other places as they are."""
    first, second = (_drawn(seed, state0, input) for seed in (0, 1))

    def mixed(a, b):
        where = 0 if axis == 0 else (..., 0)
        return a.at[where].set(b[where]) if eqx.is_inexact_array(a) else a

    parts = 1 if shared else 2
    changed = (*jax.tree.map(mixed, first[:parts], second[:parts]), *first[parts:])
    before, after = (_floating(cell(*arguments)) for arguments in (first, changed))

    def rest(a):
        return np.delete(a, 0, axis)

    # A step that forgets the state and the input altogether tells nothing.
    same = [_close(rest(a), rest(b)) for a, b in zip(before, after, strict=True)]
    moved = any(not _close(a, b) for a, b in zip(before, after, strict=True))
    return all(same) and moved


def _alike(cell, state0, input, shared) -> bool:
    """Say whether exchanging the rows of state and input exchanges the rows of the result."""
    drawn = _drawn(2, state0, input)
    parts = 1 if shared else 2

    def rolled(tree):
        return jax.tree.map(lambda a: jnp.roll(a, 1, 0) if np.ndim(a) else a, tree)

    given = (*rolled(drawn[:parts]), *drawn[parts:])
    expected, found = _floating(rolled(cell(*drawn))), _floating(cell(*given))
    return all(_close(a, b) for a, b in zip(expected, found, strict=True))


def _drawn(seed, state0, input) -> tuple[PyTree, PyTree]:
    """Return a state and an input with random numbers in their floating leaves."""
    rng = np.random.default_rng(seed)

    def draw(leaf):
        if not eqx.is_inexact_array(leaf):
            return leaf
        numbers = rng.standard_normal(leaf.shape)
        if jnp.iscomplexobj(leaf):
            numbers = numbers + 1j * rng.standard_normal(leaf.shape)
        return jnp.asarray(numbers, leaf.dtype)

    return jax.tree.map(draw, (state0, input))


def _floating(tree) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree) if eqx.is_inexact_array(leaf)]


def _close(a, b) -> bool:
    allowed = min(_SAME_EPS * float(jnp.finfo(a.dtype).eps), _SAME) * np.max(np.abs(a), initial=0.0)
    return bool(np.all(np.abs(a - b) <= allowed))


def check_deterministic(cell: Callable, state: PyTree, input: PyTree) -> None:
    """Raise if the cell draws its own noise: the trace of a step differs from that of another.

    What was found sound is remembered, since only the cell's code is in question.
    """
    leaves, treedef = jax.tree.flatten((cell, state, input))
    if any(isinstance(leaf, Tracer) for leaf in leaves):
        return
    code = (treedef, *((x.shape, x.dtype) if eqx.is_array(x) else x for x in leaves))
    try:
        if code in _SOUND:
            return
    except TypeError:  # a field that has no hash
        _trace_twice(cell, state, input)
        return
    _trace_twice(cell, state, input)
    if len(_SOUND) >= _MOST_SOUND:
        _SOUND.clear()
    _SOUND.add(code)


def _trace_twice(cell, state, input):
    arrays, static = eqx.partition(cell, eqx.is_array)
    programs = [
        jax.make_jaxpr(lambda a, s, x: eqx.combine(a, static)(s, x))(arrays, state, input)
        for _ in range(2)
    ]
    if any(isinstance(leaf, Tracer) for program in programs for leaf in program.consts):
        return
    if _text(programs[0]) == _text(programs[1]):
        return
    # Addresses of functions differ too; only a result tells.
    leaves = jax.tree.leaves((arrays, state, input))
    once, again = (jex.jaxpr_as_fun(program)(*leaves) for program in programs)
    for a, b in zip(once, again, strict=True):
        inexact = jnp.issubdtype(a.dtype, jnp.inexact)
        if inexact and not np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True):
            raise ValueError(
                "expected a deterministic cell; two calls on equal state and input differ. "
                "Switch dropout (or other noise) off, or pass its key through the inputs."
            )


def _text(program) -> tuple[str, ...]:
    # A key among the constants is one and the same at each call.
    numbers = [c for c in program.consts if not jnp.issubdtype(c.dtype, jax.dtypes.prng_key)]
    constants = (str(np.asarray(c).tobytes()) for c in numbers)
    return (re.sub("0x[0-9a-f]+", "", str(program.jaxpr)), *constants)
