"""What a user gets for input that is wrong: one row per mistake, as in docs/guides/input.md.

Shapes of one kind of cell are tested with it; files with what reads them.
"""

import builtins
import pathlib
import re
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from . import helpers

T, N = 12, 3
PAGE = pathlib.Path(__file__).parent.parent / "docs" / "guides" / "input.md"


def vj() -> Any:
    """Return the package, imported after the hook of the tests is installed."""
    import vanishing_jax

    return vanishing_jax


def step(params, state, input):
    return jnp.tanh(params["w"] @ state + input)


def run(fn: Callable = step, state0=None, inputs=None, w=None):
    """Return cell, state and inputs: sound ones, but for what is given."""
    weights = {"w": 0.5 * jnp.eye(N) if w is None else w}
    state0 = jnp.zeros(N) if state0 is None else state0
    return vj().FunctionCell(fn, weights), state0, jnp.zeros((T, N)) if inputs is None else inputs


def pair(fn):
    """Return a run whose state is {c, h}, the step `fn(h, c)`."""
    zero = jnp.zeros(N)
    return run(lambda p, s, x: fn(s["h"], s["c"]), {"h": zero, "c": zero})


def last(states):
    return sum(jnp.sum(leaf[-1].real) for leaf in jax.tree.leaves(states))


ENTRIES = {
    "rollout": lambda c, s, x: vj().rollout(c, s, x),
    "linearize": lambda c, s, x: vj().linearize(c, vj().rollout(c, s, x)),
    "gradient_profile": lambda c, s, x: vj().gradient_profile(c, s, x, loss=last),
    "diagnose": lambda c, s, x: vj().diagnose(c, x, state0=s, batched=False),
}
ALL, MEASURED = tuple(ENTRIES), ("linearize", "gradient_profile", "diagnose")
R, RD = ("rollout",), ("rollout", "diagnose")


class Row(NamedTuple):
    """What the user did, by which entry points, and parts of the message in their order."""

    did: str
    make: Callable[[], tuple[Any, Any, Any]]
    entries: tuple[str, ...]
    kind: str
    says: tuple[str, ...]


class Swapped(eqx.Module):
    def __call__(self, h, x):
        return h + x


class Noisy(eqx.Module):
    dropout: eqx.nn.Dropout

    def __call__(self, input, state):
        return self.dropout(state) + input


class Tensor:
    """Stands for an array of another library."""

    shape, dtype = (T, N), "float32"


def torch_module():
    base = type("Module", (), {"__module__": "torch.nn.modules.module"})
    return type("LSTM", (base,), {"__call__": lambda self, x: x})()


def equinox_lstm():
    return eqx.nn.LSTMCell(N, N, use_bias=False, key=jr.key(0))


@jax.custom_vjp
def straight_through(x):
    return jnp.sign(x)


straight_through.defvjp(lambda x: (jnp.sign(x), None), lambda _, g: (g,))


