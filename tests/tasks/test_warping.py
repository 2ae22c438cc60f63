import jax.random as jr
import numpy as np
import pytest

from vanishing_jax.tasks import Warping

from .draws import FEW, assert_frequencies, draws, quick_jit

FACTOR, SYMBOLS, STEPS = 3, 3, 9


def test_uniform_warping_repeats_and_asks_for_the_symbol_before():
    drawn = draws("Warping")
    symbols = drawn.inputs.argmax(axis=2)
    for shown, targets in zip(symbols[:FEW], drawn.targets[:FEW], strict=True):
        for t in range(STEPS):
            assert shown[t] == shown[t - t % FACTOR]
            assert targets[t] == (shown[t - t % FACTOR - 1] if t >= FACTOR else -1)


@pytest.mark.parametrize("kind", ["uniform", "variable"])
def test_padding_shows_once_and_asks_for_the_symbol_before(kind):
    if kind == "variable":
        inputs, targets = draws("Warping, variable padding")[1:3]
    else:
        task = Warping(STEPS, factor=FACTOR, symbols=SYMBOLS, variant="uniform padding")
        inputs, targets = map(np.asarray, quick_jit(lambda key: task.sample(key, FEW))(jr.key(0)))
    for shown, wanted in zip(inputs[:FEW].argmax(axis=2), targets[:FEW], strict=True):
        before = present = -1
        since = 0
        for t in range(STEPS):
            since += 1
            if shown[t] < SYMBOLS:
                assert t == 0 or since <= FACTOR and (since == FACTOR or kind == "variable")
                before, present, since = present, shown[t], 0
            assert wanted[t] == before
            assert since < FACTOR


def test_variable_warping_repeats_and_asks_for_the_symbol_before():
    drawn = draws("Warping, variable")
    symbols = drawn.inputs.argmax(axis=2)
    for shown, targets in zip(symbols[:FEW], drawn.targets[:FEW], strict=True):
        since = 1
        for t in range(1, STEPS):
            # A new symbol shows as a change of the input, or, if it is the same again, of the
            # target, unless that symbol came twice before already.
            if shown[t] != shown[t - 1]:
                assert targets[t] == shown[t - 1]
                since = 0
            elif targets[t] != targets[t - 1]:
                assert targets[t] == shown[t]
                since = 0
            since += 1
            assert since <= FACTOR or targets[t] == shown[t]


@pytest.mark.parametrize("name", ["Warping, variable padding", "Warping, variable"])
def test_symbols_and_durations_are_equally_likely(name):
    drawn = draws(name)
    durations = (drawn.targets >= 0).argmax(axis=1)  # of the first symbol
    for counts in (np.bincount(durations)[1:], drawn.inputs[:, 0, :SYMBOLS].sum(axis=0)):
        assert len(counts) == 3
        assert_frequencies(counts)
    # Both come of one number: neither must tell about the other.
    joint = drawn.inputs[:, 0, :SYMBOLS].T @ np.eye(FACTOR)[durations - 1]
    assert_frequencies(joint)


def test_impossible_sizes_are_refused():
    with pytest.raises(ValueError, match="`factor` of at least 1"):
        Warping(factor=0)
    with pytest.raises(ValueError, match="`symbols` of at least 2"):
        Warping(symbols=1)
    with pytest.raises(ValueError, match="`length` of at least 11, .*; got 10"):
        Warping(10, factor=10)