TABLE = [
    Row("NaN or inf in a weight", lambda: run(w=jnp.eye(N).at[0, 1].set(jnp.nan)), MEASURED,
        "NonFiniteError", ("expected finite weights; got 1", "of 9 values in params.w")),
    Row("NaN or inf in the inputs", lambda: run(inputs=jnp.zeros((T, N)).at[5, 0].set(jnp.inf)),
        MEASURED, "NonFiniteError", ("expected finite inputs; got 1", "first at step index 5")),
    Row("NaN or inf in the initial state", lambda: run(state0=jnp.full(N, jnp.nan)), MEASURED,
        "NonFiniteError", ("expected finite initial state; got 3 NaN",)),
    Row("states that overflow", lambda: run(lambda p, s, x: 1e30 * s**3 + x, jnp.ones(N)),
        ("linearize",), "NonFiniteError", ("states", "first at step", "states themselves explode")),
    Row("an integer state", lambda: run(state0=jnp.zeros(N, jnp.int32)), ALL, "ValueError",
        ("got state: int32", "Pass the initial state as floats")),
    Row("an integer leaf that the cell makes floating",
        lambda: run(lambda p, s, x: {"h": x, "c": s["c"]},
                    {"h": jnp.zeros(N, jnp.int32), "c": jnp.zeros(N)}),
        R, "ValueError", ("Leaf h changes its dtype: pass state0 in float",)),
    Row("a sequence of no steps", lambda: run(inputs=jnp.zeros((0, N))), ALL, "ValueError",
        ("at least one time step; got inputs of length 0",)),
    Row("inputs without a time axis", lambda: run(inputs=jnp.asarray(1.0)), RD, "ValueError",
        ("expected inputs with a leading time axis",)),
    Row("a list of numbers as inputs", lambda: run(inputs=[0.0] * T), RD, "ValueError",
        ("leading time axis", "make one of a list by numpy.asarray")),
    Row("input arrays of different lengths",
        lambda: run(inputs={"a": jnp.zeros((3, 2)), "b": jnp.zeros((4, 2))}), RD, "ValueError",
        ("expected inputs of one length",)),
    Row("no input array", lambda: run(inputs={}), RD, "ValueError", ("at least one input array",)),
    Row("an array of Python objects", lambda: run(inputs=np.array([[None]], object)), RD,
        "TypeError", ("inputs has dtype object",)),
    Row("an array of another library", lambda: run(inputs=Tensor()), RD, "TypeError",
        ("inputs is a Tensor", "convert arrays of another library by numpy.asarray")),
    Row("a string among the inputs", lambda: run(inputs={"x": jnp.zeros((T, N)), "name": "a"}), RD,
        "TypeError", ("every leaf of inputs to be an array; name is a str",)),
    Row("a function in the state", lambda: run(state0={"h": jnp.zeros(N), "act": jnp.tanh}), RD,
        "TypeError", ("every leaf of state0 to be an array; act is a",
                      "Keep functions and strings in the cell")),
    Row("inputs of another size", lambda: run(inputs=jnp.zeros((T, 2))), RD, "TypeError",
        ("the cell failed on one step", "incompatible shapes", "test_bad_input.py, line",
         "The call is cell(state, input)")),
    Row("inputs of another size, a known cell",
        lambda: (equinox_lstm(), (jnp.zeros(N), jnp.zeros(N)), jnp.zeros((T, 2))), RD,
        "ValueError", ("expected input of shape (3,); got shape (2,)",)),
    Row("a state of another structure than the cell returns", lambda: pair(lambda h, c: (h, c)), R,
        "ValueError", ("must return its state's structure", "state: {'c':", "returned: (")),
    Row("a state of another shape than the cell returns",
        lambda: pair(lambda h, c: {"h": h[:2], "c": c}), RD, "ValueError",
        ("Leaf h changes its shape",)),
    Row("a state of another dtype than the cell returns",
        lambda: pair(lambda h, c: {"h": h, "c": c.astype(jnp.float16)}), RD, "ValueError",
        ("Leaf c changes its dtype: pass state0 in float16, or let the cell return new.astype(",)),
    Row("(state, output) returned", lambda: run(lambda p, s, x: (s, x)), RD, "ValueError",
        ("Its first element is the state: return that alone",)),
    Row("(output, state) returned", lambda: run(lambda p, s, x: (jnp.sum(x), s)), RD, "ValueError",
        ("Its last element is the state: return that alone",)),
    Row("a batch of states to a known cell, also where batch = hidden = input size",
        lambda: (equinox_lstm(), (jnp.zeros((N, N)),) * 2, jnp.zeros((T, N, N))), RD, "ValueError",
        ("expected", "got shape (3, 3)", "use jax.vmap for batches")),
    Row("a batch of inputs to rollout",
        lambda: (equinox_lstm(), (jnp.zeros(N), jnp.zeros(N)), jnp.zeros((2, T, N))), R,
        "ValueError", ("expected input of shape (3,); got shape (12, 3)",
                       "use jax.vmap for batches")),
    Row("state and input swapped, a known cell",
        lambda: (equinox_lstm(), jnp.zeros(N), jnp.zeros((T, 2, N))), R, "ValueError",
        ("expected", "The call is cell(state, input)")),
    Row("fn(params, x, h) as a FunctionCell", lambda: run(lambda p, x, h: h + x), R, "TypeError",
        ("expected arguments in the order (state, input); got them named (x, h)",
         "Write FunctionCell(lambda p, state, input: fn(p, input, state), params)")),
    Row("module(h, x) as an EquinoxCell", lambda: (vj().EquinoxCell(Swapped()), None, None), R,
        "TypeError", ("order (input, state); got them named (h, x)",
                      "Write FunctionCell(lambda p, state, input: p(state, input), module)")),
    Row("a cell that draws its own noise",
        lambda: run(lambda p, s, x: s * float(np.random.rand()) + x, jnp.ones(N)), MEASURED,
        "ValueError", ("expected a deterministic cell", "Switch dropout (or other noise) off")),
    Row("Equinox's dropout in training mode",
        lambda: (vj().EquinoxCell(Noisy(eqx.nn.Dropout())), jnp.zeros(N), jnp.zeros((T, N))), RD,
        "TypeError", ("Dropout requires a key", "eqx.nn.inference_mode(module)")),
    Row("a NumPy function of a traced value", lambda: run(lambda p, s, x: np.tanh(s + x)), ALL,
        "TypeError", ("expected a cell that JAX can trace", "test_bad_input.py, line", "JAX says:",
                      "TracerArrayConversionError")),
    Row("a Python branch on a traced value", lambda: run(lambda p, s, x: s if s[0] > 0 else x), RD,
        "TypeError", ("that JAX can trace", "jnp.where", "TracerBoolConversionError")),
    Row("float() of a traced value", lambda: run(lambda p, s, x: s + float(x[0])), R,
        "TypeError", ("that JAX can trace", "ConcretizationTypeError")),
    Row("a mask as index", lambda: run(lambda p, s, x: s[s > 0]), R, "TypeError",
        ("that JAX can trace", "Array boolean indices must be concrete")),
    Row("a custom_vjp in the cell, forward Jacobians",
        lambda: run(lambda p, s, x: straight_through(s) + x), ("linearize",), "TypeError",
        ("derivative in reverse mode only. Write linearize(..., mode='rev')",
         "not the derivative of the step where the rule differs")),
    Row("a state too large for memory", lambda: run(lambda p, s, x: s, jnp.zeros(40_000)),
        ("diagnose",), "MemoryError", ("diagnose needs about 238", "memory_limit is 8.00 GiB",
                                       "Pass fewer or shorter sequences")),
    Row("a PyTorch module", lambda: (torch_module(), jnp.zeros(N), jnp.zeros((T, N))), RD,
        "TypeError", ("PyTorch module LSTM. Save its weights", "interop.load_torch(")),
    Row("a plain function", lambda: (lambda s, x: s, jnp.zeros(N), jnp.zeros((T, N))), ALL,
        "TypeError", ("expected a cell; got a plain function. Wrap it: FunctionCell(fn, params)",)),
    Row("a function without its initial state", lambda: (run()[0], None, run()[2]), ("diagnose",),
        "ValueError", ("does not know the shape of its state: pass state0=",)),
    Row("a batch of states to a function", lambda: run(
            lambda p, s, x: jnp.tanh(s @ p["w"] + x @ p["w"]), jnp.zeros((2, N)),
            jnp.zeros((T, 2, N)), w=jnp.ones((N, N))),
        R, "UserWarning", ("behaves as a batch of 2 states: no row sees another",)),
    Row("a batch of states, one input", lambda: run(
            lambda p, s, x: s @ p["w"] + jnp.broadcast_to(x, (2, N)), jnp.zeros((2, N))),
        R, "UserWarning", ("behaves as a batch of 2 states: no row sees another",)),
    Row("a batch where batch = hidden = input size, `W @ state`",
        lambda: run(lambda p, s, x: jnp.tanh(p["w"] @ s + p["w"] @ x + jnp.arange(3.0)[None]),
                    jnp.zeros((N, N)), jnp.zeros((T, N, N)), w=jnp.ones((N, N))),
        R, "UserWarning", ("no column sees another, so the last axis behaves as a batch",)),
    Row("(c, h) as the state of an LSTM with (h, c)",
        lambda: (equinox_lstm(), (jnp.full(N, 1.5), jnp.full(N, 0.9)), jnp.zeros((T, N))),
        R, "UserWarning", ("the state of this cell is (h, c)", "state0 has 1.5 there",
                           "Are they swapped?")),
]  # fmt: skip


def cases():
    """Return every row with each of its entry points."""
    return [pytest.param(r, e, id=f"{r.did}-{e}") for r in TABLE for e in r.entries]


@pytest.mark.parametrize(("row", "entry"), cases())
def test_message(row, entry):
    kinds = {"NonFiniteError": vj().NonFiniteError} | vars(builtins)
    message = "(?s)" + ".*".join(map(re.escape, row.says))
    caught = pytest.warns if row.kind == "UserWarning" else pytest.raises
    with helpers.as_a_user(), caught(kinds[row.kind], match=message):
        ENTRIES[entry](*row.make())


def test_page_shows_this_table():
    """Print what belongs there: `python -m tests.test_bad_input`."""
    assert table() in PAGE.read_text()


def table():
    """Return the rows as Markdown."""
    lines = ["| what came | what you get |", "| --- | --- |"]
    for row in TABLE:
        said = " … ".join(part.replace("|", "\\|") for part in row.says)
        said = said.replace("test_bad_input.py, line", "your_file.py, line")
        lines.append(f"| {row.did} | `{row.kind}`: {said} |")
    return "\n".join(lines)


# Not a mistake: each runs, and no warning comes.
SOUND = {
    "coupled rows": lambda: run(
        lambda p, s, x: jnp.tanh(p["w"] @ s @ p["w"] + x[None]), jnp.ones((2, 2)),
        jnp.zeros((T, 2)), w=jnp.ones((2, 2)),
    ),
    "different recurrences side by side": lambda: run(
        lambda p, s, x: p["w"] * s + x[:, None], jnp.ones((2, 3)), jnp.zeros((T, 2)),
        w=jnp.arange(6.0).reshape(2, 3),
    ),
    "one recurrence per channel": lambda: run(
        lambda p, s, x: p["w"] @ s + jnp.ones((3, 1)) * x[None], jnp.ones((3, 2)),
        jnp.zeros((T, 2)), w=jnp.ones((3, 3)),
    ),
    "an LSTM's (h, c)": lambda: (
        equinox_lstm(), (jnp.full(N, 0.5), jnp.full(N, 7.0)), jnp.zeros((T, N)),
    ),
    "strings and functions among the parameters": lambda: (
        vj().FunctionCell(lambda p, s, x: p["act"](s + x), {"act": jnp.tanh, "name": "mine"}),
        jnp.zeros(N), jnp.zeros((T, N)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SOUND)
def test_what_is_no_mistake(name):
    cell, state0, inputs = SOUND[name]()
    assert vj().rollout(cell, state0, inputs).num_steps == T


def test_a_batch_of_trajectories_goes_through_vmap():
    cell, state0, _ = run()
    batch = jnp.zeros((2, T, N))
    trajectories = jax.vmap(lambda x: vj().rollout(cell, state0, x))(batch)
    with pytest.raises(
        ValueError, match=r"2 inputs and 3 states.*filter_vmap\(lambda t: vj.linearize"
    ):
        vj().linearize(cell, trajectories)
    chains = eqx.filter_vmap(lambda t: vj().linearize(cell, t))(trajectories)
    assert chains.batch_size == 2


@jax.custom_vjp
def halved(x):
    return jnp.round(4 * x) / 4  # without a derivative


halved.defvjp(lambda x: (halved(x), None), lambda _, g: (0.5 * g,))


def odd_step(params, state, input):
    z = jax.lax.complex(jnp.zeros(1), jnp.full(1, 0.5)) * state["z"]
    key = jr.fold_in(state["key"], state["count"])
    return {"z": z, "h": halved(state["h"] + input), "count": state["count"] + 1, "key": key}


def test_a_state_of_everything_and_a_rule_of_ones_own():
    """Rotated and halved, or halved by the rule: all gradients shrink by log 2 per step."""
    cell = vj().FunctionCell(odd_step, None)
    state0 = {"z": jax.lax.complex(jnp.ones(1), jnp.zeros(1)), "h": jnp.ones(1)}
    state0 |= {"count": jnp.asarray(0), "key": jr.key(0)}
    d = vj().diagnose(cell, jnp.zeros((4, T, 1)), state0=state0)
    assert d.dtype == "float64" and d.state_size == 3
    assert d.rate == pytest.approx(-np.log(2), abs=1e-5) and d.verdict == "vanishing"
    np.testing.assert_allclose(d.lyapunov.exponents, -np.log(2), atol=1e-5)
    for note in ("custom_vjp: Jacobians are what its own rule sends back", "state is complex",
                 "without a derivative, passed through: count, key."):  # fmt: skip
        assert any(note in n for n in d.notes) and note in d.details()

    trajectory = vj().rollout(cell, state0, jnp.zeros((3, 1)))
    dense, streamed = (vj().linearize(cell, trajectory, mode="rev", dense=x) for x in (True, False))
    assert dense.left_out == ("count", "key") and "without count, key" in repr(streamed)
    np.testing.assert_allclose(dense.jacobians[0], [[0.5, 0, 0], [0, 0, -0.5], [0, 0.5, 0]])
    vector = jnp.arange(1.0, 4.0)
    np.testing.assert_array_equal(streamed.mv(vector), dense.mv(vector))
    with pytest.raises(TypeError, match="mode='rev'"):
        vj().linearize(cell, trajectory, dense=False)


@pytest.mark.as_users
def test_float64_without_64_bit_types_is_said_once():
    cell, state0, inputs = run(w=np.eye(N)), np.zeros(N), np.zeros((T, N))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        states = vj().rollout(cell[0], state0, inputs).states
    said = [str(warning.message) for warning in seen]
    if jnp.result_type(float) == jnp.float64:
        assert said == [] and states.dtype == jnp.float64
    else:
        assert len(said) == 1 and states.dtype == jnp.float32
        assert said[0].startswith("float64 given as weights, state0, inputs, but jax_enable_x64")


if __name__ == "__main__":
    print(table())
